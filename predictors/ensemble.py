"""Several predictors asked together."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from nas.core.config import Json
from nas.core.seeds import derive
from predictors.base import Batch, Predictor, PredictorSettings
from predictors.labels import Floats, Labels, Prediction

__all__ = ["Ensemble"]

_ITSELF = "ensemble"


class EnsembleSettings(PredictorSettings):
    """Settings of an ensemble; members take its encoding unless they are told another one.

    Attributes:
        members: Names of predictors; one that is named n times is there n times, with other seeds.
        settings: Settings of members by name, e.g. ``{"mlp": {"members": 1}}``.
        bootstrap: Each member learns from readings drawn with replacement.
    """

    members: tuple[str, ...] = Field(default=("pairwise-mlp", "gradient-boosting"), min_length=1)
    settings: Json = Field(default_factory=dict)
    bootstrap: bool = False

    @field_validator("members")
    @classmethod
    def _no_circle(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if _ITSELF in members:
            raise ValueError("predictors other than an ensemble")
        return members


class Ensemble(Predictor):
    """The mean of its members' answers; the deviation is among members and inside each.

    If all members regress values, the answer is in their unit. Otherwise each member's scores
    are standardised by what it says of the readings it learnt from, and the answer has no unit.
    """

    Settings: ClassVar[type[PredictorSettings]] = EnsembleSettings

    def _learn(self, batch: Batch, labels: Labels) -> None:
        from predictors import get_predictor

        settings = self.settings
        self._members: list[Predictor] = []
        self._scales: list[tuple[float, float]] = []
        unit = not any(get_predictor(name).ranks for name in settings.members)
        rows = np.arange(len(labels))
        for place, name in enumerate(settings.members):
            seed = derive(self.seed, "member", place)
            if settings.bootstrap:
                rows = np.random.default_rng(seed).integers(len(labels), size=len(labels))
            own: dict[str, Any] = {"encoding": settings.encoding, **settings.settings.get(name, {})}
            told = labels.at(rows)
            member = get_predictor(name)(self.space, own, seed)
            member.fit([batch.architectures[int(row)] for row in rows], told, batch.extra[rows])
            self._members.append(member)
            said = member.rank(batch.architectures, batch.extra)
            scale = (0.0, 1.0) if unit else (float(said.mean()), float(said.std()) or 1.0)
            self._scales.append(scale)

    def _expect(self, batch: Batch) -> Prediction:
        means: list[Floats] = []
        variances: list[Floats] = []
        for member, (centre, scale) in zip(self._members, self._scales, strict=True):
            said = member.predict(batch.architectures, batch.extra)
            means.append((said.mean - centre) / scale)
            variances.append((said.std / scale) ** 2)
        mean = np.stack(means)
        return Prediction(mean.mean(0), np.sqrt(np.mean(variances, 0) + mean.var(0)))
