"""How good a front is: ideal and nadir, reference points, hypervolume.

A hypervolume means something only beside another one with the same reference point, so the
reference of a comparison is set once, from the whole space or from all runs together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

MARGIN: Final = 0.1
"""How far beyond the worst costs a reference point lies, as a share of their range."""


def non_dominated(costs: Floats) -> Flags:
    """Which rows are on the front; of equal rows all are.

    Args:
        costs: Shape (n, m), finite, less is better.
    """
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    result = np.zeros(len(costs), dtype=bool)
    if len(costs):
        result[NonDominatedSorting().do(costs, only_non_dominated_front=True)] = True
    return result


def ideal(costs: Floats) -> Floats:
    """The least cost in each objective, shape (m,)."""
    result: Floats = costs.min(axis=0)
    return result


def nadir(costs: Floats) -> Floats:
    """The largest cost in each objective among the rows on the front, shape (m,)."""
    result: Floats = costs[non_dominated(costs)].max(axis=0)
    return result


def reference_point(costs: Floats, margin: float = MARGIN) -> Floats:
    """A point a little worse than every row in every objective, shape (m,).

    Args:
        costs: Shape (n, m), finite.
        margin: Distance as a share of each objective's range.
    """
    worst = costs.max(axis=0)
    spread = worst - ideal(costs)
    spread = np.where(spread > 0, spread, np.where(worst != 0, np.abs(worst), 1.0))
    result: Floats = worst + margin * spread
    return result


def hypervolume(costs: Floats, reference: Sequence[float] | Floats) -> float:
    """Volume between the rows and the reference point (pymoo); 0 for no rows.

    Args:
        costs: Shape (n, m); what is beyond the reference adds nothing.
        reference: Shape (m,).
    """
    from pymoo.indicators.hv import HV

    if len(costs) == 0:
        return 0.0
    return float(HV(ref_point=np.asarray(reference, dtype=np.float64))(costs))
