"""Hyperband, ASHA and their ladders; local search; BANANAS: what the papers say they do."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nas.core.errors import ConfigError
from nas.core.front import Front, Point
from nas.core.work import Evaluate, Outcome
from nas.strategies.asha import Asha
from nas.strategies.bananas import Bananas
from nas.strategies.fidelity import FidelitySettings
from nas.strategies.hyperband import Hyperband, first_count
from nas.strategies.local_search import LocalSearch
from nas.strategies.random import Random
from nas.testing.landscapes import drive
from nas.testing.toys import toy_figures, toy_problem


def figures(work: Evaluate) -> dict[str, float]:
    return toy_figures(work.candidate, work.budget, 0)


# -- ladders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "ladder"),
    [
        ({"min_epochs": 1, "max_epochs": 81, "eta": 3}, (1, 3, 9, 27, 81)),
        ({"min_epochs": 4, "max_epochs": 108, "eta": 3}, (4, 12, 36, 108)),
        ({"min_epochs": 1, "max_epochs": 200, "eta": 4}, (3, 12, 50, 200)),
        ({"min_epochs": 1, "max_epochs": 256, "eta": 4}, (1, 4, 16, 64, 256)),
        ({"min_epochs": 5, "max_epochs": 5}, (5,)),
        ({"levels": (12, 200)}, (12, 200)),
    ],
)
def test_budgets_grow_by_eta(settings: dict[str, Any], ladder: tuple[float, ...]) -> None:
    assert FidelitySettings(**settings).ladder == ladder
    assert Hyperband(settings).levels() == Asha(settings).levels() == ladder


@pytest.mark.parametrize(
    "settings", [{"levels": (3, 2)}, {"levels": ()}, {"levels": (0, 2)}, {"max_epochs": 0.5}]
)
def test_broken_ladders_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Asha(settings)


# -- Hyperband -------------------------------------------------------------------------------


def test_brackets_begin_as_in_the_papers_table() -> None:
    assert [first_count(4, bracket, 3) for bracket in (4, 3, 2, 1, 0)] == [81, 34, 15, 8, 5]


def test_a_round_is_the_papers_table() -> None:
    strategy = Hyperband({"min_epochs": 1, "max_epochs": 81, "rounds": 1, "schedule": "own"})
    told = drive(strategy, toy_problem("error"), figures, 10_000)
    works = [o.work for o in told if isinstance(o.work, Evaluate)]
    counts = Counter((work.tags["bracket"], work.budget) for work in works)
    assert counts == {
        (4, 1): 81, (4, 3): 27, (4, 9): 9, (4, 27): 3, (4, 81): 1,
        (3, 3): 34, (3, 9): 11, (3, 27): 3, (3, 81): 1,
        (2, 9): 15, (2, 27): 5, (2, 81): 1,
        (1, 27): 8, (1, 81): 2,
        (0, 81): 5,
    }  # fmt: skip
    assert all(work.since is None and work.horizon is None for work in works)


def test_the_best_are_promoted_and_go_on_where_they_ended() -> None:
    problem = toy_problem("error")
    strategy = Hyperband({"levels": (1, 3, 9), "only": 2, "rounds": 1})
    told = drive(strategy, problem, figures, 1000)
    rungs = [[o for o in told if o.budget == level] for level in (1, 3, 9)]
    assert [len(rung) for rung in rungs] == [9, 3, 1]
    for below, above in pairwise(rungs):
        best = sorted(below, key=problem.rank_key)[: len(above)]
        assert {o.candidate for o in best} == {o.candidate for o in above}
    assert [(o.work.since, o.work.horizon) for rung in rungs for o in rung[:1]] == [
        (None, 9), (1, 9), (3, 9)
    ]  # fmt: skip
    assert sum(o.spent.epochs for o in told) == 9 * 1 + 3 * 2 + 1 * 6


def test_promotion_by_several_objectives_keeps_the_front() -> None:
    problem = toy_problem()
    told = drive(Hyperband({"levels": (1, 3), "only": 1, "rounds": 1}), problem, figures, 1000)
    low = [o for o in told if o.budget == 1]
    costs = {o.candidate: problem.costs(o) for o in low}
    for outcome in (o for o in told if o.budget == 3):
        mine = costs[outcome.candidate]
        worse = [c for c in costs.values() if c[0] < mine[0] and c[1] < mine[1]]
        assert not worse


# -- ASHA ------------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [("error",), ("error", "params")])
@pytest.mark.parametrize("parallel", [1, 5])
def test_asha_promotes_from_the_top_and_never_more_than_a_part(
    objectives: tuple[str, ...], parallel: int
) -> None:
    strategy = Asha({"levels": (1, 3, 9), "parallel": parallel})
    told = drive(strategy, toy_problem(*objectives), figures, 300)
    counts = Counter(outcome.budget for outcome in told)
    # Somewhat more than a third: who was among the best once may not be in the end.
    assert counts[3] <= counts[1] / 2 + parallel
    assert counts[9] <= counts[3] / 2 + parallel
    assert counts[9] >= 15
    lower: dict[float, set[str]] = {1: set(), 3: set(), 9: set()}
    for outcome in told:
        assert outcome.candidate.id not in lower[outcome.budget or 0]
        lower[outcome.budget or 0].add(outcome.candidate.id)
    assert lower[9] <= lower[3] <= lower[1]


def test_a_late_bloomer_is_promoted_when_its_turn_comes() -> None:
    """With eta 2 the second best of two is promoted once four are known and it is in their half."""
    problem = toy_problem("error")
    generator = Asha({"levels": (1, 2), "eta": 2}).run(problem, np.random.default_rng(0))
    errors = iter((0.2, 0.3, 0.5, 0.6))
    asked: list[tuple[str, float | None]] = []
    request = next(generator)
    for _ in range(6):
        (work,) = request.works  # type: ignore[union-attr]
        asked.append((work.candidate.id, work.budget))
        generator.send(None)
        error = next(errors) if work.budget == 1 else 0.1
        request = generator.send(Outcome(work, figures={"error": error}))
    first, second = asked[0][0], asked[1][0]
    assert [a for a in asked if a[1] == 2] == [(first, 2), (second, 2)]


def test_failed_candidates_are_not_promoted() -> None:
    problem = toy_problem("error")
    generator = Asha({"levels": (1, 2), "eta": 2}).run(problem, np.random.default_rng(0))
    request = next(generator)
    for _ in range(20):
        (work,) = request.works  # type: ignore[union-attr]
        assert work.budget == 1
        generator.send(None)
        request = generator.send(Outcome(work, "failed", error="diverged"))


# -- local search ----------------------------------------------------------------------------


def test_local_search_ends_a_climb_only_at_an_optimum() -> None:
    problem = toy_problem("error")
    for settings in ({}, {"improvement": "best"}, {"batch": 4}):
        told = drive(LocalSearch(settings), problem, figures, 1000, seed=3)
        known = {o.candidate.architecture.id: o for o in told}
        assert len(known) == len(told) == 512  # it begins anew until nothing is left
    best = problem.best(told[:60])
    near = problem.space.neighbors(best.candidate.architecture)
    assert all(problem.merit(known[a.id]) >= problem.merit(best) for a in near)


def test_best_improvement_looks_at_all_neighbours() -> None:
    problem = toy_problem("error")
    generator = LocalSearch({"improvement": "best"}).run(problem, np.random.default_rng(0))
    (start,) = next(generator)  # type: ignore[misc]
    near = generator.send([Outcome(start, figures=figures(start))])
    expected = {a.id for a in problem.space.neighbors(start.candidate.architecture)}
    assert {work.candidate.id for work in near} == expected  # type: ignore[union-attr]


# -- BANANAS ---------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [("error",), ("error", "params:min<=700")])
def test_bananas_beats_random_search(objectives: tuple[str, ...]) -> None:
    problem = toy_problem(*objectives)
    wins = 0
    for seed in range(2):
        settings = {"initial": 10, "batch": 10, "encoding": "onehot"}
        volumes = []
        for strategy in (Bananas(settings), Random()):
            told = drive(strategy, problem, figures, 40, seed)
            front = Front(problem.objectives, (Point(o.candidate, o.figures) for o in told))
            volumes.append(front.hypervolume((1.0, 700.0)[: len(objectives)]))
        wins += volumes[0] >= volumes[1]
    assert wins == 2


@pytest.mark.parametrize("acquisition", ["its", "ucb", "greedy"])
def test_bananas_asks_in_batches_and_for_nothing_twice(acquisition: str) -> None:
    settings = {"initial": 6, "batch": 3, "acquisition": acquisition, "encoding": "onehot"}
    problem = toy_problem()
    generator = Bananas(settings).run(problem, np.random.default_rng(0))
    request: Any = next(generator)
    seen: set[str] = set()
    for size in (6, 3, 3):
        assert len(request) == size
        ids = {work.candidate.id for work in request}
        assert not ids & seen
        seen |= ids
        request = generator.send([Outcome(work, figures=figures(work)) for work in request])


def test_bananas_survives_that_all_fail() -> None:
    generator = Bananas({"initial": 3, "batch": 2}).run(
        toy_problem("error"), np.random.default_rng(0)
    )
    request: Any = next(generator)
    for _ in range(3):
        request = generator.send([Outcome(work, "failed") for work in request])
        assert len(request) == 2
