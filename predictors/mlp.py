"""Small networks on features: a ranker from pairs, and the same networks on values."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from predictors.base import Batch, Predictor, PredictorSettings
from predictors.labels import Floats, Labels, Prediction
from predictors.networks import Array, Loss, Networks, Training, train
from predictors.pairs import Mode, make_pairs
from predictors.targets import Scale, Targets

__all__ = ["Mlp", "PairwiseMlp"]


class NetworkSettings(PredictorSettings):
    """Settings of networks.

    Attributes:
        members: Networks whose scores are averaged; `predict`'s deviation is among them.
        hidden: Units of every hidden layer.
        steps: Steps of Adam on all readings.
        learning_rate: Of the first step.
        weight_decay: Decoupled.
        dropout: Of hidden units, in [0, 1).
    """

    members: int = Field(default=5, ge=1)
    hidden: tuple[int, ...] = (64, 64)
    steps: int = Field(default=100, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class PairwiseMlpSettings(NetworkSettings):
    """Settings of the ranker.

    Attributes:
        mode: How pairs are formed and weighted, see `predictors.pairs`.
        pairs: Most pairs that are learnt from; a random part is drawn of more.
    """

    mode: Mode = "reliability"
    pairs: int = Field(default=20_000, ge=1)


class MlpSettings(NetworkSettings):
    """Settings of the regression.

    Attributes:
        target: What is regressed, see `predictors.targets`.
    """

    target: Scale = "value"


class PairwiseMlp(Predictor):
    """Networks trained by the logistic loss over pairs (RANK-NOSH's, PINAT's "BCE").

    The probability that a is better than b is ``sigmoid(score(b) - score(a))``.
    """

    Settings: ClassVar[type[PredictorSettings]] = PairwiseMlpSettings
    ranks: ClassVar[bool] = True

    def _learn(self, batch: Batch, labels: Labels) -> None:
        rng = np.random.default_rng(self.seed)
        pairs = make_pairs(labels, self.settings.mode, self.settings.pairs, rng)
        loss = pair_loss(pairs.matrix(len(labels)))
        self._networks = _trained(batch.vectors, loss, self.settings, rng)
        scores = self._networks(batch.vectors)
        self._centre = scores.mean(1, keepdims=True)  # a score is known up to a constant

    def _expect(self, batch: Batch) -> Prediction:
        scores = (self._networks(batch.vectors) - self._centre).astype(np.float64)
        return Prediction(scores.mean(0), scores.std(0))


class Mlp(Predictor):
    """The same networks trained by the squared error of standardised values."""

    Settings: ClassVar[type[PredictorSettings]] = MlpSettings

    def _learn(self, batch: Batch, labels: Labels) -> None:
        rng = np.random.default_rng(self.seed)
        self._targets = Targets(labels, self.settings.target)
        loss = square_loss(self._targets.values)
        self._networks = _trained(batch.vectors, loss, self.settings, rng)

    def _expect(self, batch: Batch) -> Prediction:
        outputs = self._networks(batch.vectors).astype(np.float64)
        return self._targets.prediction(outputs.mean(0), outputs.std(0))


def _trained(vectors: Floats, loss: Loss, settings: Any, rng: np.random.Generator) -> Networks:
    networks = Networks(settings.members, (vectors.shape[1], *settings.hidden), rng)
    how = Training(settings.steps, settings.learning_rate, settings.weight_decay, settings.dropout)
    train(networks, vectors, loss, how, rng)
    return networks


def pair_loss(won: Floats) -> Loss:
    """The logistic loss over pairs, added up over networks.

    Args:
        won: Weights ``(n, n)`` of the pairs in which the row wins over the column, i.e. should
            have the lower score.
    """

    def loss(scores: Array) -> tuple[float, Array]:
        weights = won.astype(scores.dtype)
        margin = scores[:, :, None] - scores[:, None, :]
        small = np.exp(-np.abs(margin))
        total = float((weights * (np.maximum(margin, 0) + np.log1p(small))).sum())
        wrong = weights * np.where(margin > 0, 1, small) / (1 + small)
        return total, wrong.sum(2) - wrong.sum(1)

    return loss


def square_loss(values: Floats) -> Loss:
    """Half the mean squared error, added up over networks.

    Args:
        values: ``(n,)``.
    """

    def loss(outputs: Array) -> tuple[float, Array]:
        off = outputs - values.astype(outputs.dtype)
        return float(0.5 * (off * off).mean(1).sum()), off / off.shape[1]

    return loss
