"""A linear ranker from pairs: the least that learns, and hard to beat on good features."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from pydantic import Field
from scipy.special import expit, log1p

from predictors.base import Batch, Predictor, PredictorSettings
from predictors.labels import Floats, Labels, Prediction
from predictors.pairs import Mode, make_pairs

__all__ = ["PairwiseLinear", "PairwiseSettings"]

_STEPS: Final = 30
_TOLERANCE: Final = 1e-8


class PairwiseSettings(PredictorSettings):
    """Settings of rankers that learn from pairs.

    Attributes:
        mode: How pairs are formed and weighted, see `predictors.pairs`.
        pairs: Most pairs that are learnt from, at least 1; a random part is drawn of more.
    """

    mode: Mode = "reliability"
    pairs: int = Field(default=20_000, ge=1)


class LinearSettings(PairwiseSettings):
    """Settings of the linear ranker.

    Attributes:
        l2: Penalty on the squared weights, against the mean loss of a pair; above 0.
    """

    l2: float = Field(default=0.03, gt=0)


class PairwiseLinear(Predictor):
    """Logistic regression on differences of features (Bradley-Terry with features).

    The probability that a is better than b is ``sigmoid(score(b) - score(a))``; scores are linear,
    so it is antisymmetric and transitive. Newton's method needs per step a matrix of all
    pairs, never a list of differences. `predict`'s deviation is that of the Laplace approximation.
    """

    Settings: ClassVar[type[PredictorSettings]] = LinearSettings
    ranks: ClassVar[bool] = True

    def _learn(self, batch: Batch, labels: Labels) -> None:
        pairs = make_pairs(
            labels, self.settings.mode, self.settings.pairs, np.random.default_rng(self.seed)
        )
        won = pairs.matrix(len(labels))
        self._weights, self._curvature = fit_logistic(batch.vectors, won, self.settings.l2)
        self._pairs = max(len(pairs), 1)

    def _expect(self, batch: Batch) -> Prediction:
        vectors = batch.vectors
        spread = np.linalg.solve(self._curvature * self._pairs, vectors.T)
        variance = np.einsum("nd,dn->n", vectors, spread)
        return Prediction(vectors @ self._weights, np.sqrt(np.maximum(variance, 0.0)))


def pair_loss(scores: Floats, won: Floats) -> tuple[float, Floats, Floats]:
    """The logistic loss of scores over pairs.

    Args:
        scores: ``(n,)``, less is better.
        won: Weights ``(n, n)`` of the pairs in which the row wins over the column.

    Returns:
        The loss, its derivative ``(n,)`` and its second derivative ``(n, n)``.
    """
    margin = scores[:, None] - scores[None, :]  # positive: the pair is the wrong way round
    wrong = won * expit(margin)
    loss = float((won * (np.maximum(margin, 0.0) + log1p(np.exp(-np.abs(margin))))).sum())
    bend = wrong * expit(-margin)
    bend += bend.T
    return loss, wrong.sum(1) - wrong.sum(0), np.diag(bend.sum(1)) - bend


def fit_logistic(vectors: Floats, won: Floats, l2: float) -> tuple[Floats, Floats]:
    """Weights of least loss, by Newton's method with halved steps where one goes too far.

    Args:
        vectors: ``(n, d)``.
        won: As in `pair_loss`.
        l2: Penalty.

    Returns:
        Weights ``(d,)`` and the second derivative ``(d, d)`` there.
    """
    width = vectors.shape[1]
    weights, ridge = np.zeros(width), l2 * np.eye(width)
    loss, slope, bend = pair_loss(vectors @ weights, won)
    for _ in range(_STEPS):
        gradient = vectors.T @ slope + l2 * weights
        curvature = vectors.T @ bend @ vectors + ridge
        step = np.linalg.solve(curvature, gradient)
        expected = float(gradient @ step)
        if expected < _TOLERANCE:
            break
        size = 1.0
        while size > 1e-4:
            moved = weights - size * step
            found = pair_loss(vectors @ moved, won)
            value = found[0] + 0.5 * l2 * float(moved @ moved)
            if value <= loss + 0.5 * l2 * float(weights @ weights) - 0.25 * size * expected:
                break
            size /= 2
        weights = moved
        loss, slope, bend = found
    return weights, vectors.T @ bend @ vectors + ridge
