"""A predictor of another package: the reading of the nearest architecture."""

from __future__ import annotations

import numpy as np

from predictors.base import Batch, Prediction, Predictor
from predictors.labels import Labels


class Nearest(Predictor):
    def _learn(self, batch: Batch, labels: Labels) -> None:
        self._vectors, self._costs = batch.vectors, labels.values

    def _expect(self, batch: Batch) -> Prediction:
        gaps = ((batch.vectors[:, None] - self._vectors[None]) ** 2).sum(-1)
        nearest = gaps.argmin(1)
        distance = np.sqrt(gaps[np.arange(len(nearest)), nearest])
        return Prediction(self._costs[nearest], 0.01 * distance)
