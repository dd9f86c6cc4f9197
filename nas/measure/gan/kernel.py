"""The kernel distance of two sets of features (KID)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from nas.core.errors import ConfigError
from nas.measure.gan.estimate import Estimate
from nas.measure.gan.frechet import Array, as_features

__all__ = ["kid", "mmd2"]

DEGREE: Final = 3
SUBSETS: Final = 100
SUBSET_SIZE: Final = 1000


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
        error is not that of a mean of independent ones: it is their deviation, scaled by the root
        of `size` over the smaller set (Politis and Romano, 1994).

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
    error = float(np.std(values, ddof=1)) * math.sqrt(size / least)
    return Estimate.normal(float(np.mean(values)), error)


def _kernel(x: Array, y: Array) -> Array:
    values: Array = (x @ y.T / x.shape[1] + 1) ** DEGREE
    return values


def _off_diagonal(kernel: Array) -> float:
    return float(kernel.sum() - np.trace(kernel))
