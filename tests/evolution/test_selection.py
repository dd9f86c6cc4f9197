"""Sorting, crowding and survival against definitions written out by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from evolution.member import Gathering, Member, member_of, members_of
from evolution.noise import confident_ranks, domination, probability_not_worse, surely_dominates
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
Floats = NDArray[np.float64]

rows = st.lists(st.tuples(*[st.integers(0, 4).map(float)] * 2), min_size=1, max_size=12)


def member(
    index: int, costs: tuple[float, ...], violation: float = 0.0, error: float = 0.0
) -> Member:
    return Member(POOL[index % 40], costs, (error,) * len(costs), violation, f"{index:03}")


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


# -- against pymoo ---------------------------------------------------------------------------


def cases(count: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """Costs and violations of 2 to 200 members and 2 to 4 objectives, many of them alike.

    Values have ties, rows are repeated, columns may hold one value only; in half of the cases some
    members are beyond the limits, and some have failed: their costs and violations are infinite.
    """
    rng = np.random.default_rng(seed)
    for number in range(count):
        n, m = 2 + int(199 * rng.random() ** 4), 2 + number % 3
        costs = rng.normal(size=(n, m))
        if number % 4:
            costs = np.round(costs * rng.integers(1, 8))
        if number % 5 == 0:
            costs[:, rng.integers(m)] = 1.0
        if number % 3 == 0:
            costs[rng.integers(n, size=n // 3)] = costs[rng.integers(n)]
        beyond = np.zeros(n)
        if number % 2:
            beyond[rng.random(n) < rng.random()] = rng.integers(1, 4)
            beyond[rng.random(n) < 0.2] *= 1.5
            failed = rng.random(n) < rng.random() / 3
            beyond[failed], costs[failed] = np.inf, np.inf
        yield costs, beyond


def sets(fronts: NDArray[np.int64]) -> list[set[int]]:
    return [set(np.flatnonzero(fronts == k)) for k in range(int(fronts.max(initial=-1)) + 1)]


def test_fronts_are_those_of_pymoo_in_a_thousand_cases() -> None:
    sizes = set()
    for costs, beyond in cases(1200, 0):
        sizes.add(len(costs))
        kept = np.flatnonzero(beyond == 0)
        wanted = [set(kept[front]) for front in NonDominatedSorting().do(costs[kept])]
        wanted += [set(np.flatnonzero(beyond == far)) for far in np.unique(beyond[beyond > 0])]
        assert sets(ranks(costs, beyond)) == wanted
        sure = confident_ranks(costs, np.zeros_like(costs), beyond, 0.95)
        assert sets(sure) == wanted
    assert min(sizes) == 2
    assert max(sizes) > 190


def of_pymoo(costs: Floats, beyond: Floats, count: int) -> list[int]:
    """Who survives by pymoo's rank and crowding, limits first."""
    problem = PymooProblem(n_var=1, n_obj=costs.shape[1], n_ieq_constr=1)
    people = [
        Individual(F=row, G=np.array([far]), X=np.array([index]))
        for index, (row, far) in enumerate(zip(costs, beyond, strict=True))
    ]
    kept = RankAndCrowding().do(
        problem, Population.create(*people), n_survive=count, random_state=np.random.default_rng(0)
    )
    return [int(person.X[0]) for person in kept]


def test_survivors_are_those_of_pymoo_up_to_ties() -> None:
    divided = 0
    for number, (costs, beyond) in enumerate(cases(1000, 1)):
        count = 1 + number * 7 % len(costs)
        everybody = [
            member(i, tuple(row), far)
            for i, (row, far) in enumerate(zip(costs.tolist(), beyond.tolist(), strict=True))
        ]
        found = survivors(everybody, count)
        mine = [int(one.key) for one, _, _ in found]
        fronts = ranks(costs, beyond)
        theirs = of_pymoo(costs, beyond, count)
        assert len(set(mine)) == len(mine) == len(theirs) == count
        # Nobody of a later front before an earlier one is exhausted.
        last = max(fronts[mine])
        assert set(np.flatnonzero(fronts < last)) <= set(mine)
        assert {i for i in mine if fronts[i] < last} == {i for i in theirs if fronts[i] < last}
        # Of the front that is divided, those with the same distances; far beyond is far beyond.
        distances = crowding(costs, fronts)
        cut = [[distances[i] for i in who if fronts[i] == last] for who in (mine, theirs)]
        if beyond[mine[-1]] == 0:
            assert sorted(cut[0]) == sorted(cut[1])
            divided += (fronts == last).sum() > len(cut[0])
    assert divided > 300


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
