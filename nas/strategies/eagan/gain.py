"""Whether the best of several is better than the one that is held, or was only lucky.

Every discriminator is trained in several pairs, the r-th of each with the same chance: a block
design. What is left of the readings without the effects of discriminator and block is chance; its
variance is pooled over all discriminators, so that two pairs of each are enough to know it.
Distances have noise in proportion to themselves, so logarithms are compared. The interval is
simultaneous for all challengers (Bonferroni): the best of seven is the luckiest of seven. That
price is not paid where the best one is chosen by some readings and judged by others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LEAST", "Gain", "gain_over", "pooled_error"]

LEAST = 1e-9
"""A distance below it counts as this."""


@dataclass(frozen=True)
class Gain:
    """By which share the best challenger's figure is below that of the one held.

    Attributes:
        challenger: Its place.
        share: The gain, 1 - challenger / held.
        low: Lower end of its interval, minus infinity where chance is not known.
        high: Upper end.
        freedom: Degrees of freedom that the chance is known by.
        least: The least share that would have been sure; 1 where chance is not known.
    """

    challenger: int
    share: float
    low: float
    high: float
    freedom: int
    least: float

    @property
    def sure(self) -> bool:
        """Whether the interval excludes zero, to the good side."""
        return self.low > 0


def pooled_error(readings: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation of one reading, and its degrees of freedom; NaN and 0 if unknown.

    Args:
        readings: A row for each that is compared, a column for each block; finite.
    """
    values = np.asarray(readings, dtype=np.float64)
    rows, columns = values.shape
    freedom = (rows - 1) * (columns - 1)
    if freedom < 1:
        return math.nan, 0
    rest = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
    return float(np.sqrt(np.square(rest).sum() / freedom)), freedom


def gain_over(
    readings: Sequence[Sequence[float]],
    held: int,
    confidence: float = 0.95,
    *,
    allowed: Collection[int] | None = None,
    known: tuple[float, int] = (math.nan, 0),
) -> Gain | None:
    """The gain of the best over the one that is held; None if there is no challenger.

    Args:
        readings: Figures, less being better; a row for each, a column for each block. Rows with one
            that is not finite are left out.
        held: Row of the one that is held, which must be finite.
        confidence: Of the interval, simultaneously for all challengers.
        allowed: Rows that may be challengers; the others tell of chance only. None for all.
        known: What other readings tell of chance (`pooled_error`), which is pooled with it.
    """
    from scipy import stats

    alive = [row for row, values in enumerate(readings) if np.isfinite(values).all()]
    others = [row for row in alive if row != held and (allowed is None or row in allowed)]
    if held not in alive or not others:
        return None
    logs = {row: [math.log(max(v, LEAST)) for v in readings[row]] for row in alive}
    means = {row: math.fsum(values) / len(values) for row, values in logs.items()}
    best = min(others, key=lambda row: (means[row], row))
    gain = means[held] - means[best]
    error, freedom = _pooled(pooled_error([logs[row] for row in alive]), known)
    half = math.inf
    if freedom:
        level = 1 - (1 - confidence) / (2 * len(others))
        half = float(stats.t.ppf(level, freedom)) * error * math.sqrt(2 / len(logs[best]))
    low, high = (1 - math.exp(-(gain + side)) for side in (-half, half))
    return Gain(best, 1 - math.exp(-gain), low, high, freedom, 1 - math.exp(-half))


def _pooled(*errors: tuple[float, int]) -> tuple[float, int]:
    parts = [(error, freedom) for error, freedom in errors if freedom]
    whole = sum(freedom for _, freedom in parts)
    if not whole:
        return math.nan, 0
    return math.sqrt(math.fsum(f * e * e for e, f in parts) / whole), whole
