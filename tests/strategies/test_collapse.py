"""The rules of the collapse alarm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from nas.strategies.collapse import AlarmSettings, CollapseAlarm
from search_spaces import get_space

DARTS: Any = get_space("darts")


def weights(space: Any, **by_group: str) -> dict[str, Any]:
    """A mixture whose strongest operation is the one named, by kind of cell."""
    tables: dict[str, list[list[float]]] = {}
    for edge in space.edges:
        row = [0.02] * len(edge.operations)
        row[edge.operations.index(by_group.get(edge.group, edge.operations[-1]))] = 0.9
        tables.setdefault(edge.group, []).append(row)
    return {"mixture": tables, "edge_weights": None}


def rings(values: Sequence[float | None], **settings: Any) -> list[int]:
    """Epochs at which the eigenvalue alarms."""
    alarm = CollapseAlarm(AlarmSettings(**settings), DARTS)
    calm = weights(DARTS)
    return [epoch for epoch, v in enumerate(values) if alarm.watch(epoch, calm, v)]


def test_skips_of_the_normal_cell_ring_above_the_share() -> None:
    alarm = CollapseAlarm(AlarmSettings(), DARTS)
    assert alarm.watch(0, weights(DARTS), None) == []
    assert alarm.figures["skips"] == {"normal": 0, "reduce": 0}
    (reason,) = alarm.watch(1, weights(DARTS, normal="skip_connect"), None)
    assert reason == "8 of 8 operations of normal are skips"
    assert alarm.watch(2, weights(DARTS, reduce="skip_connect"), None) == []
    assert alarm.figures["skips"] == {"normal": 0, "reduce": 8}


@pytest.mark.parametrize(("skips", "share", "rang"), [(4, 0.5, False), (5, 0.5, True)])
def test_the_share_itself_does_not_ring(skips: int, share: float, rang: bool) -> None:
    table = weights(DARTS)
    edges = [edge for edge in DARTS.edges if edge.group == "normal"]
    # The strongest two edges of each node are the first two.
    first = [edge for edge in edges if edge.source < 2][:skips]
    for edge in edges:
        row = table["mixture"]["normal"][edge.row]
        if edge.source >= 2:
            row[-1] = 0.1
        elif edge in first:
            row[-1] = 0.02
            row[edge.operations.index("skip_connect")] = 0.9
    alarm = CollapseAlarm(AlarmSettings(skips=share), DARTS)
    assert bool(alarm.watch(0, table, None)) is rang
    assert alarm.figures["skips"]["normal"] == skips


def test_entropy_is_that_of_the_rows_that_hold_weight() -> None:
    alarm = CollapseAlarm(AlarmSettings(), DARTS)
    table = weights(DARTS)
    table["mixture"]["normal"] = [[0.125] * 8] * 7 + [[0.0] * 8] * 7
    alarm.watch(0, table, None)
    assert alarm.figures["entropy"]["normal"] == pytest.approx(math.log(8))
    table["mixture"]["normal"] = [[0.0] * 7 + [1.0]] * 14
    alarm.watch(1, table, None)
    assert alarm.figures["entropy"]["normal"] == 0.0


def test_a_growing_eigenvalue_rings_after_nine_measurements() -> None:
    assert rings([1.4**i for i in range(14)]) == [10, 11, 12, 13]
    assert rings([1.4**i for i in range(14)], not_before=0) == [8, 9, 10, 11, 12, 13]
    assert rings([1.0] * 30) == []
    assert rings([1.05**i for i in range(30)]) == []  # 1.05 to the fourth is 1.22
    assert rings([-(1.4**i) for i in range(20)]) == []


def test_growth_counts_measurements_not_epochs() -> None:
    sparse: list[float | None] = []
    for i in range(9):
        sparse += [None, 2.0**i]
    assert rings(sparse) == [17]


def test_when_the_eigenvalue_is_due() -> None:
    def due(**settings: Any) -> list[int]:
        alarm = CollapseAlarm(AlarmSettings(**settings), DARTS)
        return [epoch for epoch in range(6) if alarm.due(epoch)]

    assert due() == [1, 3, 5]
    assert due(every=3) == [2, 5]
    assert due(every=0) == due(action="off") == []


def test_off_watches_nothing() -> None:
    alarm = CollapseAlarm(AlarmSettings(action="off"), DARTS)
    assert alarm.watch(0, weights(DARTS, normal="skip_connect"), 1e9) == []
    assert alarm.figures == {}


def test_spaces_with_one_kind_of_cell_and_edge_weights() -> None:
    space: Any = get_space("nasbench201")
    alarm = CollapseAlarm(AlarmSettings(), space)
    mixture = weights(space, cell="skip_connect")
    assert set(mixture["mixture"]) == {"cell"}
    assert alarm.watch(0, mixture, None) == ["6 of 6 operations of cell are skips"]
    alarm = CollapseAlarm(AlarmSettings(), DARTS)
    mixture = weights(DARTS, normal="skip_connect")
    # Edge weights choose other edges: those without a skip.
    table = mixture["mixture"]["normal"]
    edges = [edge for edge in DARTS.edges if edge.group == "normal"]
    for edge in edges:
        if edge.source < 2:
            table[edge.row] = [0.02] * 7 + [0.9]
    by_edge = [1.0 if edge.source < 2 else 0.1 for edge in edges]
    mixture["edge_weights"] = {"normal": by_edge, "reduce": [1.0] * 14}
    assert alarm.watch(1, mixture, None) == []
