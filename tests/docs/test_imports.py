"""What import-linter cannot see: rooms that reach for the roof, and circles between files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOTS = ("nas", "search_spaces", "predictors", "evolution")
ROOF = ("nas/__init__.py", "nas/cli/", "nas/api.py")
"""May name the package as a whole, which knows the public functions."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for root in ROOTS for path in sorted((ROOT / root).rglob("*.py"))}


def at_import(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The statements that run when a module is imported; not those for type checkers alone."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            waiting += node.body + node.orelse
        elif isinstance(node, ast.Try):
            waiting += node.body


def imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Modules of ours that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if alias.name in FILES}
    module = node.module or ""
    deeper = {f"{module}.{alias.name}" for alias in node.names}
    found = deeper & FILES.keys()
    names = {alias.name for alias in node.names if f"{module}.{alias.name}" not in FILES}
    return found | ({module} if names and module in FILES else set())


def test_no_two_files_need_each_other() -> None:
    graph = nx.DiGraph()
    for name, path in FILES.items():
        for node in at_import(ast.parse(path.read_text())):
            graph.add_edges_from((name, other) for other in imported(node) if other != name)
    assert graph.number_of_edges() > 500
    assert [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1] == []


@pytest.mark.parametrize("name", FILES)
def test_no_room_reaches_for_the_roof(name: str) -> None:
    path = FILES[name]
    if str(path.relative_to(ROOT)).startswith(ROOF):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert "nas" not in [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module != "nas" or node.level
