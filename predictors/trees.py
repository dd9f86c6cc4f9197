"""Regression by trees, from scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from predictors.base import Batch, Predictor, PredictorSettings
from predictors.labels import Labels, Prediction
from predictors.targets import Scale, Targets

__all__ = ["Forest", "GradientBoosting"]

_SEEDS = 2**32


class BoostingSettings(PredictorSettings):
    """Settings of boosted trees.

    Attributes:
        target: What is regressed, see `predictors.targets`.
        rounds: Trees.
        learning_rate: Share of each tree's answer that is added.
        leaves: Most leaves of a tree.
        leaf: Fewest readings in a leaf.
        l2: Penalty on leaves.
        columns: Share of the features that each split looks at.
    """

    target: Scale = "rank"
    rounds: int = Field(default=100, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    leaves: int = Field(default=8, ge=2)
    leaf: int = Field(default=5, ge=1)
    l2: float = Field(default=1.0, ge=0)
    columns: float = Field(default=0.3, gt=0, le=1)


class GradientBoosting(Predictor):
    """Boosted regression trees on histograms; it knows no deviation."""

    Settings: ClassVar[type[PredictorSettings]] = BoostingSettings

    def _learn(self, batch: Batch, labels: Labels) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        settings = self.settings
        self._targets = Targets(labels, settings.target)
        self._model = HistGradientBoostingRegressor(
            max_iter=settings.rounds,
            learning_rate=settings.learning_rate,
            max_leaf_nodes=settings.leaves,
            min_samples_leaf=settings.leaf,
            l2_regularization=settings.l2,
            max_features=settings.columns,
            early_stopping=False,
            random_state=self.seed % _SEEDS,
        ).fit(batch.vectors, self._targets.values)

    def _expect(self, batch: Batch) -> Prediction:
        mean = self._model.predict(batch.vectors)
        return self._targets.prediction(mean, np.zeros(len(mean)))


class ForestSettings(PredictorSettings):
    """Settings of the forest.

    Attributes:
        target: What is regressed, see `predictors.targets`.
        trees: Trees.
        leaf: Fewest readings in a leaf.
        columns: Share of the features that each split looks at.
    """

    target: Scale = "value"
    trees: int = Field(default=200, ge=1)
    leaf: int = Field(default=1, ge=1)
    columns: float = Field(default=0.5, gt=0, le=1)


class Forest(Predictor):
    """Trees with random thresholds (extremely randomised); the deviation is among trees."""

    Settings: ClassVar[type[PredictorSettings]] = ForestSettings

    def _learn(self, batch: Batch, labels: Labels) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        settings = self.settings
        self._targets = Targets(labels, settings.target)
        self._model = ExtraTreesRegressor(
            n_estimators=settings.trees,
            min_samples_leaf=settings.leaf,
            max_features=settings.columns,
            random_state=self.seed % _SEEDS,
        ).fit(batch.vectors, self._targets.values)

    def _expect(self, batch: Batch) -> Prediction:
        # What every tree would convert again.
        vectors: Any = np.ascontiguousarray(batch.vectors, dtype=np.float32)
        answers = np.stack([t.predict(vectors, check_input=False) for t in self._model.estimators_])
        return self._targets.prediction(answers.mean(0), answers.std(0))
