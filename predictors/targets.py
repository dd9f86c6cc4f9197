"""What a regression is told of readings, and how its answers are read."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from scipy.special import ndtri

from predictors.labels import Floats, Labels, Prediction

__all__ = ["Scale", "Targets"]

Scale: TypeAlias = Literal["value", "rank"]
"""``value``: the readings themselves, standardised. ``rank``: the normal quantile of their place,
which outliers cannot bend; answers are read back to values through the training's quantiles."""


class Targets:
    """Standardised targets of a regression.

    Values of different levels are on no common scale: with several levels the targets are normal
    quantiles of the places that the pair rule gives (`Labels.ranks`), whatever is asked, and
    answers stay in these.

    Args:
        labels: Finite readings, at least two.
        scale: What is regressed.

    Attributes:
        values: Targets ``(n,)``.
    """

    def __init__(self, labels: Labels, scale: Scale) -> None:
        self._mean, self._std = 0.0, 1.0
        self._steps: tuple[Floats, Floats] | None = None
        levels = len(np.unique(labels.levels))
        if levels == 1 and scale == "value":
            self._mean, self._std = float(labels.values.mean()), float(labels.values.std()) or 1.0
            self.values = (labels.values - self._mean) / self._std
            return
        count = len(labels)
        self.values = ndtri((labels.ranks() * (count - 1) + 0.5) / count)
        if levels == 1:
            places, first = np.unique(self.values, return_index=True)
            self._steps = places, labels.values[first]

    def prediction(self, mean: Floats, std: Floats) -> Prediction:
        """Answers ``(n,)`` in the units of the readings, or of quantiles for several levels.

        Beyond the best and the worst reading quantiles go on at the slope between those two.
        """
        if self._steps is None:
            return Prediction(mean * self._std + self._mean, std * self._std)
        places, values = self._steps
        slope = (values[-1] - values[0]) / (places[-1] - places[0])
        inside = np.clip(mean, places[0], places[-1])
        read = np.interp(inside, places, values) + slope * (mean - inside)
        return Prediction(read, std * slope)
