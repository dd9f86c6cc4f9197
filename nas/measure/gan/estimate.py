"""A figure with what is not known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["Estimate"]

NORMAL_95: Final = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A figure that was worked out from samples.

    Attributes:
        value: The figure.
        error: Its standard error; NaN if it is not known, and the interval with it.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    value: float
    error: float
    low: float
    high: float

    @classmethod
    def normal(cls, value: float, error: float) -> Estimate:
        """With the interval of a normal distribution."""
        return cls(value, error, value - NORMAL_95 * error, value + NORMAL_95 * error)

    @classmethod
    def bare(cls, value: float) -> Estimate:
        """Of which nothing else is known."""
        return cls(value, math.nan, math.nan, math.nan)
