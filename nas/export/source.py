"""The source text of definitions and of all that they need, for stand-alone files."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Final

from nas.export.request import NoSuchFormError

OURS: Final = "search_spaces"
"""The package whose layers the networks of others may use."""


@dataclass
class Source:
    """Definitions in an order in which they can be run, and the imports they need.

    Attributes:
        pieces: Name to source text, dependencies first.
        imports: Import statements, for torch and the standard library only.
    """

    pieces: dict[str, str] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)


def source_of(*definitions: Callable[..., object]) -> Source:
    """Gather classes and functions, and what they need of our modules or those they live among.

    Raises:
        NoSuchFormError: It needs something that is neither torch, the standard library nor written
            in Python beside it.
    """
    source = Source()
    for definition in definitions:
        home = definition.__module__
        _visit(sys.modules[home], definition.__name__, source, {OURS, home.split(".")[0]}, ())
    return source


def _visit(
    module: ModuleType, name: str, source: Source, own: set[str], above: tuple[str, ...]
) -> None:
    if name in source.pieces or name in above:
        return
    text = _definitions(module).get(name)
    if text is None:
        _imported(module, name, source, own, above)
        return
    for used in _names(text):
        if used != name and hasattr(module, used):
            _visit(module, used, source, own, (*above, name))
    if name not in source.pieces:
        source.pieces[name] = text


@cache
def _definitions(module: ModuleType) -> dict[str, str]:
    """Top-level classes, functions and constants with the string that explains them."""
    try:
        text = inspect.getsource(module)
    except (OSError, TypeError) as error:
        raise NoSuchFormError(
            f"the source of {module.__name__} cannot be read: {error}",
            "export to pt2 or onnx instead",
        ) from error
    lines, body = text.splitlines(), ast.parse(text).body
    found = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        first, last = node.lineno, node.end_lineno
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            first = min([first, *(item.lineno for item in node.decorator_list)])
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                last = after.end_lineno
        else:
            continue
        found.update(dict.fromkeys(names, "\n".join(lines[first - 1 : last])))
    return found


def _names(text: str) -> list[str]:
    names = (node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name))
    return sorted(set(names))


def _imported(
    module: ModuleType, name: str, source: Source, own: set[str], above: tuple[str, ...]
) -> None:
    """Something the module imported: ours is gathered too, torch's and Python's imported."""
    home, original = _imports(module).get(name, ("", name))
    root = home.split(".")[0]
    if root in own and original:
        if original != name:
            raise NoSuchFormError(
                f"{module.__name__} imports {original!r} as {name!r}", "import it by its own name"
            )
        _visit(sys.modules[home], name, source, own, above)
    elif root == "torch" or root in sys.stdlib_module_names:
        renamed = "" if name in {original, home} else f" as {name}"
        source.imports.add(
            f"from {home} import {original}{renamed}" if original else f"import {home}{renamed}"
        )
    else:
        raise NoSuchFormError(
            f"a stand-alone module cannot hold {name!r} of {home or module.__name__}",
            "its layers may use torch and the standard library only",
        )


@cache
def _imports(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Local name to (module, name there); the second is empty for a module as a whole."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.split(".")[0]
                found[alias.asname or whole] = (whole, "")
    return found
