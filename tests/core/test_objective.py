"""Objectives: what is read, what is refused, what is feasible."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.errors import ConfigError
from nas.core.objective import Objective, check_metrics, parse_objectives


@pytest.mark.parametrize(
    ("text", "expected", "again"),
    [
        ("error", Objective("error"), "error:min"),
        ("error:min", Objective("error"), "error:min"),
        ("accuracy:max", Objective("accuracy", "max"), "accuracy:max"),
        ("params:min<=2e6", Objective("params", "min", 2e6), "params:min<=2000000"),
        (" params : min <= 2345678 ", Objective("params", "min", 2345678), "params:min<=2345678"),
        ("params<=.5", Objective("params", "min", 0.5), "params:min<=0.5"),
        ("score:max>=-3.5", Objective("score", "max", -3.5), "score:max>=-3.5"),
        ("my_metric2:max", Objective("my_metric2", "max"), "my_metric2:max"),
    ],
)
def test_texts(text: str, expected: Objective, again: str) -> None:
    assert Objective.parse(text) == expected
    assert str(expected) == again
    assert Objective.parse(again) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ":min", "error:", "error:best", "error:min:max", "err or", "2fast", "error<=",
        "error<=x", "error<=nan", "error<=inf", "error<=1e999", "error<=1e", "error=1", "error==1",
        "error<1", "error>=0.1", "error:min>=1", "score:max<=1", "score:max>1", "error<=1<=2",
        "error<=1 2", "error<=1_000", "error:min\n<=\x00", "érror", "error<=٣", "a" * 10_000 + "!",
        "error,params", "error;params",
    ],
)  # fmt: skip
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as got:
        Objective.parse(text)
    assert str(got.value).isprintable()
    assert len(str(got.value)) < 1000


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(("min", "max")))
def test_limits_survive_being_written(limit: float, direction: Any) -> None:
    objective = Objective("x", direction, limit)
    assert Objective.parse(str(objective)) == objective


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        objective = Objective.parse(text)
    except ConfigError:
        return
    assert Objective.parse(str(objective)) == objective


def test_impossible_objectives_are_refused() -> None:
    with pytest.raises(ConfigError, match="goes to 'down'"):
        Objective("error", "down")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="limit inf"):
        Objective("error", "min", math.inf)


def test_lists_of_objectives() -> None:
    assert parse_objectives(("error", "params:min<=10")) == (
        Objective("error"),
        Objective("params", "min", 10),
    )
    assert parse_objectives("error") == (Objective("error"),)
    for texts, message in (
        ((), "no objective"),
        (("error", "error:max"), "stands twice"),
        (("test_error",), "tune on the test split"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_objectives(texts)
    check_metrics(parse_objectives(("error", "params")), ("params", "error", "macs"))
    with pytest.raises(
        ConfigError, match="nobody reports the objective 'eror'; did you mean error"
    ):
        check_metrics((Objective("eror"),), ("error", "params"))


@pytest.mark.parametrize(
    ("text", "figure", "cost", "feasible"),
    [
        ("x", 2.0, 2.0, True),
        ("x:max", 2.0, -2.0, True),
        ("x<=2", 2.0, 2.0, True),
        ("x<=2", 2.1, 2.1, False),
        ("x:max>=2", 2.0, -2.0, True),
        ("x:max>=2", 1.9, -1.9, False),
        ("x:max", 0, 0.0, True),
        ("x", math.nan, math.inf, False),
        ("x", -math.inf, math.inf, False),
        ("x:max>=1", math.inf, math.inf, False),
        ("x", 10**400, math.inf, False),
        ("y", 1.0, math.inf, False),
        ("y<=1", 1.0, math.inf, False),
    ],
)
def test_cost_and_feasibility(text: str, figure: float, cost: float, feasible: bool) -> None:
    objective = Objective.parse(text)
    assert objective.cost({"x": figure}) == cost
    assert objective.feasible({"x": figure}) is feasible


@pytest.mark.parametrize(
    ("text", "value", "beyond"),
    [
        ("params:min<=100", 100.0, 0.0),
        ("params:min<=100", 150.0, 0.5),
        ("score:max>=2", 1.0, 0.5),
        ("score:max>=2", 3.0, 0.0),
        ("loss:min<=0", 3.0, 3.0),
        ("loss:min", 3.0, 0.0),
        ("loss:min", math.nan, math.inf),
    ],
)
def test_how_far_beyond_the_limit(text: str, value: float, beyond: float) -> None:
    objective = Objective.parse(text)
    assert objective.violation({objective.metric: value}) == beyond
    assert objective.violation({}) == math.inf


@given(st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False))
def test_feasible_is_no_violation(value: float, limit: float) -> None:
    objective = Objective("x", "min", limit)
    figures = {"x": value}
    assert objective.feasible(figures) == (objective.violation(figures) == 0.0)
