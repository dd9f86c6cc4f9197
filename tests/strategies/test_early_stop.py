"""After how many epochs the order is that of the end: against a plain reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nas.core.architecture import Candidate
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome
from nas.strategies.fbnetv3.early_stop import Correlation, correlations, first_reliable
from nas.strategies.fbnetv3.readings import Plan, Readings, Rules
from nas.testing.toys import ToySpace

Array = np.ndarray[Any, Any]
NAN = math.nan


def tau_b(first: list[float], second: list[float]) -> float:
    """Kendall's tau-b by its definition, pair by pair."""
    agree = ties_first = ties_second = pairs = 0
    for i in range(len(first)):
        for j in range(i):
            a, b = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
            agree += int(a * b)
            ties_first += a == 0
            ties_second += b == 0
            pairs += 1
    scale = math.sqrt((pairs - ties_first) * (pairs - ties_second))
    return agree / scale if scale else 0.0


def rho(first: list[float], second: list[float]) -> float:
    """Spearman's rho by its definition: the correlation of mean ranks."""

    def places(values: list[float]) -> Array:
        below = [sum(other < value for other in values) for value in values]
        alike = [sum(other == value for other in values) for value in values]
        return np.array(below) + (np.array(alike) + 1) / 2

    one, two = places(first), places(second)
    spread = one.std() * two.std()
    return float(np.mean((one - one.mean()) * (two - two.mean())) / spread) if spread else 0.0


def reference(curves: Array, threshold: float, kind: str) -> tuple[list[float], int]:
    """All correlations and the epoch, by trying every one."""
    huge = 1e9  # after everybody, and level with all others that failed
    rows = [[value if math.isfinite(value) else huge for value in row] for row in curves.tolist()]
    columns = list(map(list, zip(*rows, strict=True)))
    measure = {"spearman": rho, "kendall": tau_b}[kind]
    found = [measure(column, columns[-1]) for column in columns[:-1]] + [1.0]
    last = len(columns) - 1
    ended = {value for value in columns[-1] if value < huge}
    if len(rows) < 5 or len(ended) < 2:
        return found, last
    good = [e for e in range(last + 1) if all(value >= threshold for value in found[e:])]
    return found, min(good)


@pytest.mark.parametrize("kind", ["spearman", "kendall"])
def test_it_is_the_least_epoch_from_which_all_agree(kind: Correlation) -> None:
    rng = np.random.default_rng(0)
    epochs = []
    for trial in range(200):
        shape = (rng.integers(3, 10), rng.integers(1, 8))
        curves = rng.integers(0, 4, shape).astype(float)  # full of ties
        if trial % 2:
            curves = rng.normal(0, 1, shape).cumsum(axis=1)  # the order settles
        curves[rng.random(shape) < 0.1] = (NAN, np.inf)[trial % 3 == 0]
        threshold = float(rng.choice([0.3, 0.6, 0.92, 1.0]))
        found, epoch = reference(curves, threshold, kind)
        # Correlations on the edge may differ in their last digit: none here is that near.
        assert correlations(curves, kind) == pytest.approx(found, abs=1e-12)
        if min(abs(np.array(found[:-1]) - threshold), default=1) > 1e-9:
            assert first_reliable(curves, threshold, kind) == epoch
            epochs.append((epoch, shape[1] - 1))
    stopped = [epoch < last for epoch, last in epochs]
    assert 0.1 < np.mean(stopped) < 0.9
    assert len({epoch for epoch, _ in epochs}) > 4


@pytest.mark.parametrize("kind", ["spearman", "kendall"])
def test_the_definitions_are_those_of_scipy(kind: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        a, b = rng.integers(0, 5, (2, 9)).tolist()
        theirs = stats.kendalltau(a, b) if kind == "kendall" else stats.spearmanr(a, b)
        mine = tau_b(a, b) if kind == "kendall" else rho(a, b)
        assert mine == pytest.approx(theirs.statistic, abs=1e-12)


def test_an_epoch_by_chance_is_no_reason_to_stop() -> None:
    order = np.arange(6.0)
    curves = np.stack([order, order[::-1], order, order, order], axis=1)
    assert first_reliable(curves, 0.92) == 2
    assert first_reliable(curves[:, [0, 1, 1, 1, 0]], 0.92) == 4


def test_what_failed_ranks_last_whenever_it_did() -> None:
    """The third fails after two epochs in which it led: those two rank otherwise than the end."""
    curves = np.tile(np.arange(6.0)[:, None], (1, 4))
    curves[2] = [-1, -1, NAN, NAN]
    assert correlations(curves)[:2].max() < 0.92
    assert first_reliable(curves, 0.92) == 2
    infinite = np.where(np.isnan(curves), np.inf, curves)
    assert correlations(infinite).tolist() == correlations(curves).tolist()


def test_all_that_failed_are_alike() -> None:
    curves = np.tile(np.arange(8.0)[:, None], (1, 3))
    curves[:2] = [[NAN, NAN, np.inf], [np.inf, NAN, NAN]]
    assert correlations(curves).tolist() == pytest.approx([1, 1, 1])
    assert first_reliable(curves, 1.0 - 1e-12) == 0


def test_where_nothing_can_be_told_trainings_are_full() -> None:
    order = np.tile(np.arange(6.0)[:, None], (1, 4))
    assert first_reliable(order[:4], 0.5) == 3  # too few
    assert first_reliable(0 * order, 0.5) == 3  # all end alike
    assert first_reliable(np.full((6, 4), NAN), 0.5) == 3  # all failed
    lone = np.full((6, 4), NAN)
    lone[0] = 1.0
    assert first_reliable(lone, 0.5) == 3  # one did not: no order among those who end
    assert first_reliable(np.random.default_rng(0).normal(0, 1, (6, 4)), 1.0) == 3
    assert first_reliable(order[:, :1], 0.92) == 0


# -- the plan -----------------------------------------------------------------------------------

SPACE = ToySpace()
MEMBERS = [SPACE.sample(np.random.default_rng(seed)) for seed in range(12)]
PAPER = Rules(0.92, 1.0, 3.0, "spearman")
OURS = Rules(0.92, 0.6, 3.0, "spearman")


def readings(
    table: Array, budget: float | None, *, levels: tuple[float, ...] = (), curves: bool = True
) -> Readings:
    """Of one row for each training: curves, or the last figure of each level alone."""
    problem = Problem(SPACE, parse_objectives("error:min"))
    found = Readings(problem, [0])
    for member, row in zip(MEMBERS, table.tolist(), strict=False):
        seen = [value for value in row if math.isfinite(value)]
        whole = len(seen) == len(row)
        for level, value in zip(levels or (budget,), row if levels else (row[-1],), strict=True):
            status = "ok" if math.isfinite(value) else "failed"
            figures = {"error": value} if status == "ok" else {}
            curve = {"error": seen} if curves else {}
            work = Evaluate(Candidate(member), level)
            found.add([Outcome(work, status, figures, curve=curve)])
            if status == "failed":
                break
        assert whole or status == "failed"
    return found


def settling(epochs: int, from_epoch: int, count: int = 12, seed: int = 0) -> Array:
    """Curves of so many trainings whose order is the last one's from an epoch (1, ...) on."""
    rng = np.random.default_rng(seed)
    table = np.stack([rng.permutation(count) for _ in range(epochs)], 1).astype(float)
    table[:, from_epoch - 1 :] = np.arange(count)[:, None]
    return table + 10 / np.arange(1, epochs + 1)


@pytest.mark.parametrize("budget", [9.0, None])
def test_trainings_end_where_the_order_is_that_of_the_end(budget: float | None) -> None:
    plan, found = readings(settling(9, 6), budget).plan(budget, (), PAPER)
    assert plan == Plan(9.0, 6.0, None)
    assert len(found) == 9
    assert found[5:] == [1.0] * 4
    assert max(found[:5]) < 0.92


def test_without_curves_nothing_is_known() -> None:
    for budget in (9.0, None):
        plan, found = readings(settling(9, 6), budget, curves=False).plan(budget, (), PAPER)
        assert plan == Plan(budget, budget, None)
        assert found == []


def test_levels_stand_for_curves() -> None:
    table = settling(3, 2)
    levels = (4.0, 12.0, 36.0)
    read = readings(table, None, levels=levels, curves=False)
    plan, found = read.plan(36.0, levels, PAPER)
    assert plan == Plan(36.0, 12.0, None)
    assert len(found) == 3
    again = readings(table[:, :2], None, levels=levels[:2], curves=False)
    assert again.plan(12.0, levels[:2], PAPER)[0] == Plan(12.0, 12.0, None)


def test_short_trainings_choose_where_they_order_and_are_short() -> None:
    """Roughly in order from the second epoch on, exactly from the eighth."""
    order = np.arange(12.0)
    rough = order + np.random.default_rng(0).normal(0, 2.5, (8, 12))
    table = np.stack([order[::-1], *rough[:6], *([order] * 3)], axis=1)
    assert readings(table, 10.0).plan(10.0, (), PAPER)[0] == Plan(10.0, 8.0, None)
    assert readings(table, 10.0).plan(10.0, (), OURS)[0] == Plan(10.0, 8.0, 2.0)
    # A third of what is saved by not going on must be left: 2 * 5 epochs is more than 8.
    dear = Rules(0.92, 0.6, 5.0, "spearman")
    assert readings(table, 10.0).plan(10.0, (), dear)[0] == Plan(10.0, 8.0, None)


def test_a_training_that_failed_on_its_way_does_not_hide_the_others() -> None:
    table = settling(9, 6)
    table[3, 4:] = NAN
    plan, found = readings(table, 9.0).plan(9.0, (), PAPER)
    assert plan.full == 9
    reference_found, epoch = reference(table, 0.92, "spearman")
    assert found == pytest.approx(reference_found, abs=1e-4)
    assert plan.stop == epoch + 1


def test_all_failed_is_the_full_budget() -> None:
    plan, _ = readings(np.full((6, 4), NAN), 4.0).plan(4.0, (), OURS)
    assert plan == Plan(4.0, 4.0, None)


def test_works_of_a_plan_are_prefixes_of_one_training() -> None:
    candidate = Candidate(MEMBERS[0])
    plan = Plan(12.0, 8.0, 2.0)
    short, longer = plan.work(candidate, 2.0, None, 3), plan.work(candidate, 8.0, 2.0, 3)
    full = plan.work(candidate, 12.0, 8.0, "verify")
    assert [(w.budget, w.horizon, w.since) for w in (short, longer, full)] == [
        (2.0, 12.0, None),
        (8.0, 12.0, 2.0),
        (12.0, 12.0, 8.0),
    ]
    assert (dict(short.tags), dict(full.tags)) == ({"round": 3}, {"stage": "verify"})
    # What was trained in full in one piece is the same training.
    assert full.key == Plan(12.0, 12.0).work(candidate, 12.0, None, 1).key
    own = Plan(None, None).work(candidate, None, None, 1)
    assert (own.budget, own.horizon, own.since) == (None, None, None)
    assert plan.levels == (2.0, 8.0)
    assert Plan(12.0, 8.0).levels == (8.0,)
