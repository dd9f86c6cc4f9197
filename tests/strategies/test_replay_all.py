"""Every registered strategy that samples goes on as if it had never been killed."""

from __future__ import annotations

from typing import Any

import pytest

from nas.engine.executors.base import Setup
from nas.strategies import STRATEGIES, Strategy
from nas.testing.gan import ToyEagan, toy_gan_problem
from nas.testing.replay import Trial, check_replay
from nas.testing.toys import toy_evaluator, toy_problem

SAMPLING = [name for name in STRATEGIES.names() if not STRATEGIES.get(name).sessions]

SMALL: dict[str, list[dict[str, Any]]] = {
    "asha": [{"levels": (1, 2, 4), "eta": 2}, {"levels": (1, 3), "parallel": 3, "schedule": "own"}],
    "bananas": [
        {
            "initial": 3,
            "batch": 2,
            "pool": 6,
            "encoding": "onehot",
            "predictor_settings": {"members": 2, "steps": 10},
        }
    ],
    "fbnetv3": [
        {
            "predictor": "gp",
            "predictor_settings": {"encoding": "onehot"},
            "pool": 20,
            "first": 5,
            "batch": 2,
            "rounds": 2,
            "search": {"best": 2, "random": 2, "children": 1, "generations": 1, "patience": 1},
        }
    ],
    "hyperband": [{"levels": (1, 2, 4), "eta": 2}],
    "local-search": [{}, {"improvement": "best", "initial": 2}, {"batch": 3}],
    "nsga2": [
        {"population": 4},
        {"population": 3, "parallel": 2, "offspring": 1},
        {"population": 3, "repeats": 2, "parallel": 3},
    ],
    "random": [{"batch": 3}],
    "regularized-evolution": [{"population": 4, "tournament": 2, "parallel": 2}],
}
"""Settings under which nine evaluations show all that a strategy does."""

CASES = [(name, settings) for name in SAMPLING for settings in SMALL.get(name, [{}])]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{n}-{s}" for n, s in CASES])
@pytest.mark.parametrize("objectives", [("error",), ("error", "params")], ids=["one", "two"])
def test_a_kill_at_every_event(name: str, settings: dict[str, Any], objectives: Any) -> None:
    strategy: Strategy = STRATEGIES.get(name)(settings)
    problem = toy_problem(*objectives)
    trial = Trial(strategy, problem, Setup(evaluator=toy_evaluator), "9evaluations")
    assert check_replay(trial) > 20


@pytest.mark.parametrize(
    "settings",
    [{"discriminators": {"stop": False}}, {"mode": "paper", "picks": 3}],
    ids=["default", "paper"],
)
def test_a_search_of_gans_killed_at_every_event(settings: dict[str, Any]) -> None:
    first = {"warmup": 2, "rounds": 2, "epochs": 1, "population": 4}
    own = settings.get("discriminators", {})
    second = {"warmup": 0, "rounds": 2, "population": 3, "replicates": 2, **own}
    strategy = ToyEagan({"chunk": 2, **settings, "generators": first, "discriminators": second})
    trial = Trial(strategy, toy_gan_problem(), Setup(evaluator=toy_evaluator))
    assert check_replay(trial) > 20
