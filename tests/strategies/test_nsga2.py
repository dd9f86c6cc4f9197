"""NSGA-II on landscapes whose exact front is known, and what it promises about its works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evolution.quality import hypervolume, non_dominated, reference_point
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome
from nas.strategies.nsga2 import Nsga2
from nas.testing.landscapes import Pairwise, drive
from nas.testing.toys import toy_figures, toy_problem


def reached(land: Pairwise, told: list[Outcome], seed: int) -> tuple[float, int, int]:
    """Share of the hypervolume at 1,000 evaluations; front points found, and all there are."""
    reference = reference_point(land.costs)
    exact = land.costs[non_dominated(land.costs)]
    costs = np.array([land.problem.costs(outcome) for outcome in told])
    points = {tuple(row) for row in exact.round(9).tolist()}
    found = points & {tuple(row) for row in costs.round(9).tolist()}
    share = hypervolume(costs[:1000], reference) / hypervolume(exact, reference)
    return share, len(found), len(points)


@pytest.mark.parametrize("seed", range(10))
def test_the_front_is_found(seed: int) -> None:
    land = Pairwise()
    told = drive(Nsga2(), land.problem, land.figures, 3000, seed)
    share, found, points = reached(land, told, seed)
    assert share >= 0.99
    assert found == points
    assert len({outcome.candidate.id for outcome in told}) == 3000


@pytest.mark.parametrize("settings", [{"parallel": 1, "offspring": 1}, {"parallel": 16}])
def test_a_steady_flow_finds_it_too(settings: dict[str, Any]) -> None:
    land = Pairwise()
    told = drive(Nsga2(settings), land.problem, land.figures, 1000, 0)
    assert reached(land, told, 0)[0] >= 0.98


def test_limits_are_kept_where_they_can_be() -> None:
    problem = toy_problem("error", "params:min<=400")
    strategy = Nsga2({"population": 20})
    told = drive(strategy, problem, figures, 200)
    late = [outcome for outcome in told[100:] if problem.violation(outcome) == 0]
    early = [outcome for outcome in told[:20] if problem.violation(outcome) == 0]
    assert len(late) / 100 > len(early) / 20
    best = problem.best(told)
    assert problem.violation(best) == 0


def figures(work: Evaluate) -> dict[str, float]:
    return toy_figures(work.candidate, work.budget, work.seed or 0)


def test_repeats_are_measured_with_other_seeds_and_the_front_is_returned() -> None:
    problem: Problem = toy_problem()
    strategy = Nsga2({"population": 6, "repeats": 3, "parallel": 4})
    told = drive(strategy, problem, figures, 90)
    seeds: dict[str, set[int | None]] = {}
    for outcome in told:
        assert isinstance(outcome.work, Evaluate)
        seeds.setdefault(outcome.candidate.id, set()).add(outcome.work.seed)
    assert sum(found == {0, 1, 2} for found in seeds.values()) >= 25

    generator = strategy.run(problem, np.random.default_rng(0))
    request = next(generator)
    assert not isinstance(request, list)
    del request
    works = Nsga2({"population": 6, "repeats": 3}).run(problem, np.random.default_rng(0))
    batch = next(works)
    assert isinstance(batch, list)
    works.send([Outcome(work, figures=figures(work)) for work in batch])
    with pytest.raises(StopIteration) as end:
        works.throw(GeneratorExit())
    assert end.value.value
    assert set(end.value.value) <= {work.candidate for work in batch}


def test_it_ends_with_the_space() -> None:
    for settings in ({"population": 30}, {"population": 30, "parallel": 3}):
        told = drive(Nsga2(settings), toy_problem(), figures, 10_000)
        assert len({outcome.candidate.id for outcome in told}) == len(told) == 512
