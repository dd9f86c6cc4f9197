"""What is known of a whole problem: from its table, or else from all that anybody found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolution.quality import hypervolume, reference_point
from nas.bench.account import Named, Truth
from nas.bench.curves import Floats
from nas.bench.trace import Trace
from nas.core.config import RunConfig
from nas.core.objective import parse_objectives
from nas.evaluators import account_of, looking_up


def truth_of(config: RunConfig, traces: Sequence[Trace]) -> Truth:
    """The best there is, and for several objectives the hypervolume of everything.

    Args:
        config: Of any arm; all have the same problem.
        traces: Everything that was found; used where there is no table.
    """
    objectives = parse_objectives(config.objectives)
    first = objectives[0]
    named = Named(first.metric, account_of(config.evaluator).tested, first.direction)
    table = looking_up(config.evaluator)
    if table is None:
        rows = _found(traces)
    else:
        view = table.view(config)
        columns = [view.values(objective.metric) for objective in objectives]
        known = [column for column in columns if column is not None]
        figures = [
            dict(zip((o.metric for o in objectives), row, strict=True))
            for row in zip(*known, strict=True)
        ]
        kept = [f for f in figures if all(o.feasible(f) for o in objectives)]
        rows = np.array([[o.cost(f) for o in objectives] for f in kept])
    if not len(rows):
        return Truth(float("nan"), exact=False, named=named)
    best = float(rows[:, 0].min())
    if len(objectives) == 1:
        return Truth(best, exact=table is not None, named=named)
    corner = reference_point(rows)
    whole = hypervolume(rows, corner)
    reference = tuple(float(c) for c in corner)
    return Truth(best, table is not None, reference, whole, named)


def _found(traces: Sequence[Trace]) -> Floats:
    """Costs `(n, objectives)` of everything evaluated at the largest budget of all."""
    largest = max((budget for trace in traces for budget in trace.budgets), default=0.0)
    rows = [
        row
        for trace in traces
        for budget, row in zip(trace.budgets, zip(*trace.costs, strict=True), strict=True)
        if budget == largest and all(cost is not None for cost in row)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)
