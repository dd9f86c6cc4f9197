from __future__ import annotations

import math

import pytest

from nas.monitors.tables import Table, tables


def test_one_list_of_operations_for_all() -> None:
    event = {
        "groups": {"normal": [[0.25, 0.75], [1.0, 0.0]], "reduce": [[0.5, 0.5]]},
        "operations": ["skip_connect", "sep_conv_3x3"],
        "edges": ["normal/0<-0", "normal/0<-1", "reduce/0<-0"],
    }
    normal, reduce = tables(event)
    assert normal.rows == ("normal/0<-0", "normal/0<-1")
    assert normal.columns == ("skip_connect", "sep_conv_3x3")
    assert normal.values == ((0.25, 0.75), (1.0, 0.0))
    assert reduce.rows == ("reduce/0<-0",)
    assert normal.payload()["values"] == [[0.25, 0.75], [1.0, 0.0]]


def test_operations_of_each_edge() -> None:
    event = {
        "groups": {"normal": [[0.4, 0.6], [0.1, 0.9]]},
        "operations": {"normal": [["a", "b"], ["b", "c"]]},
        "edges": {"normal": ["e0", "e1"]},
    }
    (table,) = tables(event)
    assert table.columns == ("a", "b", "c")
    assert table.values == ((0.4, 0.6, None), (None, 0.1, 0.9))
    assert table.rows == ("e0", "e1")


def test_edges_without_names_are_numbered() -> None:
    (table,) = tables({"groups": {"cell": [[1.0]]}, "operations": ["a"]})
    assert table.rows == ("cell/0",)


def test_entropy_is_a_share_over_undecided_edges() -> None:
    table = Table("g", ("a", "b", "c"), ("x", "y"), ((0.5, 0.5), (1.0, 0.0), (0.0, 0.0)))
    assert table.entropy() == pytest.approx(1.0)
    quarter = Table("g", ("a",), ("x", "y"), ((0.25, 0.75),))
    by_hand = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert quarter.entropy() == pytest.approx(by_hand)
    assert Table("g", ("a",), ("x", "y"), ((0.0, 1.0),)).entropy() == 0.0


def test_skips_leave_none_aside() -> None:
    columns = ("none", "skip_connect", "sep_conv_3x3")
    values = ((0.6, 0.3, 0.1), (0.1, 0.2, 0.7), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    assert Table("g", ("a", "b", "c", "d"), columns, values).skips() == 1
