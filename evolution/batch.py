"""Which candidates to train next, when what they will cost is known roughly, or exactly.

Predictions have a mean and a deviation. "thompson" draws every candidate's costs from its own
prediction for every place of the batch (independent Thompson sampling, White et al., "BANANAS",
AAAI 2021), so that a batch is spread and noise is not taken at its word; "lcb" takes the mean less
one deviation; "greedy" the mean. With several objectives a place goes to whoever adds most to the
hypervolume of what was trained and of the places before it; exact costs (deviation 0) stay.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np

from evolution.quality import hypervolume, non_dominated, reference_point
from evolution.selection import crowding, ranks

__all__ = ["Acquisition", "choose_batch", "gains"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Acquisition: TypeAlias = Literal["thompson", "lcb", "greedy"]

SHORTLIST: Final = 300
"""Candidates, by the front of what can be hoped of them, whose hypervolume is worked out."""


def choose_batch(
    means: Floats,
    stds: Floats,
    held: Floats,
    count: int,
    acquisition: Acquisition,
    rng: np.random.Generator,
) -> list[int]:
    """Rows of the candidates to be trained next, fewer than `count` if there are no more.

    Args:
        means: Expected costs ``(n, m)``, less is better.
        stds: Their deviations ``(n, m)``, 0 where a cost is exact.
        held: Costs ``(k, m)`` of what was trained; looked at if m is more than 1.
        count: How many.
        acquisition: How deviations count.
        rng: Draws costs.
    """
    count = min(count, len(means))
    if means.shape[1] == 1:
        return _one_objective(means, stds, count, acquisition, rng)
    hoped = means - stds if acquisition != "greedy" else means
    fronts = ranks(hoped)
    left = np.lexsort((-crowding(hoped, fronts), fronts))[: max(SHORTLIST, count)]
    corner = reference_point(np.concatenate([held, means[left]]))
    chosen: list[int] = []
    for _ in range(count):
        costs = _costs(means[left], stds[left], acquisition, rng)
        best = int(np.argmax(gains(costs, held, corner)))
        held = np.vstack([held, costs[best]])
        chosen.append(int(left[best]))
        left = np.delete(left, best)
    return chosen


def gains(costs: Floats, held: Floats, corner: Floats) -> Floats:
    """What each point alone adds to a hypervolume ``(n,)``.

    Args:
        costs: Points ``(n, m)``.
        held: Points ``(k, m)`` whose hypervolume it is.
        corner: The reference point ``(m,)``.
    """
    held = held[(held < corner).all(axis=1)]
    held = held[non_dominated(held)]
    if costs.shape[1] != 2:
        base = hypervolume(held, corner)
        return np.array([hypervolume(np.vstack([held, row]), corner) - base for row in costs])
    # Between two points of the front, in the order of the first cost, its height is the left one's.
    left, height = np.vstack([[-np.inf, corner[1]], held[np.argsort(held[:, 0])]]).T
    right = np.append(left[1:], corner[0])
    width = np.clip(right - np.maximum(left, costs[:, :1]), 0, None)
    found: Floats = (width * np.clip(height - costs[:, 1:], 0, None)).sum(axis=1)
    return found


def _one_objective(
    means: Floats, stds: Floats, count: int, acquisition: Acquisition, rng: np.random.Generator
) -> list[int]:
    chosen: list[int] = []
    free = np.zeros(len(means))
    for _ in range(count):
        costs = _costs(means, stds, acquisition, rng)[:, 0] + free
        chosen.append(int(np.argmin(costs)))
        free[chosen[-1]] = np.inf
    return chosen


def _costs(
    means: Floats, stds: Floats, acquisition: Acquisition, rng: np.random.Generator
) -> Floats:
    if acquisition == "greedy":
        return means
    return means - stds if acquisition == "lcb" else rng.normal(means, stds)
