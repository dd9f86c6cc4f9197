"""What the scores of pairs tell: who may be compared, in which order, and with what chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from nas.core.errors import CandidateError
from nas.core.objective import Objective
from nas.strategies.eagan.gain import LEAST, Gain, pooled_error
from nas.strategies.eagan.population import Figures

__all__ = [
    "SIZES",
    "able",
    "challengers",
    "chance_of",
    "error_of_means",
    "mean",
    "ranking",
    "words",
]

SIZES = ("params", "macs", "discriminator_params", "discriminator_macs")


def able(objectives: Sequence[Objective], means: Sequence[Figures | None]) -> list[int]:
    """Places of those that did not fail and whose sizes are as near to their limits as any's.

    Sizes are exact: who is nearer to their limits needs no proof. A limit that the generator is
    beyond is the same for all.
    """
    sizes = [objective for objective in objectives if objective.metric in SIZES]
    beyond = {
        place: sum(objective.violation(figures) for objective in sizes)
        for place, figures in enumerate(means)
        if figures is not None
    }
    least = min(beyond.values(), default=0.0)
    return [place for place, value in beyond.items() if value <= least]


def challengers(
    objectives: Sequence[Objective], means: Sequence[Figures | None], held: int
) -> list[int]:
    """Those of the able that are not further beyond any limits than the one that is held.

    The cap on distances is none of these: who gains on the one that is held needs no cap.
    """

    def beyond(place: int) -> float:
        told = means[place] or {}
        return sum(objective.violation(told) for objective in objectives)

    return [place for place in able(objectives, means) if beyond(place) <= beyond(held)]


def words(gain: Gain) -> str:
    """The gain as a person is told it."""
    if not gain.freedom:
        return f"gain of {100 * gain.share:.1f}%, from too few pairs to know chance"
    return (
        f"gain of {100 * gain.share:.1f}%, 95% interval {100 * gain.low:.1f} to"
        f" {100 * gain.high:.1f}%; one below {100 * gain.least:.1f}% could not have been told from"
        " chance"
    )


def ranking(readings: Sequence[Sequence[float]]) -> list[int]:
    """Places of pairs, best first; a discriminator's lie side by side.

    Raises:
        CandidateError: None of them has a figure.
    """
    flat = [value for row in readings for value in row]
    if not any(map(math.isfinite, flat)):
        raise CandidateError("all pairs failed", "lower the learning rates")
    return sorted(range(len(flat)), key=lambda place: (flat[place], place))


def mean(row: Sequence[Figures | None]) -> Figures | None:
    """Mean figures over pairs; None if one failed: it cannot be relied on."""
    alive = [figures for figures in row if figures is not None]
    if len(alive) < len(row):
        return None
    return {name: fmean(figures[name] for figures in alive) for name in alive[0]}


def chance_of(readings: Sequence[Sequence[float]]) -> tuple[float, int]:
    """`pooled_error` of the logarithms of those that have all their readings."""
    logs = [[math.log(max(v, LEAST)) for v in row] for row in readings if np.isfinite(row).all()]
    return pooled_error(logs) if logs else (math.nan, 0)


def error_of_means(readings: Sequence[Sequence[float]]) -> float | None:
    """Relative standard error of a discriminator's mean; None if there is one pair of each."""
    error, freedom = chance_of(readings)
    return error / math.sqrt(len(readings[0])) if freedom else None
