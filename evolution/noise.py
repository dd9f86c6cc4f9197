"""Comparing what was measured with noise: better only if it is surely better.

Two means of few readings differ by chance alone; a search that takes every difference for real
keeps the lucky. Here a member dominates another only if the probability of being nowhere worse,
taken over the normal errors of both, reaches a confidence (the idea of Hughes, "Evolutionary
Multi-objective Ranking with Uncertainty and Noise", EMO 2001, used as a threshold).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.special import ndtr

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Indices: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


def probability_not_worse(
    mean: float, error: float, other_mean: float, other_error: float
) -> float:
    """Probability that the first of two costs is at most the second, given standard errors.

    1 or 0 for costs without errors, 1 if they are equal.
    """
    spread = float(np.hypot(error, other_error))
    if spread == 0.0:
        return float(mean <= other_mean)
    return float(ndtr((other_mean - mean) / spread))


def surely_dominates(
    costs: Sequence[float],
    errors: Sequence[float],
    other_costs: Sequence[float],
    other_errors: Sequence[float],
    confidence: float = 0.95,
) -> bool:
    """Whether the first member dominates the second with the confidence.

    Args:
        costs: Means of the first member, less is better.
        errors: Their standard errors; 0 for what is exact, such as parameters.
        other_costs: Means of the second.
        other_errors: Their standard errors.
        confidence: Least probability that the first is nowhere worse.
    """
    pair = np.array([costs, other_costs], dtype=np.float64)
    both = np.array([errors, other_errors], dtype=np.float64)
    return bool(domination(pair, both, confidence)[0, 1])


def domination(costs: Floats, errors: Floats, confidence: float) -> Flags:
    """Who surely dominates whom: element (i, j) tells whether i dominates j.

    The means must dominate, too, so there are no circles; without errors, or with confidence 0,
    this is plain domination.

    Args:
        costs: Shape (n, m), finite.
        errors: Shape (n, m).
        confidence: Least probability that i is nowhere worse than j.
    """
    gaps = costs[None, :, :] - costs[:, None, :]  # (i, j): how much worse j is
    plain = (gaps >= 0).all(axis=2) & (gaps > 0).any(axis=2)
    spread = np.sqrt(errors[None, :, :] ** 2 + errors[:, None, :] ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        sure = np.where(spread > 0, ndtr(gaps / spread), (gaps >= 0).astype(np.float64))
    result: Flags = plain & (sure.prod(axis=2) >= confidence)
    return result


def confident_ranks(
    costs: Floats, errors: Floats, violations: Floats, confidence: float
) -> Indices:
    """Number of each member's front, from 0, where only sure domination counts.

    Args:
        costs: Shape (n, m).
        errors: Shape (n, m).
        violations: Shape (n,); what is not feasible comes after all that is, nearest first.
        confidence: As `domination`.
    """
    result = np.zeros(len(costs), dtype=np.int64)
    feasible = np.flatnonzero(violations == 0.0)
    beats = domination(costs[feasible], errors[feasible], confidence)
    left = np.ones(len(feasible), dtype=bool)
    front = 0
    while left.any():
        best = left & ~beats[left].any(axis=0)
        result[feasible[best]] = front
        left &= ~best
        front += 1
    beyond = violations != 0.0
    _, place = np.unique(violations[beyond], return_inverse=True)
    result[beyond] = front + place
    return result
