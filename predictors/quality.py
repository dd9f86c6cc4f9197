"""How well an order agrees with the true one."""

from __future__ import annotations

import numpy as np

from predictors.labels import Floats

__all__ = ["kendall", "regret", "spearman"]


def kendall(scores: Floats, values: Floats) -> float:
    """Kendall's tau-b of scores and values ``(n,)``; 0 if either has no order."""
    if not _ordered(scores, values):
        return 0.0
    from scipy import stats  # half a second that a search need not wait

    return float(stats.kendalltau(scores, values).statistic)


def spearman(scores: Floats, values: Floats) -> float:
    """Spearman's rank correlation of scores and values ``(n,)``; 0 if either has no order."""
    if not _ordered(scores, values):
        return 0.0
    from scipy import stats

    return float(stats.spearmanr(scores, values).statistic)


def regret(scores: Floats, values: Floats, count: int) -> float:
    """How far the best of the `count` least scores is behind the least value.

    Args:
        scores: ``(n,)``, n at least 1; equal ones keep their order.
        values: Costs ``(n,)``.
        count: How many are looked at.
    """
    first = np.argsort(scores, kind="stable")[:count]
    return float(values[first].min() - values.min())


def _ordered(scores: Floats, values: Floats) -> bool:
    return bool(len(scores) > 1 and np.ptp(scores) > 0 and np.ptp(values) > 0)
