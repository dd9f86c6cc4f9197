"""The pyramid's ledger: quotas, epochs, revival."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.architecture import Architecture, Candidate
from nas.core.errors import ConfigError
from nas.core.work import Evaluate, Outcome
from nas.strategies.pyramid import Climber, Pyramid

PUBLISHED = [
    # budgets, ratio, what reaches each level of 100, epochs continued, epochs anew
    ((10, 50, 100, 200), 0.5, [100, 50, 25, 13], 5_550, 8_600),
    ((1, 2, 3, 12), 0.5, [100, 50, 25, 13], 292, 431),
    ((0, 10, 20, 30, 40, 50), 0.5, [100, 50, 25, 13, 7, 4], 990, 1_870),
    ((4, 12, 36, 108), 0.5, [100, 50, 25, 13], 2_336, 3_304),
    ((12, 200), 0.15, [100, 15], 4_020, 4_200),
    ((10, 50), 0.1, [100, 10], 1_400, 1_500),
]


def candidate(number: int) -> Candidate:
    return Candidate(Architecture("toy", {"number": number}))


def by_error(level: int, climbers: list[Climber]) -> list[Climber]:
    return sorted(climbers, key=lambda c: (c.readings[level].figures["error"], c.number))


def read(pyramid: Pyramid, climber: Climber, error: float) -> None:
    work = Evaluate(climber.candidate, pyramid.budgets[climber.level])
    if math.isnan(error):
        pyramid.record(climber, Outcome(work, "failed", error="diverged"))
    else:
        pyramid.record(climber, Outcome(work, figures={"error": error}))


@pytest.mark.parametrize(("budgets", "ratio", "counts", "continued", "anew"), PUBLISHED)
def test_the_published_epochs(
    budgets: tuple[float, ...], ratio: float, counts: list[int], continued: int, anew: int
) -> None:
    pyramid = Pyramid(budgets, ratio)
    assert pyramid.counts(100) == counts
    assert pyramid.cost(100) == continued
    assert Pyramid(budgets, ratio, continued=False).cost(100) == anew
    assert pyramid.outlook(100) == continued


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5, unique=True).map(sorted),
    st.sampled_from((0.05, 0.1, 0.15, 0.3, 0.5, 0.7, 1.0)),
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(0, 2**32),
    st.sampled_from((None, 1, 3)),
    st.sampled_from((0.0, 0.2)),
)
def test_every_training_is_one_step_and_is_paid_once(
    budgets: list[int], ratio: float, batches: list[int], seed: int, most: int | None, fail: float
) -> None:
    chance = np.random.default_rng(seed)
    pyramid = Pyramid(budgets, ratio)
    ledger: list[tuple[str, int, float]] = []
    numbers = iter(range(1000))

    def train(climber: Climber) -> None:
        ledger.append((climber.candidate.id, climber.level, pyramid.price(climber)))
        read(pyramid, climber, math.nan if chance.random() < fail else float(chance.random()))

    for batch in batches:
        expected = pyramid.outlook(batch)
        paid = len(ledger)
        for climber in [pyramid.enter(candidate(next(numbers))) for _ in range(batch)]:
            train(climber)
        before = pyramid.reached
        while climbers := pyramid.next_climbers(by_error, most):
            for climber in climbers:
                train(climber)
        assert all(now >= then for now, then in zip(pyramid.reached, before, strict=True))
        if not fail:
            assert sum(price for _, _, price in ledger[paid:]) == expected
    total = sum(batches)
    assert len({(name, level) for name, level, _ in ledger}) == len(ledger)
    for name, level, _ in ledger:  # nobody skips a level
        assert level == 0 or (name, level - 1) in {(n, k) for n, k, _ in ledger}
    if not fail:
        assert list(pyramid.reached) == pyramid.counts(total)
        assert sum(price for _, _, price in ledger) == pyramid.cost(total)
    else:
        limits = pyramid.counts(total)
        assert all(now <= most for now, most in zip(pyramid.reached, limits, strict=True))


def test_a_loser_is_revived_once_it_is_the_best_of_those_left() -> None:
    pyramid = Pyramid((1, 2), 0.5)
    first = [pyramid.enter(candidate(n)) for n in range(4)]
    for climber, error in zip(first, (0.4, 0.1, 0.3, 0.2), strict=True):
        read(pyramid, climber, error)
    assert {c.number for c in pyramid.next_climbers(by_error)} == {1, 3}
    for number in range(4, 8):  # much worse than any of them
        read(pyramid, pyramid.enter(candidate(number)), 0.9)
    assert [c.number for c in pyramid.next_climbers(by_error)] == [2, 0]


def test_those_who_are_still_running_are_counted_and_not_promoted() -> None:
    pyramid = Pyramid((1, 2, 4), 0.5)
    climbers = [pyramid.enter(candidate(n)) for n in range(4)]
    read(pyramid, climbers[0], 0.5)
    assert pyramid.next_climbers(by_error) == [climbers[0]]  # room for two, one has finished
    assert pyramid.next_climbers(by_error) == []
    read(pyramid, climbers[0], 0.5)
    read(pyramid, climbers[1], 0.4)
    assert pyramid.next_climbers(by_error) == [climbers[1]]
    assert pyramid.next_climbers(by_error) == [climbers[0]]  # to the third level
    assert pyramid.reached == (4, 2, 1)


def test_who_passes_a_level_counts_on_it() -> None:
    pyramid = Pyramid((1, 2, 4), 0.5)
    climber = pyramid.enter(candidate(0), 1)
    assert pyramid.reached == (1, 1, 0)
    assert pyramid.price(climber) == 2
    assert pyramid.outlook(2, 1) == 2 * 2 + 2 * 2  # the pending climb to the top included
    read(pyramid, climber, 0.5)
    assert climber.last is not None
    assert climber.last[0] == 1
    assert pyramid.next_climbers(by_error) == [climber]
    assert pyramid.price(climber) == 2


@pytest.mark.parametrize("budgets", [(), (2, 2), (4, 1), (0,), (-1, 3)])
def test_levels_must_increase(budgets: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="levels"):
        Pyramid(budgets, 0.5)


@pytest.mark.parametrize("ratio", [0.0, 1.1, -1.0])
def test_the_ratio_is_a_share(ratio: float) -> None:
    with pytest.raises(ConfigError, match="ratio"):
        Pyramid((1, 2), ratio)


def test_nobody_enters_twice_or_climbs_out_of_turn() -> None:
    pyramid = Pyramid((1, 2), 0.5)
    climber = pyramid.enter(candidate(0))
    with pytest.raises(ValueError, match="already"):
        pyramid.enter(candidate(0))
    with pytest.raises(ValueError, match="cannot climb"):
        pyramid.promote(climber)


def test_a_reserve_opens_once_everybody_has_entered() -> None:
    pyramid = Pyramid((1, 2), 0.2, reserve=0.5)
    for number in range(10):
        read(pyramid, pyramid.enter(candidate(number)), 0.9 - number / 20)
    assert [c.number for c in pyramid.next_climbers(by_error)] == [9]  # one of two
    assert pyramid.next_climbers(by_error) == []
    pyramid.full = True
    assert [c.number for c in pyramid.next_climbers(by_error)] == [8]
    small = Pyramid((1, 2), 0.1, reserve=0.5)
    for number in range(10):
        read(small, small.enter(candidate(number)), 0.5)
    assert small.next_climbers(by_error) == []  # its only place is kept for later


def test_some_may_climb_before_their_quota_and_are_counted_in_it() -> None:
    plain, early = Pyramid((1, 2, 4), 0.2), Pyramid((1, 2, 4), 0.2)
    early.least = [3, 3, 2]
    reached = []
    for pyramid in (plain, early):
        counts = []
        for number in range(50):
            read(pyramid, pyramid.enter(candidate(number)), 0.5)
            while climbers := pyramid.next_climbers(by_error):
                for climber in climbers:
                    read(pyramid, climber, 0.4)
            counts.append(pyramid.reached)
        reached.append(counts)
    assert reached[0][2] == (3, 1, 1)
    assert reached[1][2] == (3, 3, 2)
    assert reached[0][-1] == reached[1][-1] == (50, 10, 2)


def test_the_outlook_knows_of_those_who_climb_early() -> None:
    pyramid = Pyramid((1, 11), 0.1)
    pyramid.least = [0, 4]
    assert pyramid.outlook(2) == 2 + 2 * 10
    assert pyramid.outlook(20) == 20 + 4 * 10
    assert pyramid.outlook(100) == 100 + 10 * 10
