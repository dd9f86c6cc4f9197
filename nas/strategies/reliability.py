"""How far the levels of a pyramid can be relied on: does their order last up to the top?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtri

from nas.core.objective import Objective
from nas.core.work import Outcome
from nas.strategies.pyramid import Climber, Pyramid

Floats: TypeAlias = NDArray[np.float64]

LIES: Final = 0.2
"""Probability, before anything is known, that a level's correlation r with the next is anything at
all; otherwise its density rises with the cube of 1 + r."""

FLOOR: Final = 0.02
"""The least reliability there is."""

WORTH: Final = 0.25
"""Correlation with the next level below which readings of a level are not worth their epochs.

Where one in seven climbs and a reading costs a tenth of a training in full, the same epochs buy
half as many more of the latter. That moves the best of some ten candidates by a fifth of a standard
deviation and the ranker by as much again; choosing one in seven moves it by 1.55 correlations.
"""

FEW: Final = 3
"""Candidates read on two levels below which the lower one is not passed by, unless it is silent."""

SURE: Final = 0.5
"""A level is passed by while its correlation is below `WORTH` with at least this probability."""

SILENT: Final = 5
"""So many readings of a level that are all alike say that it tells nothing."""

_CORRELATIONS: Final = np.linspace(-0.995, 0.995, 200)
_SCALES: Final = np.exp(np.linspace(-3.0, 3.0, 61))
_PRIOR: Final = (1 - LIES) * 4 * ((1 + _CORRELATIONS) / 2) ** 3 + LIES


def _tau(correlation: float) -> float:
    """Kendall's tau of two normals."""
    return 2 / math.pi * math.asin(correlation)


def _normalised(log: Floats) -> Floats:
    return np.asarray(np.exp(log - logsumexp(log)))


UNKNOWN: Final = _tau(float(_normalised(np.log(_PRIOR)) @ _CORRELATIONS))
"""Reliability of a level just below the top of which nothing is known."""


class Readings:
    """What was read in a pyramid, as costs.

    Args:
        pyramid: Read, never changed.
        objectives: Those that count.
        learned: Numbers of those that training changes; at least one.
        level0: The objective of level 0, None if there is no such level.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        objectives: Sequence[Objective],
        learned: Sequence[int],
        level0: Objective | None = None,
    ) -> None:
        self._pyramid, self._objectives = pyramid, objectives
        self._learned, self._level0 = learned, level0

    def history(self, index: int, climbers: Sequence[Climber]) -> Floats:
        """What each climber cost on each level in an objective `(n, levels)`; NaN where unread."""
        levels = range(len(self._pyramid.budgets))
        return np.array(
            [
                [self.cost(index, (n, c.readings[n]) if n in c.readings else None) for n in levels]
                for c in climbers
            ]
        )

    def costs(self, level: int, climbers: Sequence[Climber]) -> Floats:
        """What climbers cost on a level that they have finished `(n, objectives)`."""
        columns = [self._column(index, level, climbers) for index in range(len(self._objectives))]
        return np.stack(columns, axis=1)

    def cost(self, index: int, reading: tuple[int, Outcome] | None) -> float:
        """What a reading costs in an objective; NaN for none. Level 0 has its own figure."""
        if reading is None:
            return math.nan
        level, outcome = reading
        learned = index in self._learned
        objective = self._objectives[index]
        if level == 0 and self._level0 is not None and learned:
            objective = self._level0
        return objective.cost(outcome.figures)

    def reliability(self, objective: int) -> list[float]:
        """How far the order on each level agrees with that at the top, in [0, 1].

        The expected correlation between a level and the next one (`belief`), as the Kendall's tau
        of two normals, multiplied up to the top.
        """
        result = [1.0]
        for level in reversed(range(self._pyramid.top)):
            mean = float(self.belief(level, objective) @ _CORRELATIONS)
            result.append(max(FLOOR, result[-1] * _tau(max(0.0, mean))))
        return result[::-1]

    def belief(self, level: int, objective: int) -> Floats:
        """Probability of each of `_CORRELATIONS` between a level and the next one.

        Readings are taken as normal scores: x over everybody on the level, y over those who were
        read on the next one. Most of these were chosen for their x, which makes them alike and the
        correlation among them small, but does not change what y is to be expected given x (Pearson
        1903; Thorndike, Personnel Selection, 1949, case 2): y = m + s (r x + sqrt(1 - r^2) e), e
        standard normal. This is the posterior of r with m and log s integrated out. Few readings,
        or readings of the much alike, leave it near what was believed before.
        """
        everybody = self._pyramid.on_level(level)
        lower = self._column(objective, level, everybody)
        if _silent(lower):
            squares = _CORRELATIONS**2
            return np.where(squares == squares.min(), 0.5, 0.0)  # the two next to zero
        both = [row for row, climber in enumerate(everybody) if level + 1 in climber.readings]
        upper = self._column(objective, level + 1, [everybody[row] for row in both])
        log = np.log(_PRIOR)
        if len(set(upper)) > 1:
            x, y = _scores(lower)[both], _scores(upper)
            x, y = x - x.mean(), y - y.mean()
            slope = _CORRELATIONS[:, None] * _SCALES
            noise = _SCALES * np.sqrt(1 - _CORRELATIONS[:, None] ** 2)
            misfit = y @ y - 2 * slope * (x @ y) + slope**2 * (x @ x)
            log += logsumexp(-(len(y) - 1) * np.log(noise) - misfit / (2 * noise**2), axis=1)
        return _normalised(log)

    def entry_level(self) -> int:
        """The lowest level that newcomers should be trained on; those below are not worth it."""
        for level in range(self._pyramid.top):
            everybody = self._pyramid.on_level(level)
            climbed = sum(level + 1 in c.readings for c in everybody)
            if climbed < FEW and not _silent(self._column(self._learned[0], level, everybody)):
                return level
            belief = self.belief(level, self._learned[0])
            if belief[_CORRELATIONS < WORTH].sum() < SURE:
                return level
        return self._pyramid.top

    def _column(self, objective: int, level: int, climbers: Sequence[Climber]) -> Floats:
        return np.array([self.cost(objective, (level, c.readings[level])) for c in climbers])


def _silent(read: Floats) -> bool:
    """Whether all readings of a level are alike."""
    return len(read) >= SILENT and len(set(read)) == 1


def _scores(values: Floats) -> Floats:
    """Normal scores by rank; 0 for what is not known."""
    return np.asarray(ndtri((places(values) * (len(values) - 1) + 0.5) / len(values)))


def places(values: Floats) -> Floats:
    """Places from 0 (least) to 1, equal values sharing theirs; 0.5 for what is not known."""
    from scipy.stats import rankdata

    if len(values) < 2:
        return np.full(len(values), 0.5)
    finite = np.isfinite(values)
    found = np.full(len(values), 0.5)
    found[finite] = (rankdata(values[finite]) - 1) / max(1, int(finite.sum()) - 1)
    return found
