"""The Frechet distance that infinitely many samples would have, and its interval.

The distance of n features is biased by about c/n, and c differs from model to model, so that not
even the order at one n is that of the models (Chong and Forsyth, CVPR 2020). Here both sets are
divided into 1, 2, ..., K parts; the mean distance of equal parts is fitted by a line over the
inverse of their size, and where it meets 0 is the figure. Every sample is used at every size.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from nas.core.errors import ConfigError
from nas.measure.gan.estimate import Estimate
from nas.measure.gan.frechet import Array, as_features, distances

__all__ = ["MOST_PARTS", "frechet_estimates"]

MOST_PARTS: Final = 5
LEAST_RATIO: Final = 2.0
"""Features of the smallest part over their dimensions: below it the bias is no longer c/n."""
RESAMPLES: Final = 100


def frechet_estimates(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Estimate, Estimate]:
    """The distance as it is and as it would be of infinitely many samples, with 95 % intervals.

    The intervals are bootstrap ones of both sets. A resampled set is one of the empirical
    distribution, of which the distance of the two sets is the truth; how far extrapolated figures
    of resampled sets lie from it is how far this one may lie from its own ("basic" interval). That
    of the plain distance is about what sets of this size have on average, bias and all.

    Args:
        reference: Features (n, d); n at least 4 d.
        generated: Features (m, d); m at least 4 d.
        resamples: Of the bootstrap, 2 or more; 0 for no intervals.
        seed: Of the division into parts, and of the bootstrap.

    Returns:
        The distance (see `frechet_distance`) and the extrapolated one; infinite if a feature is
        not finite. Both may be below 0.

    Raises:
        ConfigError: There are too few features, or shapes do not fit.
    """
    x, y = as_features(reference), as_features(generated)
    if x.shape[1] != y.shape[1]:
        raise ConfigError(
            f"features have {x.shape[1]} and {y.shape[1]} dimensions", "use one extractor for both"
        )
    parts = min(MOST_PARTS, int(min(len(x), len(y)) / (LEAST_RATIO * x.shape[1])))
    if parts < 2:
        least = math.ceil(2 * LEAST_RATIO * x.shape[1])
        raise ConfigError(
            f"{len(x)} and {len(y)} features of {x.shape[1]} dimensions are too few to extrapolate",
            f"give {least} or more of each",
        )
    if resamples == 1:
        raise ConfigError("1 resample has no deviation", "draw 2 or more, or 0 for no interval")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        nowhere = Estimate(math.inf, math.inf, math.inf, math.inf)
        return nowhere, nowhere
    rng = np.random.default_rng(seed)
    x, y = x[rng.permutation(len(x))], y[rng.permutation(len(y))]
    plain, endless = _fitted(x, y, parts)
    if not resamples:
        return Estimate.bare(plain), Estimate.bare(endless)
    drawn = np.array(
        [
            _fitted(
                x[rng.integers(len(x), size=len(x))], y[rng.integers(len(y), size=len(y))], parts
            )
            for _ in range(resamples)
        ]
    )
    return (
        _interval(plain, drawn[:, 0] - drawn[:, 0].mean()),
        _interval(endless, drawn[:, 1] - plain),
    )


def _interval(value: float, off: Array) -> Estimate:
    low, high = np.quantile(off, [0.025, 0.975])
    return Estimate(value, float(np.std(off, ddof=1)), value - float(high), value - float(low))


def _fitted(x: Array, y: Array, parts: int) -> tuple[float, float]:
    """The distance of all features, and where the line over 1/n begins."""
    inverse, mean = [], []
    for count in range(1, parts + 1):
        first, second = _moments(x, count), _moments(y, count)
        inverse.append(1 / (len(x) // count) + 1 / (len(y) // count))
        mean.append(float(distances(first, second).mean()))
    slope, start = np.polyfit(inverse, mean, 1)
    del slope
    return mean[0], float(start)


def _moments(values: Array, count: int) -> tuple[Array, Array]:
    """Means (count, d) and covariances (count, d, d) of so many equal parts."""
    size = len(values) // count
    parts = values[: size * count].reshape(count, size, -1)
    means = parts.mean(1)
    centred = parts - means[:, None]
    return means, centred.swapaxes(1, 2) @ centred / (size - 1)
