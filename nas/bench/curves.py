"""From traces to curves: what the incumbents are worth after so many epochs, with bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evolution.quality import hypervolume
from nas.bench.trace import Trace, reading

Floats: TypeAlias = NDArray[np.float64]
Charge: TypeAlias = Literal["spent", "anew", "evaluations"]

POINTS: Final = 120
"""Places on the axis of what was spent at which curves are known."""

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Curve:
    """The mean over seeds, with the bootstrap interval of the mean.

    Attributes:
        arm: Name of the arm.
        x: What was spent, ascending.
        mean: Mean over seeds; NaN before every seed has a value.
        low: Lower end of the interval.
        high: Upper end.
        seeds: How many.
    """

    arm: str
    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    seeds: int


def axis(trace: Trace, charge: Charge) -> Floats:
    """What was spent after each evaluation of a trace."""
    if charge == "evaluations":
        return np.arange(1, len(trace.ids) + 1, dtype=np.float64)
    return np.array(trace.spent if charge == "spent" else trace.anew, dtype=np.float64)


def regret_of(trace: Trace, best: float) -> Floats:
    """First cost of the incumbent less the least there is, after each evaluation."""
    costs = [None if i is None else trace.costs[0][i] for i in trace.incumbents()]
    return np.array([np.nan if c is None else c - best for c in costs])


def test_error_of(trace: Trace) -> Floats:
    """Tested figure of the incumbent after each evaluation; NaN where it was not read."""
    names = (
        "" if i is None else reading(trace.ids[i], trace.budgets[i]) for i in trace.incumbents()
    )
    return np.array([trace.tests.get(name, np.nan) for name in names])


def hypervolume_of(trace: Trace, reference: Sequence[float], whole: float) -> Floats:
    """Share of a hypervolume that what was evaluated at the largest budget so far has."""
    shares = np.full(len(trace.ids), np.nan)
    held = np.empty((0, len(trace.costs)))
    largest, share = -1.0, 0.0
    for number, budget in enumerate(trace.budgets):
        row = [costs[number] for costs in trace.costs]
        if budget > largest:
            largest, held, share = budget, held[:0], 0.0
        if budget == largest and all(cost is not None for cost in row):
            point = np.array(row, dtype=np.float64)
            if not len(held) or not (held <= point).all(axis=1).any():
                held = np.vstack([held[~(point <= held).all(axis=1)], point])
                share = hypervolume(held, reference) / whole
        shares[number] = share
    return shares


def curve(
    arm: str,
    traces: Sequence[Trace],
    value: Callable[[Trace], Floats],
    charge: Charge = "spent",
    grid: Floats | None = None,
) -> Curve:
    """The mean curve of an arm.

    Args:
        arm: Its name.
        traces: Its traces.
        value: Values after each evaluation.
        charge: What the axis is.
        grid: Where the curve is known; up to the dearest search by default. A search that is over
            keeps its last value.
    """
    if grid is None:
        grid = grid_of(traces, charge)
    rows = np.stack([_at(grid, axis(trace, charge), value(trace)) for trace in traces])
    mean = rows.mean(axis=0)
    low, high = bootstrap(rows)
    return Curve(arm, grid, mean, low, high, len(traces))


def grid_of(traces: Sequence[Trace], charge: Charge) -> Floats:
    """Places from the cheapest first evaluation to the dearest search."""
    axes = [axis(trace, charge) for trace in traces if trace.ids]
    if not axes:
        return np.array([0.0])
    return np.linspace(min(x[0] for x in axes), max(x[-1] for x in axes), POINTS)


def _at(grid: Floats, x: Floats, values: Floats) -> Floats:
    """Values as steps on a grid; NaN before the first evaluation."""
    place = np.searchsorted(x, grid * (1 + 1e-12), side="right") - 1
    padded = np.concatenate([values, [np.nan]])
    return np.asarray(np.where(place >= 0, padded[place], np.nan), dtype=np.float64)


def bootstrap(rows: Floats, seed: int = 0) -> tuple[Floats, Floats]:
    """Percentile interval of the mean over the first axis.

    Args:
        rows: Shape (seeds, k).
        seed: Of the resampling.
    """
    if len(rows) < 2:
        nothing = np.full(rows.shape[1], np.nan)
        return nothing, nothing.copy()
    chance = np.random.default_rng(seed)
    weights = chance.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=RESAMPLES)
    means = weights @ rows / len(rows)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    return np.asarray(low), np.asarray(high)


def spent_to_reach(of: Curve, level: float) -> float:
    """What the mean curve has spent when it first is at `level` or below; NaN if it never is."""
    there = np.flatnonzero(of.mean <= level)
    return float(of.x[there[0]]) if len(there) else float("nan")


def by_arm(traces: Sequence[Trace]) -> Mapping[str, list[Trace]]:
    """Traces of each arm, by seed."""
    groups: dict[str, list[Trace]] = {}
    for trace in traces:
        groups.setdefault(trace.arm, []).append(trace)
    return {arm: sorted(group, key=lambda trace: trace.seed) for arm, group in groups.items()}


def as_rows(curves: Sequence[Curve], what: str) -> list[dict[str, Any]]:
    """Curves as lines of a table."""
    return [
        {"arm": c.arm, "value": what, "x": x, "mean": m, "low": low, "high": high, "seeds": c.seeds}
        for c in curves
        for x, m, low, high in zip(c.x, c.mean, c.low, c.high, strict=True)
        if np.isfinite(m)
    ]
