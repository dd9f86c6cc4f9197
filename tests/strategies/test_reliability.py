"""How far levels can be relied on, from few and selected readings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kendalltau, norm, rankdata

from nas.core.architecture import Architecture, Candidate
from nas.core.objective import Objective
from nas.core.work import Evaluate, Outcome
from nas.strategies.pyramid import Pyramid
from nas.strategies.reliability import FLOOR, LIES, UNKNOWN, Readings, places

ERROR = (Objective("error"),)


def filled(lower: np.ndarray, upper: np.ndarray, ratio: float) -> tuple[Readings, list[int]]:  # type: ignore[type-arg]
    """A pyramid of two levels whose best share was read on both."""
    pyramid = Pyramid((1, 2), ratio)
    for number, error in enumerate(lower):
        climber = pyramid.enter(Candidate(Architecture("toy", {"number": number})))
        work = Evaluate(climber.candidate, 1)
        pyramid.record(climber, Outcome(work, figures={"error": float(error)}))
    climbed = pyramid.next_climbers(
        lambda level, some: sorted(some, key=lambda c: c.readings[0].figures["error"])
    )
    for climber in climbed:
        work = Evaluate(climber.candidate, 2)
        error = float(upper[climber.number])
        pyramid.record(climber, Outcome(work, figures={"error": error}))
    return Readings(pyramid, ERROR, [0]), [climber.number for climber in climbed]


def test_of_a_level_from_which_nobody_climbed_nothing_is_known() -> None:
    chance = np.random.default_rng(0)
    pyramid = Pyramid((1, 2), 0.5)
    for number in range(20):
        climber = pyramid.enter(Candidate(Architecture("toy", {"number": number})))
        work = Evaluate(climber.candidate, 1)
        pyramid.record(climber, Outcome(work, figures={"error": chance.random()}))
    readings = Readings(pyramid, ERROR, [0])
    assert readings.reliability(0) == [pytest.approx(UNKNOWN), 1.0]
    assert readings.entry_level() == 0


def test_a_few_readings_move_what_is_believed_a_little() -> None:
    chance = np.random.default_rng(0)
    found = []
    for _ in range(40):
        readings, climbed = filled(chance.random(20), chance.random(20), 0.2)
        assert len(climbed) == 4
        found.append(readings.reliability(0)[0])
    assert FLOOR <= np.mean(found) < UNKNOWN
    assert np.mean(found) > UNKNOWN / 2


def test_the_posterior_is_that_of_the_model() -> None:
    """Against brute force on a finer grid, by adding up densities of the readings themselves."""
    chance = np.random.default_rng(3)
    lower = chance.normal(size=12)
    readings, climbed = filled(lower, lower + chance.normal(size=12), 0.5)
    x = ndtri((rankdata(lower) - 0.5) / 12)[climbed]
    upper = np.array([_read(readings, number) for number in climbed])
    y = ndtri((rankdata(upper) - 0.5) / 6)
    r, m, s = np.meshgrid(
        np.linspace(-0.995, 0.995, 200),
        np.linspace(-6, 6, 241),
        np.exp(np.linspace(-3, 3, 61)),
        indexing="ij",
    )
    log = np.log((1 - LIES) * 4 * ((1 + r) / 2) ** 3 + LIES)
    for a, b in zip(x, y, strict=True):
        log += norm.logpdf(b, m + s * r * a, s * np.sqrt(1 - r**2))
    expected = np.exp(log - log.max()).sum(axis=(1, 2))
    expected /= expected.sum()
    assert readings.belief(0, 0) == pytest.approx(expected, abs=1e-3)


def _read(readings: Readings, number: int) -> float:
    climbers = readings._pyramid.climbers.values()
    return next(c for c in climbers if c.number == number).readings[1].figures["error"]


def test_the_correction_for_selection_finds_the_whole_correlation() -> None:
    chance = np.random.default_rng(0)
    found, narrow, truth = [], [], []
    for _ in range(60):
        lower = chance.normal(size=400)
        upper = 0.8 * lower + 0.6 * chance.normal(size=400)
        readings, climbed = filled(lower, upper, 0.15)
        found.append(readings.reliability(0)[0])
        narrow.append(kendalltau(lower[climbed], upper[climbed]).statistic)
        truth.append(kendalltau(lower, upper).statistic)
    assert np.mean(truth) == pytest.approx(0.59, abs=0.02)
    assert np.mean(narrow) < 0.4
    assert np.mean(found) == pytest.approx(np.mean(truth), abs=0.08)


def test_levels_that_lie_or_tell_nothing_are_found_out() -> None:
    chance = np.random.default_rng(1)
    truth = chance.random(60)
    for lower in (-truth, np.ones(60)):
        readings, _ = filled(lower, truth, 0.5)
        assert readings.reliability(0)[0] == FLOOR
        assert readings.entry_level() == 1
    honest, _ = filled(truth, truth, 0.5)
    assert honest.reliability(0)[0] > 0.85
    assert honest.entry_level() == 0


def test_places_share_ties_and_leave_the_unknown_in_the_middle() -> None:
    assert list(places(np.array([3.0, 1.0, 3.0, np.nan]))) == [0.75, 0.0, 0.75, 0.5]
    assert list(places(np.array([7.0]))) == [0.5]
