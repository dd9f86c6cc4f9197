"""Heat maps of the report, also where edges differ in their operations."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nas.core.config import RunConfig
from nas.core.work import Call, Spent
from nas.engine.records import Entry
from nas.engine.report_data import _heat_maps
from nas.export.paint import alphas_picture
from search_spaces import get_space


@pytest.mark.parametrize("name", ["darts-s1", "darts-s2"])
def test_every_weight_stands_in_the_column_of_its_operation(name: str) -> None:
    edges: Any = get_space(name).edges  # type: ignore[attr-defined]
    mixture: dict[str, list[list[float]]] = {}
    for number, edge in enumerate(edges):
        row = [number / 100, 1 - number / 100]
        mixture.setdefault(edge.group, []).append(row)
    value = {"epoch": 0, "mixture": mixture}
    entry = Entry(Call("supernet", "train"), "ok", {}, value, {}, "", Spent(), "search", 0)
    run: Any = SimpleNamespace(
        config=RunConfig(space=name, strategy="darts"), history=[entry], announced=[]
    )
    maps = {table["group"]: table for table in _heat_maps(run)}
    assert list(maps) == ["normal", "reduce"]
    for edge in edges:
        table = maps[edge.group]
        line = table["rows"].index(edge.name)
        shown = dict(zip(table["columns"], table["values"][line], strict=True))
        wanted = dict(zip(edge.operations, mixture[edge.group][edge.row], strict=True))
        assert {k: v for k, v in shown.items() if v is not None} == wanted
    assert all(alphas_picture(table).shapes for table in maps.values())
