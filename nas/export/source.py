"""The source text of some of our own definitions and of all they need, for stand-alone files."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from nas.core.errors import ExportError


class Collected:
    """Definitions in an order in which they can be run, and the imports they need."""

    def __init__(self) -> None:
        self.pieces: dict[str, str] = {}
        self.imports: set[str] = set()


def collect(module: ModuleType, names: Iterable[str]) -> Collected:
    """Gather top-level definitions of one of our modules, dependencies first.

    Names used only in annotations are left out: the stand-alone file postpones those.

    Raises:
        ExportError: A definition needs something that is neither torch, the standard library
            nor in one of our own modules.
    """
    collected = Collected()
    for name in names:
        _visit(module, name, collected, ())
    return collected


def _visit(module: ModuleType, name: str, collected: Collected, above: tuple[str, ...]) -> None:
    if name in collected.pieces or name in above:
        return
    node = _definition(module, name)
    if node is None:
        _outside(module, name, collected)
        return
    for used in sorted(_names(node)):
        if used != name and hasattr(module, used):
            _visit(module, used, collected, (*above, name))
    text = inspect.getsource(module).splitlines()
    first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])
    collected.pieces[name] = textwrap.dedent("\n".join(text[first - 1 : node.end_lineno]))


def _definition(module: ModuleType, name: str) -> ast.stmt | None:
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node
    return None


class _Annotations(ast.NodeTransformer):
    """Takes annotations away, so that what is left is what runs."""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:  # noqa: N802 - ast's name
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:  # noqa: N802 - ast's name
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign([node.target], node.value))


def _names(node: ast.stmt) -> set[str]:
    bare = _Annotations().visit(ast.parse(ast.unparse(node)))
    loads = (item for item in ast.walk(bare) if isinstance(item, ast.Name))
    return {item.id for item in loads if isinstance(item.ctx, ast.Load)}


def _outside(module: ModuleType, name: str, collected: Collected) -> None:
    """Something the module imported: ours is gathered there, torch's and Python's imported."""
    value: Any = getattr(module, name)
    if isinstance(value, ModuleType):
        path, _, last = value.__name__.rpartition(".")
        _allow(value.__name__, name)
        collected.imports.add(f"from {path} import {last}" if path else f"import {last}")
        return
    home = getattr(value, "__module__", "")
    if home.split(".")[0] == "search_spaces":
        _visit(sys.modules[home], name, collected, ())
        return
    _allow(home, name)
    collected.imports.add(f"from {home} import {name}")


def _allow(home: str, name: str) -> None:
    root = home.split(".")[0]
    if root != "torch" and root not in sys.stdlib_module_names:
        raise ExportError(
            f"a stand-alone module cannot hold {name!r} of {home or 'nowhere'}",
            "keep layers free of anything but torch",
        )
