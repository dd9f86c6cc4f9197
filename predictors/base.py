"""The face of a predictor: told some readings, it orders architectures it has not seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from nas.core.architecture import Architecture
from nas.core.config import Settings as SettingsModel
from nas.core.config import build_settings
from nas.core.space import Space
from predictors.encodings import Encoder, encoder
from predictors.labels import Floats, Labels, Prediction
from predictors.quality import kendall, regret, spearman

__all__ = ["Batch", "Labels", "Prediction", "Predictor", "PredictorSettings"]

_FAR: Final = 5.0
"""Standardised inputs are cut off there: a feature that is rare in training would be huge."""

_FLAT: Final = 1e-6


class PredictorSettings(SettingsModel):
    """Settings every predictor has; members add theirs.

    Attributes:
        encoding: Names of encodings joined by ``+``, see `predictors.encodings`.
    """

    encoding: str = Field(default="features", min_length=1)


@dataclass(frozen=True, eq=False)
class Batch:
    """Architectures as a predictor's model gets them.

    Attributes:
        architectures: The architectures.
        vectors: Standardised encodings and statistics ``(n, width)``.
        extra: The statistics as they were given ``(n, k)``.
    """

    architectures: Sequence[Architecture]
    vectors: Floats
    extra: Floats


class Predictor(ABC):
    """Learns from readings, and says what to expect of other architectures.

    Everywhere less is better: of the values it is told, of its scores and of its predictions.
    Two predictors with the same settings and seed that are told the same say the same.

    Attributes:
        Settings: Model of the settings.
        ranks: Whether `predict` gives a score without unit rather than values.
        levels: Whether it gives values of the highest level where labels have several; others
            then give a score.
        settings: The settings.

    Args:
        space: The space of all architectures it will see.
        settings: An instance of `Settings`, or the values of one.
        seed: All chance comes from it.

    Raises:
        ConfigError: A setting is unknown, of the wrong type or out of range.
        PluginError: An encoding is unknown.
    """

    Settings: ClassVar[type[PredictorSettings]] = PredictorSettings
    ranks: ClassVar[bool] = False
    levels: ClassVar[bool] = False

    def __init__(
        self,
        space: Space,
        settings: SettingsModel | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        if isinstance(settings, SettingsModel):
            settings = settings.model_dump()
        self.space = space
        self.settings: Any = build_settings(self.Settings, settings or {}, "predictor setting")
        self.seed = seed
        self._inputs = Inputs(encoder(space, self.settings.encoding))
        self._informed: bool | None = None

    def fit(
        self,
        architectures: Sequence[Architecture],
        labels: Labels | ArrayLike,
        extra: ArrayLike | None = None,
    ) -> Self:
        """Learn; what was learnt before is forgotten.

        Readings that are not finite are left out. If the rest holds no two different ones,
        everything will be predicted alike.

        Args:
            architectures: n architectures.
            labels: Their readings; an array ``(n,)`` is costs at one level.
            extra: Statistics known of them for free ``(n, k)``; NaN where one is not.

        Raises:
            ValueError: The lengths differ.
        """
        labels = Labels.of(labels)
        if len(labels) != len(architectures):
            raise ValueError(f"{len(labels)} labels for {len(architectures)} architectures")
        (known,) = np.nonzero(labels.usable)
        told = labels.at(known)
        members = [architectures[int(row)] for row in known]
        table = _table(extra, len(architectures))
        vectors = self._inputs.learn(members, table[known])
        self._informed = len(np.unique(told.ranks())) > 1
        if self._informed:
            self._learn(Batch(members, vectors, table[known]), told)
        return self

    def rank(self, architectures: Sequence[Architecture], extra: ArrayLike | None = None) -> Floats:
        """Scores ``(n,)``: the best architecture has the least.

        Args:
            architectures: n architectures.
            extra: As in `fit`, with the same columns.

        Raises:
            ValueError: Nothing was learnt yet, or `extra` has other columns than in `fit`.
        """
        return self.predict(architectures, extra).mean

    def predict(
        self, architectures: Sequence[Architecture], extra: ArrayLike | None = None
    ) -> Prediction:
        """What to expect; see `rank`."""
        if self._informed is None:
            raise ValueError("a predictor was asked before it was told anything; call fit")
        table = _table(extra, len(architectures))
        if not self._informed or not len(architectures):
            return Prediction(np.zeros(len(architectures)), np.zeros(len(architectures)))
        vectors = self._inputs(architectures, table)
        return self._expect(Batch(architectures, vectors, table))

    def score(
        self,
        architectures: Sequence[Architecture],
        values: ArrayLike,
        extra: ArrayLike | None = None,
    ) -> dict[str, float]:
        """How well the order of `rank` agrees with known values.

        Args:
            architectures: n architectures.
            values: Their costs ``(n,)``.
            extra: As in `rank`.

        Returns:
            ``kendall`` (tau-b), ``spearman``, and ``top5_regret``: how much the best of the five
            that are ranked first is worse than the best of all, in units of the values.
        """
        scores, costs = self.rank(architectures, extra), np.asarray(values, np.float64)
        return {
            "kendall": kendall(scores, costs),
            "spearman": spearman(scores, costs),
            "top5_regret": regret(scores, costs, 5),
        }

    @abstractmethod
    def _learn(self, batch: Batch, labels: Labels) -> None:
        """Learn from finite readings, of which at least two differ."""

    @abstractmethod
    def _expect(self, batch: Batch) -> Prediction:
        """Predict for at least one architecture."""


class Inputs:
    """Encodings and statistics on one scale.

    Encodings are standardised by a random sample of the space, which a few dozen training
    members would be a poor one of; statistics by the training members, mean values for NaN.

    Args:
        encoder: Encodes members of the space.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._mean: Floats = np.empty(0)
        self._scale: Floats = np.empty(0)
        self._columns = 0

    def learn(self, architectures: Sequence[Architecture], extra: Floats) -> Floats:
        """Take the scale of the statistics from these members; vectors ``(n, width)``."""
        usual, spread = self._encoder.usual()
        known = np.isfinite(extra)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, extra, 0.0).sum(0) / count
        std = np.sqrt((np.where(known, extra - mean, 0.0) ** 2).sum(0) / count)
        self._columns = extra.shape[1]
        self._mean = np.concatenate([usual, mean])
        scale = np.concatenate([spread, std])
        self._scale = np.where(scale > _FLAT * np.maximum(1.0, np.abs(self._mean)), scale, np.inf)
        return self(architectures, extra)

    def __call__(self, architectures: Sequence[Architecture], extra: Floats) -> Floats:
        """Vectors ``(n, width)``.

        Raises:
            ValueError: There are other statistics than were learnt.
        """
        if extra.shape[1] != self._columns:
            raise ValueError(f"{extra.shape[1]} statistics, {self._columns} when fit")
        vectors = self._encoder(architectures)
        if self._columns:
            filled = np.where(np.isfinite(extra), extra, self._mean[vectors.shape[1] :])
            vectors = np.concatenate([vectors, filled], axis=1)
        return np.clip((vectors - self._mean) / self._scale, -_FAR, _FAR)


def _table(extra: ArrayLike | None, rows: int) -> Floats:
    table = np.empty((rows, 0)) if extra is None else np.asarray(extra, dtype=np.float64)
    if table.ndim != 2 or len(table) != rows:
        raise ValueError(f"extra statistics of shape {table.shape} for {rows} architectures")
    return table
