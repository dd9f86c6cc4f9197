"""What a comparison says in the end: a line for each arm, and its paired test against the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from nas.bench.curves import (
    Charge,
    Curve,
    Floats,
    bootstrap,
    curve,
    hypervolume_of,
    regret_of,
    spent_to_reach,
    test_error_of,
)
from nas.bench.trace import Trace
from nas.core.objective import Direction
from nas.measure.comparison import paired

ALIKE: Final = 1.1
"""Costs within this factor are called equal."""


TAKEN: Final = frozenset(
    (
        *("arm", "seed", "seeds", "evaluations", "epochs", "epochs_anew", "seconds", "answer"),
        *("regret", "hypervolume", "difference", "difference_low", "difference_high", "p", "ratio"),
    )
)
"""Columns that are no figures of answers."""


@dataclass(frozen=True)
class Named:
    """Which figures a comparison is about.

    Attributes:
        metric: What the first objective is about.
        tested: The goal on data that no search sees.
        direction: Where the first objective goes, "min" or "max".
    """

    metric: str = "error"
    tested: str = "test_error"
    direction: Direction = "min"

    @property
    def sign(self) -> float:
        """What a first cost is multiplied with to be the figure."""
        return 1.0 if self.direction == "min" else -1.0

    @property
    def column(self) -> str:
        """The metric as a column."""
        return f"answer_{self.metric}" if self.metric in TAKEN else self.metric


@dataclass(frozen=True)
class Truth:
    """What is known of the problem as a whole, for regrets and hypervolumes.

    Attributes:
        best: The least first cost there is; of what anybody found, if nobody knows.
        exact: Whether that is the true one.
        reference: Reference point of hypervolumes, one cost per objective.
        volume: Hypervolume of the front of everything.
        named: Which figures it is about.
    """

    best: float
    exact: bool
    reference: tuple[float, ...] = ()
    volume: float = 0.0
    named: Named = Named()


@dataclass(frozen=True)
class Line:
    """An arm in the end.

    Attributes:
        arm: Its name.
        seeds: Searches.
        epochs: Mean epochs charged.
        epochs_anew: Mean epochs, had every training started from nothing.
        evaluations: Mean number.
        error: Mean figure of the answers that the first objective is about, such as the error.
        error_low: Lower end of its 95 % bootstrap interval.
        error_high: Upper end.
        regret: Mean distance from the best.
        test_error: Mean tested figure of the answers; NaN if not read.
        test_low: Lower end of its interval.
        test_high: Upper end.
        hypervolume: Mean share of the hypervolume of everything; NaN for one objective.
        difference: Mean paired difference of what decides (`decided_by`) to the first arm; like its
            interval and `p`, NaN for the first arm and where the costs differ (`cost_note`).
        difference_low: Lower end of its 95 % t interval.
        difference_high: Upper end.
        p: Two-sided Wilcoxon signed-rank test of the differences.
        ratio: Epochs this arm needs for the first arm's final mean regret, over the first arm's;
            NaN if it never gets there.
    """

    arm: str
    seeds: int
    epochs: float
    epochs_anew: float
    evaluations: float
    error: float
    error_low: float
    error_high: float
    regret: float
    test_error: float
    test_low: float
    test_high: float
    hypervolume: float
    difference: float
    difference_low: float
    difference_high: float
    p: float
    ratio: float

    @property
    def cost(self) -> float:
        """What costs are compared by: mean epochs; mean evaluations where none were charged."""
        return self.epochs or self.evaluations

    def to_dict(self, named: Named = Named()) -> dict[str, Any]:
        """JSON data by column; what is not known is None.

        Args:
            named: What the columns of the two figures are called.
        """
        return {
            _column(name, named): None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for name, value in asdict(self).items()
        }


def _column(field: str, named: Named) -> str:
    """`error_low` of distances is `distance_low`, `test_low` is `test_distance_low`."""
    if field.startswith("error"):
        return field.replace("error", named.column, 1)
    if field == "test_error":
        return named.tested
    if field.startswith("test_") and named.tested != "test_error":
        return field.replace("test", named.tested, 1)
    return field


def decided_by(traces: Sequence[Trace]) -> str:
    """What arms are compared by, as a field of `Line`.

    Hypervolume, else the tested figure where it was read, else that of the first objective.
    """
    if traces and len(traces[0].costs) > 1:
        return "hypervolume"
    return "test_error" if all(len(t.tests) for t in traces) else "error"


def account(groups: Mapping[str, Sequence[Trace]], truth: Truth) -> list[Line]:
    """A line for each arm; the first one is what the others are compared with.

    Args:
        groups: Traces by arm, in order; every arm with the same seeds.
        truth: What is known of the problem.
    """
    decider = decided_by([trace for group in groups.values() for trace in group])
    finals = {arm: _finals(group, truth) for arm, group in groups.items()}
    reference, *_ = finals
    curves = {arm: regret_curve(arm, group, truth) for arm, group in groups.items()}
    lines = [
        _line(arm, group, finals, curves, truth, decider, reference)
        for arm, group in groups.items()
    ]
    return [line if _alike(line, lines[0]) else _untested(line) for line in lines]


def cost_note(lines: Sequence[Line]) -> str:
    """That the arms' costs differ, and who is not tested for it; empty if they are alike."""
    costs = [line.cost for line in lines]
    if max(costs) <= ALIKE * min(costs):
        return ""
    untested = ", ".join(line.arm for line in lines if not _alike(line, lines[0]))
    why = f"; {lines[0].arm} is compared by no test with {untested}" if untested else ""
    return (
        f"COSTS DIFFER, from {min(costs):.0f} to {max(costs):.0f}: this is no comparison at equal"
        f" cost{why}; give --budget, or arms with budgets of their own"
    )


def _alike(line: Line, first: Line) -> bool:
    return max(line.cost, first.cost) <= ALIKE * min(line.cost, first.cost)


def _untested(line: Line) -> Line:
    """Without what would be read as a comparison at equal cost."""
    nothing = math.nan
    return replace(
        line, difference=nothing, difference_low=nothing, difference_high=nothing, p=nothing
    )


def regret_curve(arm: str, group: Sequence[Trace], truth: Truth, charge: Charge = "spent") -> Curve:
    """An arm's mean regret over what was spent."""
    return curve(arm, group, lambda trace: regret_of(trace, truth.best), charge)


def _finals(group: Sequence[Trace], truth: Truth) -> dict[str, Floats]:
    """Last values of each search, by name."""
    values = {
        "error": [truth.named.sign * regret_of(trace, 0.0) for trace in group],
        "test_error": [test_error_of(trace) for trace in group],
    }
    if truth.volume > 0:
        values["hypervolume"] = [
            hypervolume_of(trace, truth.reference, truth.volume) for trace in group
        ]
    return {
        name: np.array([v[-1] if len(v) else np.nan for v in rows]) for name, rows in values.items()
    }


def _line(
    arm: str,
    group: Sequence[Trace],
    finals: Mapping[str, Mapping[str, Floats]],
    curves: Mapping[str, Curve],
    truth: Truth,
    decider: str,
    reference: str,
) -> Line:
    mine, theirs = finals[arm], finals[reference]
    nothing = math.nan
    difference = low = high = p = ratio = nothing
    if arm != reference:
        a, b = mine[decider], theirs[decider]
        result = paired(list(a), list(b))
        difference, low, high = result.difference, result.low, result.high
        p = _wilcoxon(a - b)
        goal = float(curves[reference].mean[-1])
        ratio = spent_to_reach(curves[arm], goal) / spent_to_reach(curves[reference], goal)
    return Line(
        arm=arm,
        seeds=len(group),
        epochs=_mean([t.spent[-1] for t in group if t.spent]),
        epochs_anew=_mean([t.anew[-1] for t in group if t.anew]),
        evaluations=_mean([float(len(t.ids)) for t in group]),
        error=_mean(mine["error"]),
        error_low=_interval(mine["error"])[0],
        error_high=_interval(mine["error"])[1],
        regret=truth.named.sign * _mean(mine["error"]) - truth.best,
        test_error=_mean(mine["test_error"]),
        test_low=_interval(mine["test_error"])[0],
        test_high=_interval(mine["test_error"])[1],
        hypervolume=_mean(mine["hypervolume"]) if "hypervolume" in mine else nothing,
        difference=difference,
        difference_low=low,
        difference_high=high,
        p=p,
        ratio=ratio,
    )


def _mean(values: Sequence[float] | Floats) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _interval(values: Floats) -> tuple[float, float]:
    low, high = bootstrap(values[:, None])
    return float(low[0]), float(high[0])


def _wilcoxon(differences: Floats) -> float:
    from scipy.stats import wilcoxon

    if len(differences) < 2 or not np.isfinite(differences).all():
        return math.nan
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences).pvalue)
