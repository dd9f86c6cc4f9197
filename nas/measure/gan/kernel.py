"""The kernel distance of two sets of features (KID), and how far chance may have moved it.

The standard error is that of the U-statistic which all subsets together make (Hoeffding, 1948). Its
variance has a part of first order, how much the single features say, and one of second order, how
much their pairs say beside that. Leaving features out one at a time (a jackknife) sees the first
once and the second twice (Efron and Stein, 1981), and where both sets are of one distribution there
is nothing but the second: so it is worked out by itself, and taken off once.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from nas.core.errors import ConfigError
from nas.measure.gan.estimate import Estimate
from nas.measure.gan.frechet import Array, as_features

__all__ = ["kid", "mmd2"]

SUBSETS: Final = 100
SUBSET_SIZE: Final = 1000
BLOCK: Final = 1000
"""Rows of a kernel matrix at a time."""
LEAST: Final = 4
"""Features of each set from which pairs can be told from single ones."""


def mmd2(first: ArrayLike, second: ArrayLike) -> float:
    """Squared maximum mean discrepancy of two sets, unbiased; it may be below 0.

    Binkowski et al., ICLR 2018, with their kernel (x.y / d + 1)^3.

    Args:
        first: Features (n, d).
        second: Features (n, d), as many.

    Raises:
        ConfigError: Shapes do not fit.
    """
    x, y = as_features(first), as_features(second)
    if x.shape != y.shape:
        raise ConfigError(f"features have the shapes {x.shape} and {y.shape}", "give equal ones")
    n = len(x)
    within = _off_diagonal(_kernel(x, x)) + _off_diagonal(_kernel(y, y))
    return float(within / (n * (n - 1)) - 2 * _kernel(x, y).mean())


def kid(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    seed: int = 0,
) -> Estimate:
    """Mean of `mmd2` over random subsets, as torch-fidelity defines the kernel inception distance.

    Args:
        reference: Features (n, d).
        generated: Features (m, d).
        subsets: How many subsets are drawn.
        size: Features of each set in a subset, at most n and m.
        seed: Of the draws.

    Returns:
        The mean, infinite if a feature is not finite. The subsets share features, so the standard
        error is not that of a mean of independent ones: it is that of the statistic of all features
        (see the module), and beside it what chance of the draws is left in the mean. NaN if a set
        has fewer than 4 features.

    Raises:
        ConfigError: A subset is larger than a set, or shapes do not fit.
    """
    x, y = as_features(reference), as_features(generated)
    least = min(len(x), len(y))
    if not 2 <= size <= least:
        raise ConfigError(
            f"subsets of {size} of {len(x)} and {len(y)} features", f"choose 2 to {least}"
        )
    if subsets < 2:
        raise ConfigError(f"{subsets} subsets have no deviation", "draw 2 or more")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Estimate(math.inf, math.inf, math.inf, math.inf)
    rng = np.random.default_rng(seed)
    values = [
        mmd2(x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)])
        for _ in range(subsets)
    ]
    draws = float(np.var(values, ddof=1)) / subsets
    error = math.sqrt(_variance(x, y) + draws) if least >= LEAST else math.nan
    return Estimate.normal(float(np.mean(values)), error)


def _variance(x: Array, y: Array) -> float:
    """Of the unbiased squared discrepancy of all features of both sets, of any sizes."""
    n, m = len(x), len(y)
    mine, mine_pairs = _within(x)
    theirs, theirs_pairs = _within(y)
    across, back, across_pairs = _between(x, y)
    # What leaving one feature out changes, but for what it changes for all.
    first = mine / (n - 2) - across / (n - 1)
    second = theirs / (m - 2) - back / (m - 1)
    jackknife = 4 * (
        (n - 1) / n * np.square(first - first.mean()).sum()
        + (m - 1) / m * np.square(second - second.mean()).sum()
    )
    pairs = (
        2 * mine_pairs / (n * (n - 1))
        + 2 * theirs_pairs / (m * (m - 1))
        + 4 * across_pairs / (n * m)
    )
    return float(max(jackknife - pairs, pairs))


def _within(x: Array) -> tuple[Array, float]:
    """Each feature's mean kernel with the others, and the variance of what pairs say beside that.

    The latter by least squares: a pair's kernel less an effect of each of the two.
    """
    n = len(x)
    rows, squares = np.empty(n), 0.0
    for start in range(0, n, BLOCK):
        block = _kernel(x[start : start + BLOCK], x)
        places = np.arange(len(block))
        block[places, start + places] = 0.0
        rows[start : start + BLOCK] = block.sum(1) / (n - 1)
        squares += float(np.square(block).sum())
    spread = squares - n * (n - 1) * rows.mean() ** 2
    explained = 2 * (n - 1) ** 2 / (n - 2) * np.square(rows - rows.mean()).sum()
    return rows, max(float(spread - explained), 0.0) / (n * (n - 3))


def _between(x: Array, y: Array) -> tuple[Array, Array, float]:
    """The same of two sets: means of rows, of columns, and the variance of what is left."""
    n, m = len(x), len(y)
    rows, columns, squares = np.empty(n), np.zeros(m), 0.0
    for start in range(0, n, BLOCK):
        block = _kernel(x[start : start + BLOCK], y)
        rows[start : start + BLOCK] = block.mean(1)
        columns += block.sum(0) / n
        squares += float(np.square(block).sum())
    spread = squares - n * m * rows.mean() ** 2
    explained = m * np.square(rows - rows.mean()).sum() + n * np.square(columns - rows.mean()).sum()
    return rows, columns, max(float(spread - explained), 0.0) / ((n - 1) * (m - 1))


def _kernel(x: Array, y: Array) -> Array:
    values: Array = x @ y.T / x.shape[1] + 1
    return values * values * values  # ten times as fast as a power


def _off_diagonal(kernel: Array) -> float:
    return float(kernel.sum() - np.trace(kernel))
