"""Sorting, crowding and survival against definitions written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution.member import Gathering, Member, member_of, members_of
from evolution.noise import domination, probability_not_worse, surely_dominates
from evolution.quality import hypervolume, ideal, nadir, non_dominated, reference_point
from evolution.selection import crowding, ordered, ranks, survivors
from nas.core.architecture import Candidate
from nas.core.front import dominates
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome
from nas.testing.toys import ToySpace

SPACE = ToySpace()
RNG = np.random.default_rng(0)
POOL = [Candidate(SPACE.sample(RNG)) for _ in range(40)]

rows = st.lists(st.tuples(*[st.integers(0, 4).map(float)] * 2), min_size=1, max_size=12)


def member(
    index: int, costs: tuple[float, ...], violation: float = 0.0, error: float = 0.0
) -> Member:
    return Member(POOL[index], costs, (error,) * len(costs), violation, f"{index:03}")


def slow_ranks(costs: list[tuple[float, ...]]) -> list[int]:
    left, result, front = set(range(len(costs))), [0] * len(costs), 0
    while left:
        best = {i for i in left if not any(dominates(costs[j], costs[i]) for j in left)}
        for i in best:
            result[i] = front
        left -= best
        front += 1
    return result


@given(rows)
def test_fronts_are_those_of_the_definition(costs: list[tuple[float, ...]]) -> None:
    assert ranks(np.array(costs)).tolist() == slow_ranks(costs)


@given(rows)
def test_one_objective_is_an_order(costs: list[tuple[float, ...]]) -> None:
    members = [member(i, row[:1]) for i, row in enumerate(costs)]
    assert [m.costs for m in ordered(members)] == sorted(row[:1] for row in costs)


def test_limits_come_first_and_the_nearest_to_them_next() -> None:
    costs = np.array([[1.0, 1.0], [5.0, 5.0], [0.0, 0.0], [0.0, 9.0], [np.inf, np.inf]])
    beyond = np.array([0.0, 0.0, 0.5, 0.1, np.inf])
    assert ranks(costs, beyond).tolist() == [0, 1, 3, 2, 4]


def test_crowding_is_the_side_length_of_the_empty_box() -> None:
    costs = np.array([[0.0, 10.0], [1.0, 6.0], [3.0, 2.0], [10.0, 0.0], [9.0, 9.0]])
    fronts = ranks(costs)
    assert fronts.tolist() == [0, 0, 0, 0, 1]
    found = crowding(costs, fronts)
    assert found[[0, 3, 4]].tolist() == [np.inf] * 3
    # Of the paper's sum over objectives pymoo takes the mean.
    assert found[1] == pytest.approx((3 / 10 + 8 / 10) / 2)
    assert found[2] == pytest.approx((9 / 10 + 6 / 10) / 2)


def test_survivors_are_the_best_fronts_and_the_least_crowded_of_the_last() -> None:
    points = [(0.0, 10.0), (1.0, 6.0), (3.0, 2.0), (10.0, 0.0), (9.0, 9.0)]
    members = [member(i, point) for i, point in enumerate(points)]
    assert [m.costs for m, _, _ in survivors(members[::-1], 3)] == [points[0], points[3], points[2]]
    assert survivors([], 3) == []


@given(rows, st.permutations(range(12)))
def test_the_order_does_not_depend_on_who_came_first(
    costs: list[tuple[float, ...]], order: list[int]
) -> None:
    members = [member(i, row) for i, row in enumerate(costs)]
    shuffled = [members[i] for i in order if i < len(members)]
    assert ordered(members) == ordered(shuffled)


# -- noise -----------------------------------------------------------------------------------


def test_the_probability_is_that_of_two_normal_distributions() -> None:
    draws = RNG.normal(1.0, 0.3, 200_000) <= RNG.normal(1.2, 0.4, 200_000)
    assert probability_not_worse(1.0, 0.3, 1.2, 0.4) == pytest.approx(draws.mean(), abs=5e-3)
    assert probability_not_worse(1.0, 0.0, 1.0, 0.0) == 1.0
    assert probability_not_worse(1.1, 0.0, 1.0, 0.0) == 0.0


def test_what_chance_could_explain_does_not_dominate() -> None:
    assert surely_dominates((0.10, 5.0), (0.001, 0), (0.12, 5.0), (0.001, 0))
    assert not surely_dominates((0.10, 5.0), (0.02, 0), (0.12, 5.0), (0.02, 0))
    assert surely_dominates((0.10, 5.0), (0, 0), (0.1000001, 5.0), (0, 0))
    assert not surely_dominates((0.12, 4.0), (0.001, 0), (0.10, 5.0), (0.001, 0))


@given(rows, st.floats(0, 0.99), st.floats(0, 2))
def test_sure_domination_is_a_part_of_domination(
    costs: list[tuple[float, ...]], confidence: float, error: float
) -> None:
    table = np.array(costs)
    beats = domination(table, np.full_like(table, error), confidence)
    for i, one in enumerate(costs):
        for j, other in enumerate(costs):
            if beats[i, j]:
                assert dominates(one, other)
            elif error == 0.0:
                assert not dominates(one, other)


def test_noise_keeps_the_unlucky_on_the_front() -> None:
    noisy = [member(0, (0.10, 1.0), error=0.05), member(1, (0.11, 1.0), error=0.05)]
    assert [front for _, front, _ in survivors(noisy, 2)] == [0, 1]
    assert [front for _, front, _ in survivors(noisy, 2, confidence=0.9)] == [0, 0]


# -- members ---------------------------------------------------------------------------------


def outcome(error: float | None, params: float, seed: int | None = None) -> Outcome:
    work = Evaluate(POOL[0], 1.0, seed)
    if error is None:
        return Outcome(work, "failed", error="diverged")
    return Outcome(work, figures={"error": error, "params": params})


PROBLEM = Problem(SPACE, (Objective("error"), Objective("params", "min", 100.0)))


def test_readings_become_means_with_standard_errors() -> None:
    found = member_of(PROBLEM, [outcome(e, 150.0) for e in (0.1, 0.2, 0.3)])
    assert found.costs == pytest.approx((0.2, 150.0))
    assert found.errors == pytest.approx((0.1 / 3**0.5, 0.0))
    assert found.violation == pytest.approx(0.5)


def test_a_failed_reading_is_a_failed_member() -> None:
    (found,) = members_of(PROBLEM, [outcome(None, 0.0)])
    assert found.violation == np.inf
    assert member_of(PROBLEM, [outcome(0.1, 1.0), outcome(None, 0.0)]).violation == np.inf
    good = member(1, (0.9, 99.0))
    assert ordered([found, good])[0] is good


def test_gathering_waits_for_all_readings_and_forgets_their_order() -> None:
    found = []
    for order in ((0, 1, 2), (2, 0, 1)):
        gathering = Gathering(PROBLEM, 3)
        told = [gathering.add(outcome(0.1 * seed + 1e-17, 1.0, seed)) for seed in order]
        assert told[:2] == [None, None]
        found.append(told[2])
    assert found[0] == found[1]


# -- quality ---------------------------------------------------------------------------------


def test_the_hypervolume_of_rectangles() -> None:
    costs = np.array([[1.0, 3.0], [2.0, 1.0], [3.0, 3.0], [9.0, 9.0]])
    assert non_dominated(costs).tolist() == [True, True, False, False]
    assert hypervolume(costs, (4.0, 4.0)) == pytest.approx(3 * 1 + 2 * 2)
    assert hypervolume(costs[:0], (4.0, 4.0)) == 0.0
    assert ideal(costs).tolist() == [1.0, 1.0]
    assert nadir(costs).tolist() == [2.0, 3.0]
    assert reference_point(costs).tolist() == pytest.approx([9.8, 9.8])
    assert (reference_point(costs[:1]) > costs[0]).all()
