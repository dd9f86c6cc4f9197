"""Which candidates survive: non-dominated sorting, crowding, limits first.

Deb, Pratap, Agarwal & Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
IEEE Transactions on Evolutionary Computation 6(2), 2002; the sorting and the crowding distance
themselves are pymoo's. Limits are handled by the paper's constrained domination (section VI.A):
what keeps them beats what does not, and of two that do not the nearer one to keeping them wins.

Everywhere costs are numbers of which less is better, `(n, m)` for n members and m objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from evolution.member import Member
from evolution.noise import confident_ranks

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Indices: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def ranks(costs: Floats, violations: Floats | None = None) -> Indices:
    """Number of each member's front under constrained domination, from 0.

    Args:
        costs: Shape (n, m). Those of feasible members must be finite.
        violations: Shape (n,), 0 for feasible; None if all are.
    """
    beyond = np.zeros(len(costs)) if violations is None else violations
    result = np.zeros(len(costs), dtype=np.int64)
    feasible = beyond == 0.0
    if feasible.any():
        result[feasible] = _pareto_ranks(costs[feasible])
    above = result[feasible].max(initial=-1) + 1
    # Equally far beyond the limits is equally bad: one front for each distance.
    _, place = np.unique(beyond[~feasible], return_inverse=True)
    result[~feasible] = above + place
    return result


def crowding(costs: Floats, fronts: Indices) -> Floats:
    """Crowding distance of each member within its front; infinite at the front's ends.

    Members of infinite cost, which are not comparable, have 0.
    """
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

    distances = np.zeros(len(costs))
    for front in range(int(fronts.max(initial=-1)) + 1):
        mine = (fronts == front) & np.isfinite(costs).all(axis=1)
        if mine.sum() > 2:
            distances[mine] = calc_crowding_distance(costs[mine])
        else:
            distances[mine] = np.inf
    return distances


def ordered(members: Sequence[Member], confidence: float = 0.0) -> list[Member]:
    """The members from best to worst: by front, then the least crowded, then by id.

    With a single objective that is the order of their costs.

    Args:
        members: Any number.
        confidence: How sure domination must be where costs have standard errors; 0 compares
            the means.
    """
    return [member for member, _, _ in graded(members, confidence)]


def graded(members: Sequence[Member], confidence: float = 0.0) -> list[tuple[Member, int, float]]:
    """As `ordered`, each member with its front and its crowding distance."""
    if not members:
        return []
    # Which of two equal points is called crowded depends on their places.
    members = sorted(members, key=lambda member: member.key)
    costs = np.array([member.costs for member in members], dtype=np.float64)
    violations = np.array([member.violation for member in members], dtype=np.float64)
    if confidence > 0.0:
        errors = np.array([member.errors for member in members], dtype=np.float64)
        fronts = confident_ranks(costs, errors, violations, confidence)
    else:
        fronts = ranks(costs, violations)
    # One objective's front holds equal costs only, and nothing is crowded there.
    distances = crowding(costs, fronts) if costs.shape[1] > 1 else np.zeros(len(members))
    graded = zip(members, fronts.tolist(), distances.tolist(), strict=True)
    return sorted(graded, key=lambda item: (item[1], -item[2], item[0].key))


def survivors(
    members: Sequence[Member], count: int, confidence: float = 0.0
) -> list[tuple[Member, int, float]]:
    """The `count` best with their fronts and crowding distances, from best to worst."""
    return graded(members, confidence)[:count]


def _pareto_ranks(costs: Floats) -> Indices:
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    if costs.shape[1] == 1:
        return np.unique(costs[:, 0], return_inverse=True)[1].astype(np.int64)
    result = np.zeros(len(costs), dtype=np.int64)
    for front, indices in enumerate(NonDominatedSorting().do(costs)):
        result[indices] = front
    return result
