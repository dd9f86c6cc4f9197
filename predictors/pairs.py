"""Which of two readings is better, and how much that is worth.

Readings at different epochs are not on one scale, so rankers learn from pairs (RANK-NOSH,
ICCV 2021, arXiv 2108.08019): of two levels the higher wins, because what is trained longer was
selected for it; on one level the lower cost wins. Short trainings mislead where their order has
little to do with the final one, so a pair can weigh what its lower level is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from predictors.labels import Floats, Labels

__all__ = ["Mode", "Pairs", "make_pairs"]

Mode: TypeAlias = Literal["levels", "within", "reliability", "common"]
"""``levels``: the paper's rule, all weights 1. ``within``: pairs of one level only, weights 1.
``reliability``: the paper's rule, each pair weighted by the squared reliability of the lower of
its levels. ``common``: two are compared by what both were read for on the highest level that they
share, so that nothing is concluded from who was sent higher; a pair weighs the squared reliability
of that level over the number of others read on it, as n readings tell n things and not n^2. Pairs
of different levels may contradict each other, as readings do. Where no reliability is known, it is
1."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Comparisons between rows of some labels.

    Attributes:
        better: Row that wins ``(m,)``.
        worse: Row that loses ``(m,)``.
        weight: What the comparison is worth ``(m,)``, above 0.
    """

    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    weight: Floats

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.better)

    def matrix(self, rows: int) -> Floats:
        """Weights ``(rows, rows)``: that of the pair in which the row wins over the column.

        The weights are scaled to a sum of 1; all zero if there is no pair.
        """
        result = np.zeros((rows, rows))
        if len(self):
            np.add.at(result, (self.better, self.worse), self.weight / self.weight.sum())
        return result


def make_pairs(
    labels: Labels,
    mode: Mode = "reliability",
    limit: int | None = None,
    rng: np.random.Generator | None = None,
) -> Pairs:
    """All pairs of rows with different labels, or a random part of them.

    Ties on one level are in no pair, nor are readings that are not finite or pairs of weight 0.

    Args:
        labels: Readings.
        mode: How pairs are formed and weighted.
        limit: Most pairs given, drawn without replacement; None for all of them.
        rng: Draws the pairs where there are more than `limit`; the same part each time if None.
    """
    (rows,) = np.nonzero(labels.usable)
    upper = np.triu_indices(len(rows), 1)
    first, second = rows[upper[0]], rows[upper[1]]
    compare = _on_common_level if mode == "common" else _by_level
    order, weight = compare(labels, first, second, mode)  # order > 0: the first wins
    keep = (order != 0) & (weight > 0)
    first, second, order, weight = (part[keep] for part in (first, second, order, weight))
    if limit is not None and len(first) > limit:
        drawn = (rng or np.random.default_rng(0)).choice(len(first), limit, replace=False)
        drawn.sort()
        first, second, order, weight = (part[drawn] for part in (first, second, order, weight))
    wins = order > 0
    return Pairs(np.where(wins, first, second), np.where(wins, second, first), weight)


Rows: TypeAlias = NDArray[np.int64]


def _by_level(labels: Labels, first: Rows, second: Rows, mode: Mode) -> tuple[Floats, Floats]:
    levels, values = labels.levels, labels.values
    step = levels[first] - levels[second]
    order = np.where(step != 0, step, np.sign(values[second] - values[first]))
    if mode == "within":
        order = np.where(step == 0, order, 0)
    weight = np.ones(len(first))
    if mode == "reliability" and labels.reliability is not None:
        weight = labels.reliability[np.minimum(levels[first], levels[second])] ** 2
    return order, weight


def _on_common_level(
    labels: Labels, first: Rows, second: Rows, mode: Mode
) -> tuple[Floats, Floats]:
    history = labels.history
    shared = np.isfinite(history[first]) & np.isfinite(history[second])
    level = shared.shape[1] - 1 - np.argmax(shared[:, ::-1], axis=1)
    gap = np.nan_to_num(history[second, level] - history[first, level])
    reliability = np.ones(history.shape[1]) if labels.reliability is None else labels.reliability
    read = np.isfinite(history[labels.usable]).sum(axis=0)
    weight = reliability[level] ** 2 / np.maximum(1, read[level] - 1)
    return np.where(shared.any(axis=1), np.sign(gap), 0.0), weight
