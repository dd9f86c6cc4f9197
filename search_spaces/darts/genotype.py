"""The notation ``Genotype(normal=[...], normal_concat=..., reduce=..., reduce_concat=...)``.

Text is taken apart with ``ast`` and read as literals only; nothing in it is ever run.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping

from nas.core.errors import SpaceError
from search_spaces.darts.candidates import GROUPS, NODES
from search_spaces.edges import edge_name, split_edge

__all__ = ["format_genotype", "parse_genotype"]

_LONGEST = 4096
_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_CONCAT = [2, 3, 4, 5]
_HINT = "expected Genotype(normal=[('op', source), ...], normal_concat=range(2, 6), reduce=...)"


def parse_genotype(text: str) -> dict[str, str]:
    """Read a genotype.

    A name in front (``DARTS_V2 = Genotype(...)``) and comments are allowed, fields may be
    positional. Only the structure is checked here, not which operations a space has.

    Returns:
        Edge name to operation, for sixteen edges.

    Raises:
        SpaceError: The text is not a genotype of two cells with four nodes of two different
            inputs each, all four concatenated.
    """
    fields = _fields(_call(text))
    operations: dict[str, str] = {}
    for group in GROUPS:
        if fields[f"{group}_concat"] != _CONCAT:
            raise SpaceError(
                f"{group}_concat is not the four nodes 2, 3, 4, 5",
                "cells that leave out a node do not belong to this space",
            )
        operations |= _cell(group, fields[group])
    return operations


def format_genotype(operations: Mapping[str, str]) -> str:
    """Write edge-to-operation pairs as text that ``parse_genotype`` reads."""
    parts = []
    for group in GROUPS:
        edges = sorted(split_edge(name) for name in operations if name.startswith(f"{group}/"))
        pairs = [(operations[edge_name(*edge)], edge[2]) for edge in edges]
        parts.append(f"{group}={pairs}, {group}_concat=range(2, 6)")
    return f"Genotype({', '.join(parts)})"


def _call(text: str) -> ast.Call:
    """Parse the text as one call of ``Genotype``, whatever hostile text it is."""
    # Few characters and little nesting: the parser below cannot be made to do much work.
    stripped = re.sub(r"#[^\n]*", "", text[: 2 * _LONGEST]).strip()
    if len(text) > _LONGEST or not re.fullmatch(r"[\w\s()\[\],.='\"]*", stripped, re.ASCII):
        raise SpaceError("the text is too long or has characters no genotype has", _HINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(stripped).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpaceError(
            f"the genotype is not well formed ({type(error).__name__})", _HINT
        ) from None
    value = body[0].value if len(body) == 1 and isinstance(body[0], ast.Assign | ast.Expr) else None
    if not isinstance(value, ast.Call) or not _is_name(value.func, "Genotype"):
        raise SpaceError("the text is not a single Genotype(...)", _HINT)
    return value


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _fields(call: ast.Call) -> dict[str, object]:
    if len(call.args) > len(_FIELDS):
        raise SpaceError(f"a genotype has 4 fields, got {len(call.args)}", _HINT)
    fields = {name: _literal(node) for name, node in zip(_FIELDS, call.args, strict=False)}
    for keyword in call.keywords:
        if keyword.arg not in _FIELDS or keyword.arg in fields:
            raise SpaceError("a genotype's field is unknown or given twice", _HINT)
        fields[keyword.arg] = _literal(keyword.value)
    missing = [name for name in _FIELDS if name not in fields]
    if missing:
        raise SpaceError(f"the genotype lacks {', '.join(missing)}", _HINT)
    return fields


def _literal(node: ast.expr) -> object:
    """Turn lists, tuples, strings, integers and ``range(a, b)`` into values; nothing else."""
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element) for element in node.elts]
    if isinstance(node, ast.Constant) and type(node.value) in (str, int):
        return node.value
    if isinstance(node, ast.Call) and _is_name(node.func, "range") and not node.keywords:
        bounds = [_literal(argument) for argument in node.args]
        if bounds == [2, 6]:
            return list(_CONCAT)
    raise SpaceError("a genotype holds only lists, names, small numbers and range(2, 6)", _HINT)


def _cell(group: str, pairs: object) -> dict[str, str]:
    if not isinstance(pairs, list) or len(pairs) != 2 * NODES:
        raise SpaceError(f"the {group} cell is not a list of {2 * NODES} (operation, source) pairs")
    operations: dict[str, str] = {}
    for index, pair in enumerate(pairs):
        node = index // 2
        match pair:
            case [str(operation), int(source)] if 0 <= source < node + 2:
                operations[edge_name(group, node, source)] = operation
            case _:
                raise SpaceError(
                    f"pair {index} of the {group} cell is wrong",
                    f"expected ('operation', source) with a source from 0 to {node + 1}",
                )
    if len(operations) != 2 * NODES:
        raise SpaceError(f"a node of the {group} cell has the same source twice", "use two sources")
    return operations
