"""After how many epochs the order of trainings is that of the end.

Dai et al., "FBNetV3", CVPR 2021, train a first batch in full and let every later training end at
the first epoch whose ranks correlate with the last one's by 0.92. Which correlation they mean is
not public where we looked; ours is Spearman's, or Kendall's tau-b if asked for. An epoch by chance
is no reason to stop, so all later epochs must correlate as well.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np

from predictors.quality import kendall, spearman

__all__ = ["Correlation", "correlations", "first_reliable"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Correlation: TypeAlias = Literal["spearman", "kendall"]

FEW: Final = 5
"""Trainings below which their order says nothing."""


def correlations(curves: Floats, kind: Correlation = "spearman") -> Floats:
    """Rank correlation of every column with the last one ``(columns,)``.

    Args:
        curves: Costs ``(trainings, columns)``, less is better. What is not finite, as after a
            training has failed, ranks last; equal costs share their mean rank, in tau-b as in
            Spearman's. A column whose costs are all equal correlates by 0, the last one by 1.
        kind: Which correlation.
    """
    from scipy.stats import rankdata

    places = rankdata(np.where(np.isfinite(curves), curves, np.inf), axis=0)
    measure = kendall if kind == "kendall" else spearman
    found = np.array([measure(column, places[:, -1]) for column in places.T])
    found[-1:] = 1.0
    return found


def first_reliable(curves: Floats, threshold: float, kind: Correlation = "spearman") -> int:
    """The first column that correlates with the last one by the threshold, as all after it do.

    Args:
        curves: As of `correlations`.
        threshold: The least correlation.
        kind: Which correlation.

    Returns:
        Its index; that of the last one if no other does, if there are fewer than five trainings,
        or if those all end alike.
    """
    last = int(curves.shape[1]) - 1
    final = curves[np.isfinite(curves[:, -1]), -1] if curves.size else np.empty(0)
    if len(curves) < FEW or len(np.unique(final)) < 2:
        return last
    found = correlations(curves, kind)
    first = last
    while first > 0 and found[first - 1] >= threshold:
        first -= 1
    return first
