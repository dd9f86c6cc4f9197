"""A Gaussian process on features, its kernel chosen by the likelihood of the readings."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

from predictors.base import Batch, Predictor, PredictorSettings
from predictors.labels import Floats, Labels, Prediction
from predictors.targets import Scale, Targets

__all__ = ["GaussianProcess"]

_SCALES: Final = tuple(2.0**k for k in range(-2, 5))
_NOISES: Final = tuple(4.0**k for k in range(-6, 1))


class GaussianSettings(PredictorSettings):
    """Settings of the Gaussian process.

    Attributes:
        target: What is regressed, see `predictors.targets`.
    """

    target: Scale = "rank"


class GaussianProcess(Predictor):
    """Matern 5/2 kernel of the distance between features, a constant mean, noisy readings.

    Length scale (against the median distance) and noise (against the signal) are those of a grid
    with the highest marginal likelihood, the signal's variance is the best for them (Rasmussen and
    Williams, section 5.4): no start to be unlucky with, the same at every fit.
    """

    Settings: ClassVar[type[PredictorSettings]] = GaussianSettings

    def _learn(self, batch: Batch, labels: Labels) -> None:
        self._targets = Targets(labels, self.settings.target)
        self._vectors = batch.vectors
        values = self._targets.values
        self._mean = float(values.mean())
        residual = values - self._mean
        distances = cdist(batch.vectors, batch.vectors)
        apart = distances[distances > 0]
        typical = float(np.median(apart)) if apart.size else 1.0
        best = -np.inf
        for scale in _SCALES:
            spectrum, basis = eigh(_matern(distances / (scale * typical)))
            turned = basis.T @ residual
            for noise in _NOISES:
                shifted = np.maximum(spectrum, 0) + noise
                signal = float((turned**2 / shifted).mean())
                likelihood = -0.5 * (len(values) * np.log(signal) + np.log(shifted).sum())
                if likelihood > best:
                    best = likelihood
                    self._length = scale * typical
                    self._signal = signal
                    self._solved = basis @ (turned / shifted)
                    self._inverse = (basis / shifted) @ basis.T

    def _expect(self, batch: Batch) -> Prediction:
        kernel = _matern(cdist(batch.vectors, self._vectors) / self._length)
        explained = np.einsum("nm,nm->n", kernel @ self._inverse, kernel)
        variance = self._signal * np.maximum(1 - explained, 0)
        return self._targets.prediction(self._mean + kernel @ self._solved, np.sqrt(variance))


def _matern(distance: Floats) -> Floats:
    scaled = np.sqrt(5.0) * distance
    return np.asarray((1 + scaled + scaled * scaled / 3) * np.exp(-scaled), np.float64)
