"""How far levels can be relied on, from few and selected readings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from nas.core.architecture import Architecture, Candidate
from nas.core.objective import Objective
from nas.core.work import Evaluate, Outcome
from nas.strategies.pyramid import Pyramid
from nas.strategies.reliability import FLOOR, UNKNOWN, Readings, places

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


def test_nothing_is_said_of_what_few_were_read_twice_on() -> None:
    chance = np.random.default_rng(0)
    readings, climbed = filled(chance.random(20), chance.random(20), 0.2)
    assert len(climbed) == 4
    assert readings.reliability(0) == [UNKNOWN, 1.0]
    assert readings.entry_level() == 0


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
    assert honest.reliability(0)[0] > 0.9
    assert honest.entry_level() == 0


def test_places_share_ties_and_leave_the_unknown_in_the_middle() -> None:
    assert list(places(np.array([3.0, 1.0, 3.0, np.nan]))) == [0.75, 0.0, 0.75, 0.5]
    assert list(places(np.array([7.0]))) == [0.5]
