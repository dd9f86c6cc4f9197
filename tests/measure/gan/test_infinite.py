"""The distance of infinitely many samples: what it is, and how well its interval knows that."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.core.errors import ConfigError
from nas.measure.gan import frechet_distance, frechet_estimates

Array = NDArray[np.float64]
D = 8


def population(seed: int, shift: float = 0.0, size: int = 40_000) -> Array:
    """Skewed features: the bias is not that of Gaussians."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(0).normal(size=(D, D)) / math.sqrt(D)
    return np.asarray(rng.gamma(2.0, 1.0, size=(size, D)) @ mix + shift)


def test_the_bias_is_gone() -> None:
    x, y = population(1), population(2, shift=0.3)
    truth = frechet_distance(x, y)
    plain, endless = [], []
    for start in range(0, 20_000, 200):
        a, b = x[start : start + 200], y[start : start + 200]
        found = frechet_estimates(a, b, resamples=2)
        plain.append(found[0].value)
        endless.append(found[1].value)
    error = np.std(endless) / math.sqrt(len(endless))
    assert np.mean(plain) - truth > 6 * error
    assert abs(np.mean(endless) - truth) < 3 * error


def test_the_plain_distance_is_the_distance() -> None:
    x, y = population(1, size=300), population(2, size=700)
    found, _ = frechet_estimates(x, y, resamples=2)
    assert found.value == pytest.approx(frechet_distance(x, y), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.2, 0.6])
def test_the_interval_covers_the_truth_as_often_as_stated(shift: float) -> None:
    x, y = population(1), population(2, shift=shift)
    truth = frechet_estimates(x, y, resamples=2)[1].value
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        a, b = x[rng.integers(len(x), size=250)], y[rng.integers(len(y), size=250)]
        found = frechet_estimates(a, b, resamples=40)[1]
        covered += found.low <= truth <= found.high
    assert 180 <= covered <= 198


def test_of_one_distribution_it_is_zero() -> None:
    beyond = 0
    for seed in range(40):
        x, y = population(2 * seed, size=400), population(2 * seed + 1, size=400)
        found = frechet_estimates(x, y, resamples=60)[1]
        beyond += abs(found.value) > 2 * found.error
    assert beyond <= 4


def test_it_is_decided_by_its_seed() -> None:
    x, y = population(1, size=200), population(2, size=300)
    assert frechet_estimates(x, y, seed=1) == frechet_estimates(x, y, seed=1)
    assert frechet_estimates(x, y, seed=1)[1] != frechet_estimates(x, y, seed=2)[1]


def test_too_few_features_are_refused_and_broken_ones_are_far() -> None:
    x = population(1, size=200)
    with pytest.raises(ConfigError, match="200 and 31 features of 8 dimensions are too few"):
        frechet_estimates(x, x[:31])
    assert frechet_estimates(x, x[:32], resamples=2)[1].value < math.inf
    broken = x.copy()
    broken[0, 0] = math.nan
    assert all(found.value == math.inf for found in frechet_estimates(x, broken))
