"""Predictors weighted by how well each orders readings that it was not told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from pydantic import Field, field_validator

from nas.core.architecture import Architecture
from nas.core.config import Json
from nas.core.config import Settings as SettingsModel
from nas.core.errors import ConfigError
from nas.core.seeds import derive
from nas.core.space import Space
from predictors.base import Batch, Predictor, PredictorSettings
from predictors.labels import Floats, Labels, Prediction
from predictors.quality import kendall

__all__ = ["Stacked"]

_ENSEMBLES: Final = frozenset({"stacked", "ensemble"})


class StackedSettings(PredictorSettings):
    """Settings of the stack; members take its encoding unless they are told another one.

    Attributes:
        members: Names of predictors that regress.
        settings: Settings of members by name, e.g. ``{"forest": {"trees": 50}}``.
        folds: Parts of the readings that are left out in turn.
        sharpness: A member's weight is its cross-validated tau, or 0 if that is negative, to this
            power; 0 weighs all alike, and more follows the best.
    """

    members: tuple[str, ...] = Field(default=("gp", "forest", "nars"), min_length=1)
    settings: Json = Field(default_factory=dict)
    folds: int = Field(default=5, ge=2)
    sharpness: float = Field(default=2.0, ge=0)

    @field_validator("members")
    @classmethod
    def _no_circle(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if _ENSEMBLES & set(members):
            raise ValueError("predictors other than ensembles")
        return members


class Stacked(Predictor):
    """The mean of its members' answers, each weighted by its cross-validated Kendall's tau.

    Weights are at least 0 and add up to 1; if no member orders what it was not told, all count
    alike. The deviation, among members and inside each, is made to fit what their mean was off
    by on readings that were left out: where it is too small on the whole, the same variance is
    added everywhere (the noise of a reading is in it), and where it is too large it shrinks.

    Where labels tell what was read on several levels of training, a stack is made for each, from
    the lowest up; what one expects, brought to the scale of the next by a straight line (as in the
    autoregressive model of Kennedy & O'Hagan, Biometrika 87(1), 2000), is a member of that one.
    """

    Settings: ClassVar[type[PredictorSettings]] = StackedSettings
    levels: ClassVar[bool] = True

    def __init__(
        self,
        space: Space,
        settings: SettingsModel | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(space, settings, seed)
        for name in self.settings.members:
            if _kind(name).ranks:
                raise ConfigError(f"predictor {name!r} only ranks", "name ones that regress")

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of each member on the highest level, and of `below` if there is a level below."""
        found: dict[str, float] = {}
        names = (*self.settings.members, "below")
        for name, weight in zip(names, self._teams[-1].weights, strict=False):
            found[name] = found.get(name, 0.0) + float(weight)
        return found

    def _learn(self, batch: Batch, labels: Labels) -> None:
        self._teams: list[_Team] = []
        below: Floats | None = None
        for rows, told in labels.by_level():
            team = _Team(self.space, self.settings, self.seed)
            members = [batch.architectures[int(row)] for row in rows]
            team.learn(members, told, batch.extra[rows], None if below is None else below[rows])
            self._teams.append(team)
            below = self._expect(batch).mean
            below[rows] = team.unseen  # not what it learnt by heart

    def _expect(self, batch: Batch) -> Prediction:
        said: Prediction | None = None
        for team in self._teams:
            said = team.expect(batch.architectures, batch.extra, said)
        assert said is not None
        return said


class _Team:
    """Members fitted to the same readings, and their weights.

    Args:
        space: The space.
        settings: The stack's.
        seed: Of folds and members.

    Attributes:
        weights: Of each member ``(k,)``.
        unseen: What was expected of each reading when it was left out ``(n,)``.
    """

    def __init__(self, space: Space, settings: StackedSettings, seed: int) -> None:
        self._space, self._settings, self._seed = space, settings, seed
        self._members: list[Predictor] = []
        self._line: Callable[[Floats], Floats] | None = None
        self._shrink, self._noise = 1.0, 0.0
        self.weights: Floats = np.empty(0)
        self.unseen: Floats = np.empty(0)

    def learn(
        self,
        members: Sequence[Architecture],
        labels: Labels,
        extra: Floats,
        below: Floats | None,
    ) -> None:
        """Weigh the members by cross-validation, then fit each to everything.

        Args:
            members: n architectures.
            labels: Their readings.
            extra: Their statistics ``(n, k)``.
            below: What the level below expected of them ``(n,)``; None for the lowest.
        """
        rows = np.arange(len(labels))
        folds = min(self._settings.folds, len(labels))
        place = np.random.default_rng(derive(self._seed, "folds")).permutation(rows) % folds
        count = len(self._settings.members) + (below is not None)
        means, stds = np.zeros((2, count, len(labels)))
        for fold in range(folds):
            (out,), (rest,) = np.nonzero(place == fold), np.nonzero(place != fold)
            for number, member in enumerate(self._fitted(members, labels, extra, rest)):
                said = member.predict([members[int(row)] for row in out], extra[out])
                means[number, out], stds[number, out] = said.mean, said.std
            if below is not None:
                means[-1, out] = _line(below[rest], labels.values[rest])(below[out])
        whole = len(np.unique(labels.levels)) == 1
        values = labels.values if whole else labels.ranks()
        taus = np.array([max(0.0, kendall(mean, values)) for mean in means])
        weights = taus**self._settings.sharpness * (taus > 0)
        self.weights = (weights if weights.any() else np.ones(count)) / (weights.sum() or count)
        mixed = self._mixed(means, stds)
        self.unseen = mixed.mean
        if whole:
            off = float(np.mean((mixed.mean - values) ** 2))
            told = float(np.mean(mixed.std**2))
            self._shrink = min(1.0, off / told) if told > 0 else 1.0
            self._noise = max(0.0, off - told)
        self._members = self._fitted(members, labels, extra, rows)
        self._line = None if below is None else _line(below, labels.values)

    def expect(
        self, members: Sequence[Architecture], extra: Floats, below: Prediction | None
    ) -> Prediction:
        """What to expect of architectures, of which the level below expects something."""
        said = [member.predict(members, extra) for member in self._members]
        means, stds = [p.mean for p in said], [p.std for p in said]
        if self._line is not None and below is not None:
            means.append(self._line(below.mean))
            stds.append(np.zeros(len(members)))
        mixed = self._mixed(np.stack(means), np.stack(stds))
        return Prediction(mixed.mean, np.sqrt(mixed.std**2 * self._shrink + self._noise))

    def _mixed(self, means: Floats, stds: Floats) -> Prediction:
        mean = self.weights @ means
        variance = self.weights @ (stds**2 + (means - mean) ** 2)
        return Prediction(mean, np.sqrt(variance))

    def _fitted(
        self,
        members: Sequence[Architecture],
        labels: Labels,
        extra: Floats,
        rows: np.ndarray[Any, np.dtype[np.int64]],
    ) -> list[Predictor]:
        s = self._settings
        told, some = labels.at(rows), [members[int(row)] for row in rows]
        fitted = []
        for number, name in enumerate(s.members):
            own = {"encoding": s.encoding, **s.settings.get(name, {})}
            # A member's seed is the same on every fold and level: it need not pretrain anew.
            predictor = _kind(name)(self._space, own, derive(self._seed, "member", number))
            fitted.append(predictor.fit(some, told, extra[rows]))
        return fitted


def _line(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """The straight line, not falling, of least squares through points ``(n,)``."""
    spread = float(np.var(x))
    slope = max(0.0, float(np.mean((x - x.mean()) * (y - y.mean()))) / spread) if spread > 0 else 0
    return lambda at: y.mean() + slope * (at - x.mean())


def _kind(name: str) -> type[Predictor]:
    from predictors import get_predictor

    return get_predictor(name)
