"""What candidates will cost: exact figures where they are known, predictions of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from evolution.bands import Band, beyond
from nas.core.architecture import Architecture
from nas.core.errors import ConfigError
from nas.core.problem import Problem
from nas.core.seeds import derive
from predictors import Labels, get_predictor

if TYPE_CHECKING:
    from predictors.base import Predictor

__all__ = ["Knowledge", "Reading", "Surrogate"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

REFUSED: Final = 1e6
"""Added to what a candidate costs that is expected to break a limit, times how far."""

SOME: Final = 256
"""Random members that tell which figures are always above 0."""

BELOW: Final = 1e-3
"""Times the least of their figures: logarithms of what is less are cut off there."""


class Knowledge:
    """The figures of candidates that are exact without training, worked out once each.

    Args:
        problem: Tells them.

    Attributes:
        metrics: Their names; the same for every candidate.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._figures: dict[str, Mapping[str, float]] = {}
        self.metrics = tuple(self(problem.space.sample(np.random.default_rng(0))))

    def __call__(self, member: Architecture) -> Mapping[str, float]:
        """Metric to figure."""
        figures = self._figures.get(member.id)
        if figures is None:
            figures = self._problem.known(self._problem.candidate(member))
            self._figures[member.id] = figures
        return figures

    def beyond(self, bands: Sequence[Band], member: Architecture) -> float:
        """How far outside of all bands a member lies; 0 if it keeps them."""
        return beyond(bands, self(member)) if bands else 0.0

    def check(self, bands: Sequence[Band]) -> None:
        """Refuse bands of what is not known without training.

        Raises:
            ConfigError: One is.
        """
        for band in bands:
            if band.metric not in self.metrics:
                known = ", ".join(self.metrics) or "nothing"
                raise ConfigError(
                    f"limit {str(band)!r}: {band.metric} is not known without training",
                    f"known here: {known}",
                )

    def table(self, members: Sequence[Architecture]) -> Floats:
        """What is known ``(n, k)``, logarithms of figures that random members have above 0.

        A member's row does not depend on the other members.
        """
        table, least = self._raw(members), self._least
        positive = least > 0
        table[:, positive] = np.log(np.maximum(table[:, positive], BELOW * least[positive]))
        return table

    @cached_property
    def _least(self) -> Floats:
        """The least figures of some random members ``(k,)``."""
        rng = np.random.default_rng(0)
        least: Floats = self._raw([self._problem.space.sample(rng) for _ in range(SOME)]).min(
            axis=0
        )
        return least

    def _raw(self, members: Sequence[Architecture]) -> Floats:
        rows = [list(self(member).values()) for member in members]
        return np.array(rows, np.float64).reshape(len(rows), len(self.metrics))


@dataclass(frozen=True)
class Reading:
    """What a candidate was read for, on every level of training.

    Attributes:
        member: The member.
        costs: Of every level and objective ``(levels, m)``: NaN where it was not read, infinite
            where its training failed.
    """

    member: Architecture
    costs: Floats


class Surrogate:
    """Predictors of those objectives that are not known without training.

    Args:
        problem: Its space and objectives.
        knowledge: What is known.
        predictor: Name of a predictor that regresses.
        settings: Its settings.
        seed: Of the predictors.
        statistics: Whether they also see what is known.

    Attributes:
        learned: Numbers of the objectives that are predicted.

    Raises:
        ConfigError: Everything is known without training, or the predictor only ranks.
        PluginError: There is no such predictor.
    """

    def __init__(
        self,
        problem: Problem,
        knowledge: Knowledge,
        predictor: str,
        settings: Mapping[str, Any],
        seed: int,
        *,
        statistics: bool,
    ) -> None:
        self._problem, self._knowledge, self._seed = problem, knowledge, seed
        self._name, self._settings, self._statistics = predictor, settings, statistics
        known = knowledge.metrics
        self.learned = [i for i, o in enumerate(problem.objectives) if o.metric not in known]
        if not self.learned:
            raise ConfigError(
                f"training changes none of the objectives ({problem.objectives[0]}, ...)",
                "add one that it does, such as error:min",
            )
        if get_predictor(predictor).ranks:
            raise ConfigError(f"predictor {predictor!r} only ranks", "use one that regresses")
        self._predictors = {index: self._made(index) for index in self.learned}

    def _made(self, index: int, *, several: bool = False) -> Predictor:
        """The predictor of an objective; a stack of it alone where it could not tell levels apart.

        Told of several levels, most predictors answer in places of an order, not in figures.
        """
        name, settings = self._name, self._settings
        kind = get_predictor(name)
        if several and not kind.levels and name != "ensemble":
            kind, settings = (
                get_predictor("stacked"),
                {"members": [name], "settings": {name: settings}},
            )
        return kind(self._problem.space, settings, derive(self._seed, "predictor", index))

    def fit(self, readings: Sequence[Reading]) -> bool:
        """Learn from everything that was read; whether there was anything to learn.

        A failed training counts as the worst one of its level: what fails is to be avoided.
        """
        members = [reading.member for reading in readings]
        extra = self._extra(members)
        informed = False
        for index in self.learned:
            table = np.array([reading.costs[:, index] for reading in readings], np.float64)
            predictor = self._made(index, several=table.shape[1] > 1)
            self._predictors[index] = predictor.fit(members, _labels(table), extra)
            informed = informed or np.isfinite(table).sum() > 1
        return informed

    def expected(self, members: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Means and deviations ``(n, m)`` of the costs in all objectives, exact ones by 0."""
        means = np.zeros((len(members), len(self._problem.objectives)))
        stds = np.zeros_like(means)
        extra = self._extra(members)
        for index, objective in enumerate(self._problem.objectives):
            if index in self._predictors:
                said = self._predictors[index].predict(members, extra)
                means[:, index], stds[:, index] = said.mean, said.std
            else:
                means[:, index] = [objective.cost(self._knowledge(member)) for member in members]
        return means, stds

    def scores(self, members: Sequence[Architecture]) -> Floats:
        """Expected cost ``(n,)`` in the first objective that is predicted.

        Whoever is expected to break a limit of a predicted objective comes after all others.
        """
        means, _ = self.expected(members)
        return means[:, self.learned[0]] + REFUSED * self.broken(means)

    def broken(self, means: Floats) -> Floats:
        """How far expected costs are beyond the limits of predicted objectives ``(n,)``."""
        total = np.zeros(len(means))
        for index in self.learned:
            ceiling = self._problem.objectives[index].ceiling
            if math.isfinite(ceiling):
                total += np.maximum(means[:, index] - ceiling, 0) / (abs(ceiling) or 1.0)
        return total

    def _extra(self, members: Sequence[Architecture]) -> Floats | None:
        return self._knowledge.table(members) if self._statistics else None


def _labels(table: Floats) -> Labels:
    """Costs ``(n, levels)`` as labels; infinite ones become the worst of their level."""
    table = table.copy()
    for column in table.T:
        finite = column[np.isfinite(column)]
        column[np.isinf(column)] = finite.max() if len(finite) else np.nan
    read = np.isfinite(table)
    levels = np.where(read.any(axis=1), table.shape[1] - 1 - np.argmax(read[:, ::-1], axis=1), 0)
    values = table[np.arange(len(table)), levels]
    return Labels(values, levels, None, table if table.shape[1] > 1 else None)
