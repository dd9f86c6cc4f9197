"""How far the levels of a pyramid can be relied on: does their order last up to the top?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from nas.core.objective import Objective
from nas.core.work import Outcome
from nas.strategies.pyramid import Climber, Pyramid

Floats: TypeAlias = NDArray[np.float64]

FEW: Final = 5
"""Candidates read on two levels below which nothing is said about the lower one."""

UNKNOWN: Final = 0.5
PRIOR: Final = 5
FLOOR: Final = 0.02
"""Reliability of a level of which nothing is known, what that is worth, and the least there is."""

USELESS: Final = 0.0
"""A lowest level whose rank correlation with the next is surely below this is passed by.

Not more than zero: among those who were promoted because they are alike, it is low anyway.
"""

SURE: Final = 1.645  # standard errors, 95 % on one side


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

    def costs(self, level: int, climbers: Sequence[Climber]) -> Floats:
        """What climbers cost on a level that they have finished `(n, objectives)`."""
        return np.array(
            [
                [
                    self.cost(index, (level, c.readings[level]))
                    for index in range(len(self._objectives))
                ]
                for c in climbers
            ]
        )

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

        Kendall's tau between a level and the next one over the candidates read on both, multiplied
        up to the top. Only promoted ones are read twice, so it is corrected for their being alike
        (`_widened`), and drawn towards `UNKNOWN` as if so many as `PRIOR` had been read besides.
        """
        result = [1.0]
        for level in reversed(range(self._pyramid.top)):
            tau, count = self._agreement(level, objective)
            if count >= FEW:
                tau = self._widened(tau, level, objective)
            step = (count * tau + PRIOR * UNKNOWN) / (count + PRIOR)
            result.append(max(FLOOR, result[-1] * min(1.0, step)))
        return result[::-1]

    def _widened(self, tau: float, level: int, objective: int) -> float:
        """What the rank correlation would be over everybody on the level, not just the promoted.

        Thorndike's correction for direct selection (Personnel Selection, 1949, case 2) on normal
        scores, with the correlation of two normals whose Kendall's tau this is.
        """
        everybody = self._pyramid.on_level(level)
        costs = np.array([self.cost(objective, (level, c.readings[level])) for c in everybody])
        scores = ndtri((places(costs) * (len(costs) - 1) + 0.5) / len(costs))
        promoted = np.array([level + 1 in climber.readings for climber in everybody])
        inside = float(scores[promoted].std())
        if inside == 0.0:
            return tau
        ratio = max(1.0, float(scores.std()) / inside)
        pearson = math.sin(math.pi / 2 * tau)
        wide = pearson * ratio / math.sqrt(1 + pearson**2 * (ratio**2 - 1))
        return 2 / math.pi * math.asin(wide)

    def _agreement(self, level: int, objective: int) -> tuple[float, int]:
        """Kendall's tau between a level and the next, and over how many; 0 for too few to tell."""
        from scipy.stats import kendalltau

        both = [c for c in self._pyramid.on_level(level) if level + 1 in c.readings]
        if len(both) < FEW:
            return UNKNOWN, 0
        pair = level, level + 1
        lower, upper = ([self.cost(objective, (n, c.readings[n])) for c in both] for n in pair)
        tau = float(kendalltau(lower, upper).statistic)
        if math.isfinite(tau):
            return tau, len(both)
        # One of them is constant: a constant lower one tells nothing, an upper one leaves it open.
        return (-1.0 if len(set(lower)) == 1 else UNKNOWN), len(both)

    def entry_level(self) -> int:
        """The lowest level that newcomers should be trained on; the levels below say nothing."""
        for level in range(self._pyramid.top):
            tau, count = self._agreement(level, self._learned[0])
            if count < 2 * FEW:
                return level
            error = math.sqrt(2 * (2 * count + 5) / (9 * count * (count - 1)))
            if tau + SURE * error >= USELESS:
                return level
        return self._pyramid.top


def places(values: Floats) -> Floats:
    """Places from 0 (least) to 1, equal values sharing theirs; 0.5 for what is not known."""
    from scipy.stats import rankdata

    if len(values) < 2:
        return np.full(len(values), 0.5)
    finite = np.isfinite(values)
    found = np.full(len(values), 0.5)
    found[finite] = (rankdata(values[finite]) - 1) / max(1, int(finite.sum()) - 1)
    return found
