"""What follows every search: which trainings are asked for, and what random search may spend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Architecture, Candidate, Recipe
from nas.core.config import FinalSettings
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome, Spent
from nas.strategies.finale import FOUND, RANDOM, finale
from nas.testing.toys import ToySpace, toy_problem

MEMBERS = list(ToySpace().enumerate())


def member(index: int) -> Architecture:
    return MEMBERS[index]


def answered(work: Evaluate, macs: float = 10.0) -> Outcome:
    """Error by the hash of the architecture."""
    error = int(work.candidate.architecture.id[:4], 16) / 0xFFFF
    return Outcome(work, figures={"error": error}, spent=Spent(macs=macs))


def failed(work: Evaluate) -> Outcome:
    return Outcome(work, "failed", error="diverged", spent=Spent(macs=10.0))


def asked(
    found: Sequence[Candidate],
    macs: float = 0.0,
    answer: Callable[[Evaluate], Outcome] = answered,
    problem: Problem | None = None,
    recipe: Recipe | None = None,
    **settings: Any,
) -> tuple[list[Evaluate], list[Evaluate], list[Candidate]]:
    """Short trainings of random search, full trainings, what is returned."""
    chosen = FinalSettings(**settings)
    problem = problem or toy_problem("error")
    generator = finale(problem, found, macs, chosen, np.random.default_rng(0), recipe)
    draws: list[Evaluate] = []
    finals: list[Evaluate] = []
    reply: Any = None
    while True:
        try:
            works = generator.send(reply)
        except StopIteration as end:
            return draws, finals, end.value
        assert isinstance(works, list)
        for work in works:
            assert isinstance(work, Evaluate)
            (finals if work.tags["stage"] == "final" else draws).append(work)
        reply = [answer(work) for work in works]


def test_both_arms_on_the_same_seeds_and_scales() -> None:
    scales = ({"channels": 4}, {"channels": 8, "layers": 2})
    draws, finals, returned = asked(
        [Candidate(member(3))], macs=35, scales=scales, seeds=2, epochs=7, random_epochs=2
    )
    plan = [(dict(w.candidate.scale), w.seed, w.tags["arm"]) for w in finals]
    assert plan == [
        (scale, seed, arm) for scale in scales for seed in (0, 1) for arm in (FOUND, RANDOM)
    ]
    assert all(work.split == "test" and work.budget == 7.0 for work in finals)
    assert {w.candidate.architecture for w in finals if w.tags["arm"] == FOUND} == {member(3)}
    assert all(work.split == "validation" and work.budget == 2.0 for work in draws)
    assert all(work.tags == {"stage": "draw", "arm": RANDOM} for work in draws)
    assert returned == [Candidate(member(3), None, scale) for scale in scales]


def test_random_search_s_pick_is_its_best_by_validation_error() -> None:
    draws, finals, _ = asked([Candidate(member(3))], macs=200)
    (pick,) = {w.candidate.architecture for w in finals if w.tags["arm"] == RANDOM}
    best = min(draws, key=lambda work: answered(work).figures["error"])
    assert pick == best.candidate.architecture


def test_random_search_has_as_many_picks_as_were_found() -> None:
    draws, finals, _ = asked([Candidate(member(i)) for i in (3, 5, 8)], macs=200, seeds=1)
    picks = [w.candidate.architecture for w in finals if w.tags["arm"] == RANDOM]
    ranked = sorted(draws, key=lambda work: answered(work).figures["error"])
    assert picks == [work.candidate.architecture for work in ranked[:3]]


def test_the_run_s_own_scale_and_recipe_are_the_default() -> None:
    _, finals, returned = asked([Candidate(member(3))], random_arm=False, seeds=3)
    assert [work.seed for work in finals] == [0, 1, 2]
    assert all(work.budget is None and not work.candidate.scale for work in finals)
    assert returned == [Candidate(member(3))]
    recipe = Recipe({"epochs": 3})
    _, finals, _ = asked([Candidate(member(3))], recipe=recipe, random_arm=False)
    assert all(work.candidate.recipe == recipe for work in finals)


def test_each_found_architecture_is_trained_once() -> None:
    found = [Candidate(member(3)), Candidate(member(3), None, {"channels": 4})]
    _, finals, _ = asked([*found, Candidate(member(5))], random_arm=False, seeds=1)
    assert [work.candidate.architecture for work in finals] == [member(3), member(5)]


@pytest.mark.parametrize("macs", [1, 10, 35, 100, 101])
def test_random_search_spends_what_the_search_did(macs: int) -> None:
    draws, _, _ = asked([Candidate(member(3))], macs=macs)
    assert len(draws) == max(4, -(-macs // 10))
    assert len({work.candidate.id for work in draws}) == len(draws)


def test_random_search_is_limited() -> None:
    draws, finals, _ = asked([Candidate(member(3))], macs=1e12, random_limit=10)
    assert len(draws) == 10
    assert {work.tags["arm"] for work in finals} == {FOUND, RANDOM}


def test_what_was_drawn_before_does_not_end_the_drawing() -> None:
    draws, _, _ = asked([Candidate(member(3))], macs=10 * 200, random_limit=200)
    assert len({work.candidate.id for work in draws}) == 200  # of 512


def test_without_a_cost_there_is_no_random_arm() -> None:
    draws, finals, _ = asked([Candidate(member(3))], macs=0)
    assert draws == []
    assert {work.tags["arm"] for work in finals} == {FOUND}


@pytest.mark.parametrize("free", [True, False])
def test_when_all_random_candidates_fail_the_found_one_stands_alone(free: bool) -> None:
    def fails(work: Evaluate) -> Outcome:
        if work.tags["arm"] == FOUND:
            return answered(work)
        macs = 0.0 if free else 10.0
        return Outcome(work, "failed", error="diverged", spent=Spent(macs=macs))

    draws, finals, returned = asked([Candidate(member(3))], 100, fails, random_limit=12)
    assert len(draws) == (12 if free else 10)
    assert {work.tags["arm"] for work in finals} == {FOUND}
    assert returned == [Candidate(member(3))]


def test_failing_candidates_are_not_picked() -> None:
    def some(work: Evaluate) -> Outcome:
        good = answered(work).figures["error"] < 0.5
        return failed(work) if good and work.tags["stage"] == "draw" else answered(work)

    draws, finals, _ = asked([Candidate(member(3))], 200, some)
    (pick,) = {w.candidate.architecture for w in finals if w.tags["arm"] == RANDOM}
    alive = [work for work in draws if some(work).ok]
    assert 0 < len(alive) < len(draws)
    assert pick in {work.candidate.architecture for work in alive}


class Few(ToySpace):
    """A space of three members, as far as sampling goes."""

    def sample(self, rng: np.random.Generator) -> Architecture:
        return member(int(rng.integers(3)))


def test_a_space_smaller_than_the_compute_is_drawn_once() -> None:
    problem = Problem(Few(), toy_problem("error").objectives)
    draws, finals, _ = asked([Candidate(member(0))], 1e9, problem=problem)
    drawn = [work.candidate.architecture for work in draws]
    assert sorted(a.id for a in drawn) == sorted(member(i).id for i in range(3))
    assert {work.tags["arm"] for work in finals} == {FOUND, RANDOM}


def test_limits_of_objectives_bind_random_search_too() -> None:
    problem = toy_problem("error", "params:min<=200")

    def sized(work: Evaluate) -> Outcome:
        width = int(str(work.candidate.architecture.choices["width"]))
        figures = {"error": 1.0 / width, "params": 100.0 * width}
        return Outcome(work, figures=figures, spent=Spent(macs=10.0))

    draws, finals, _ = asked([Candidate(member(3))], 300, sized, problem=problem)
    (pick,) = {w.candidate.architecture for w in finals if w.tags["arm"] == RANDOM}
    assert max(int(str(w.candidate.architecture.choices["width"])) for w in draws) > 2
    assert int(str(pick.choices["width"])) == 2
