"""Random search and regularized evolution on a problem with a known optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas.core.config import RunConfig
from nas.core.errors import ConfigError
from nas.core.work import Evaluate, Next, Outcome, Start
from nas.engine.budget import Budget
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.run import Plan, Run
from nas.strategies import STRATEGIES, Strategy
from nas.strategies.random import Random
from nas.strategies.regularized_evolution import RegularizedEvolution
from nas.testing.toys import ToySpace, toy_evaluator, toy_problem


def search(strategy: Strategy, budget: str, seed: int = 0) -> Run:
    config = RunConfig(space="toy", strategy="x", objectives=("error",), seed=seed)
    run = Run.create(None, config)
    stage = Stage("search", lambda p, r, _: strategy.run(p, r), Budget.parse(budget))
    run.execute(Plan(toy_problem("error"), [stage], Setup(evaluator=toy_evaluator)))
    return run


def test_both_are_registered() -> None:
    assert STRATEGIES.get("random") is Random
    assert STRATEGIES.get("regularized-evolution") is RegularizedEvolution


def test_random_search_draws_each_candidate_once_and_ends_with_the_space() -> None:
    run = search(Random({"batch": 64}), "100000evaluations")
    ids = [entry.candidate.id for entry in run.history]
    assert len(ids) == len(set(ids)) == ToySpace().size == 512
    assert run.result is not None
    assert run.result.reason == "finished"
    assert run.best is not None
    choices = run.best.candidate.architecture.choices
    assert [choices[f"op{i}"] for i in range(3)] == ["conv"] * 3


def test_evolution_beats_random_search_at_equal_cost() -> None:
    wins = 0
    for seed in range(8):
        evolution = RegularizedEvolution({"population": 10, "tournament": 4})
        best = [
            run.best.figures["error"]
            for run in (
                search(evolution, "70evaluations", seed),
                search(Random(), "70evaluations", seed),
            )
            if run.best is not None
        ]
        wins += best[0] <= best[1]
    assert wins >= 6


def test_the_oldest_dies_and_children_differ_in_one_choice_from_a_winner() -> None:
    problem, rng = toy_problem("error"), np.random.default_rng(0)
    generator = RegularizedEvolution({"population": 3, "tournament": 40}).run(problem, rng)

    def told(work: Any, error: float) -> Outcome:
        assert isinstance(work, Evaluate)
        return Outcome(work, figures={"error": error})

    first = next(generator)
    eldest, second, third = (
        told(work, error) for work, error in zip(first, (0.1, 0.5, 0.4), strict=True)
    )
    request = generator.send([eldest, second, third])
    parent = eldest  # the tournament is large enough to see everybody
    for error in (0.45, 0.3):
        assert isinstance(request, Start)
        (child,) = request.works
        assert differing(child, parent.work) == 1
        assert isinstance(generator.send(None), Next)
        outcome = told(child, error)
        request = generator.send(outcome)
        parent = third if error == 0.45 else outcome  # the best one died of age
    assert isinstance(request, Start)
    assert differing(request.works[0], parent.work) == 1


def differing(child: Any, parent: Any) -> int:
    one, other = (work.candidate.architecture.choices for work in (child, parent))
    return sum(one[name] != other[name] for name in one)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "batch"),
        ({"batches": 3}, "did you mean batch"),
        ({"epochs": -1}, "epochs"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Random(settings)


def test_settings_may_be_a_model() -> None:
    model = Random.Settings(batch=3)
    assert Random(model).settings == model
    with pytest.raises(ConfigError, match="batch"):
        RegularizedEvolution(model)
