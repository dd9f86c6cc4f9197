"""No candidate twice, until there is none left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from evolution.variation import Variation
from nas.core.architecture import Architecture
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.space import Space
from nas.core.work import Evaluate
from nas.strategies import STRATEGIES
from nas.testing.landscapes import Pairwise, drive
from nas.testing.toys import ToySpace, toy_figures, toy_problem


class Mirrored(ToySpace):
    """The order of the operations means nothing."""

    def canonical(self, architecture: Architecture) -> Architecture:
        choices = dict(architecture.choices)
        operations = sorted(str(choices[f"op{i}"]) for i in range(3))
        return self.architecture(choices | {f"op{i}": o for i, o in enumerate(operations)})


class Narrow(ToySpace):
    """Few members, far apart from each other."""

    def refusal(self, choices: Mapping[str, Any]) -> str:
        same = len({choices[f"op{i}"] for i in range(3)}) == 1
        return "" if same and choices["width"] in (1, 8) else "mixed"

    @property
    def size(self) -> int:
        return 8

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        return self.sample(rng)


def problem_of(space: Space) -> Problem:
    return Problem(space, (Objective("error"),))


@pytest.mark.parametrize("kind", ["sample", "mutant"])
def test_every_member_is_proposed_once_and_then_none(kind: str) -> None:
    problem, rng = toy_problem(), np.random.default_rng(0)
    variation = Variation(problem, rng)
    (first,) = variation.sample(1)
    ids = {first.id}
    while True:
        new = variation.mutant(first) if kind == "mutant" else next(iter(variation.sample(1)), None)
        if new is None:
            break
        assert new.id not in ids
        ids.add(new.id)
    assert len(ids) == problem.space.size == variation.known == 512
    assert variation.exhausted
    assert variation.sample(3) == []


def test_mutants_are_near_as_long_as_there_are_near_ones() -> None:
    problem, rng = toy_problem(), np.random.default_rng(1)
    variation = Variation(problem, rng)
    (parent,) = variation.sample(1)
    here = parent.architecture.choices
    found = [variation.mutant(parent) for _ in range(8)]
    steps = [sum(c.architecture.choices[n] != here[n] for n in here) for c in found if c]
    assert steps == [1] * 8


def test_candidates_of_one_function_are_one() -> None:
    variation = Variation(problem_of(Mirrored()), np.random.default_rng(0), canonical=True)
    count = 0
    while variation.sample(1):
        count += 1
    assert count == 20 * 8  # multisets of three out of four operations, times widths


def test_a_space_of_islands_is_exhausted_too() -> None:
    variation = Variation(problem_of(Narrow()), np.random.default_rng(0))
    assert len(variation.sample(100)) == 8


def test_duplicates_are_proposed_if_asked_for() -> None:
    variation = Variation(toy_problem(), np.random.default_rng(0), duplicates=True)
    found = variation.sample(2000)
    assert len(found) == 2000
    assert len({candidate.id for candidate in found}) < 512


SAMPLING = [name for name in STRATEGIES.names() if not STRATEGIES.get(name).sessions]
TWICE = {"asha", "hyperband", "rank-nosh"}
"""Strategies that ask for a candidate again at a larger budget."""
OWN: dict[str, dict[str, Any]] = {
    "bananas": {"encoding": "onehot"},
    "fbnetv3": {
        "predictor": "gp",
        "predictor_settings": {"encoding": "onehot"},
        "rounds": 10,
        "search": {"best": 10, "random": 10, "children": 2, "patience": 2},
    },
}


@pytest.mark.parametrize("name", SAMPLING)
def test_no_strategy_asks_for_the_same_twice(name: str) -> None:
    problem = toy_problem()
    told = drive(
        STRATEGIES.get(name)(OWN.get(name)),
        problem,
        lambda work: toy_figures(work.candidate, work.budget, 0),
        300,
    )
    keys = [outcome.work.key for outcome in told]
    assert len(keys) == len(set(keys)) >= 150  # some end by themselves
    if name not in TWICE:
        assert len({outcome.candidate.id for outcome in told}) == len(told)


def test_the_landscape_is_what_it_says() -> None:
    land = Pairwise()
    assert land.costs.shape == (15_625, 2)
    assert land.problem.space.size == 15_625
    members = land.problem.space.enumerate()
    for index, member in zip(range(40), members, strict=False):
        work = Evaluate(land.problem.candidate(member))
        figures = land.figures(work)
        row = land.costs[index]
        assert (-figures["score"], figures["cost"]) == pytest.approx(tuple(row))
