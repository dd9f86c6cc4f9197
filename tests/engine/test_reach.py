"""Limits that cannot be kept are said before anything starts, with what could be."""

from __future__ import annotations

import numpy as np
import pytest

from nas.core.errors import ConfigError
from nas.core.objective import Objective
from nas.engine.reach import best_reachable
from nas.engine.resolve import resolve
from nas.testing.toys import ToySpace
from search_spaces import get_space


def ask(objective: str) -> None:
    resolve(
        {"space": "nasbench201", "strategy": "random", "objectives": ("error", objective)},
        assignments=["network.channels=4", "network.layers=1"],
    )


@pytest.mark.parametrize(
    ("limit", "metric", "word"), [("min<=10", "params", "least"), ("max>=1e12", "macs", "most")]
)
def test_the_best_reachable_value_is_said(limit: str, metric: str, word: str) -> None:
    space = get_space("nasbench201")
    every = [
        getattr(space.cost(member, (1, 8, 8), 10, channels=4, layers=1), metric)  # type: ignore[attr-defined]
        for member in space.enumerate()
    ]
    best = min(every) if word == "least" else max(every)
    with pytest.raises(ConfigError, match=rf"the {word} in nasbench201 is {best}") as got:
        ask(f"{metric}:{limit}")
    assert got.value.exit_code == 2


def test_what_can_be_reached_passes() -> None:
    ask("params:min<=8000")
    ask("macs:max>=100")
    ask("params:min")


def test_a_large_space_says_that_it_was_searched() -> None:
    with pytest.raises(ConfigError, match="the least found in darts is"):
        resolve({"space": "darts", "strategy": "random", "objectives": ("params:min<=10",)})


def test_other_metrics_are_not_known_beforehand() -> None:
    ask("loss:min<=1e-9")


@pytest.mark.parametrize("direction", ["min", "max"])
def test_enumeration_is_exact_where_climbing_is_misled(direction: str) -> None:
    space = ToySpace()
    members = list(space.enumerate())
    rng = np.random.default_rng(0)
    values = dict(zip((m.id for m in members), rng.random(len(members)).tolist(), strict=True))
    best = min(values.values()) if direction == "min" else max(values.values())
    objective = Objective("params", direction, -1.0 if direction == "min" else 2.0)  # type: ignore[arg-type]
    assert best_reachable(space, objective, lambda a: values[a.id]) == (best, True)
