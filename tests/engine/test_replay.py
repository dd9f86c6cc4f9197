"""Kill at any event, resume: same log, same result."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.core.problem import Problem
from nas.core.work import Evaluate, Next, Start
from nas.engine.executors.base import Setup
from nas.strategies.base import Strategy
from nas.strategies.random import Random
from nas.strategies.regularized_evolution import RegularizedEvolution
from nas.testing.replay import Trial, check_replay, undisturbed
from nas.testing.toys import Alternating, toy_evaluator, toy_problem


def trial(strategy: Strategy, budget: str | None = None, seed: int = 0) -> Trial:
    setup = Setup(evaluator=toy_evaluator, spec={"seed": 5})
    return Trial(strategy, toy_problem(), setup, budget, seed)


EVOLUTION = {"population": 4, "tournament": 2, "parallel": 2}


@pytest.mark.parametrize(
    ("strategy", "budget"),
    [
        (Random({"batch": 3}), "7evaluations"),
        (RegularizedEvolution(EVOLUTION), "9evaluations"),
        (Alternating(), None),
    ],
    ids=["random", "evolution", "alternating"],
)
def test_a_kill_at_every_event(strategy: Strategy, budget: str | None) -> None:
    assert check_replay(trial(strategy, budget)) > 20


class Mixed(Strategy):
    """Batches, duplicates and asynchronous works in an order that chance decides."""

    steps: ClassVar[int] = 12

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        """Ask for anything."""
        pool = problem.sample(6, rng)
        flying = 0
        for _ in range(self.steps):
            kind = rng.integers(3) if flying else rng.integers(2)
            works = [Evaluate(pool[i], float(rng.integers(1, 3))) for i in rng.integers(6, size=2)]
            if kind == 0:
                outcomes = yield works
                pool[0] = problem.mutate(problem.best(outcomes).candidate, rng)
            elif kind == 1:
                yield Start(works)
                flying += len(works)
            else:
                outcome = yield Next()
                flying -= 1
                pool[1] = problem.mutate(outcome.candidate, rng)
        return [pool[0]]


@settings(max_examples=25)
@given(seed=st.integers(0, 5), kills=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_kills_again_and_again(seed: int, kills: list[int]) -> None:
    check_replay(trial(Mixed(), "14evaluations", seed), [tuple(kills)])


@settings(max_examples=10)
@given(kills=st.lists(st.integers(1, 106), min_size=1, max_size=5))
def test_sessions_survive_kills_again_and_again(kills: list[int]) -> None:
    check_replay(trial(Alternating()), [tuple(kills)])


def test_the_kit_finds_a_strategy_that_breaks_the_rules() -> None:
    class Forgetful(Strategy):
        """Keeps its state outside of the generator."""

        count = 0

        def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
            for candidate in problem.sample(4, rng):
                self.count += 1
                yield [Evaluate(candidate, self.count)]

    with pytest.raises(AssertionError, match="killed at"):
        check_replay(trial(Forgetful()), [(9,)])


def test_the_same_seed_is_the_same_search_and_another_is_not() -> None:
    first, second = undisturbed(trial(Mixed())), undisturbed(trial(Mixed()))
    assert first[1] == second[1]
    assert undisturbed(trial(Mixed(), seed=1))[1] != first[1]
