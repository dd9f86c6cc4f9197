"""What is kept of a search: every evaluation's cost and figures, and what its incumbents scored."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from nas.core.errors import StoreError
from nas.core.files import replacing
from nas.core.objective import Objective
from nas.core.work import Evaluate
from nas.engine.records import Entry

FORMAT = 2

TRACES: Final = "traces"
SEARCHES: Final = "searches"
"""Folders of a comparison: traces, and the runs of searches that really train."""


@dataclass(frozen=True)
class Trace:
    """A search, evaluation by evaluation, in the order of completion.

    Attributes:
        arm: Name of the arm.
        key: Hash of the arm's configuration.
        seed: Seed of the search.
        budgets: Epochs of each evaluation; 0 for none.
        spent: Epochs paid up to and with it, as charged.
        anew: The same, had every training started from nothing.
        ids: Candidates.
        costs: For each objective, one cost per evaluation, less is better; None for none.
        tests: Tested figure (`test_error`) by `reading`, of those that were ever best.
        seconds: Wall-clock time of the search.
    """

    arm: str
    key: str
    seed: int
    budgets: list[float]
    spent: list[float]
    anew: list[float]
    ids: list[str]
    costs: list[list[float | None]]
    tests: dict[str, float]
    seconds: float

    def incumbents(self) -> list[int | None]:
        """For each evaluation, the number of the one that is best after it.

        The best is that of least first cost among those at the largest budget so far: what the
        engine would give as its result there.
        """
        best: int | None = None
        held = (math.inf, math.inf)
        result: list[int | None] = []
        for number, (budget, cost) in enumerate(zip(self.budgets, self.costs[0], strict=True)):
            if cost is not None and standing(budget, cost) < held:
                best, held = number, standing(budget, cost)
            result.append(best)
        return result


def reading(candidate: str, budget: float) -> str:
    """Under which a tested figure is kept: after other epochs a candidate has another one."""
    return f"{candidate}@{float(budget)}"


def standing(budget: float, cost: float) -> tuple[float, float]:
    """Less is better: whatever had the larger budget, then what costs less."""
    return -budget, cost


def trace_of(
    arm: str,
    key: str,
    seed: int,
    history: Sequence[Entry],
    objectives: Sequence[Objective],
    search: str,
    tested: str = "test_error",
) -> Trace:
    """The trace of a run's history.

    Args:
        arm: Name of the arm.
        key: Hash of its configuration.
        seed: The run's seed.
        history: All of it.
        objectives: The run's.
        search: Name of the phase that is the search; all others only tell test figures.
        tested: Name of the test figure.
    """
    entries: list[Entry] = []
    spent: list[float] = []
    anew: list[float] = []
    paid = full = seconds = 0.0
    for entry in history:
        if entry.phase != search:
            continue
        paid, seconds = paid + entry.spent.epochs, seconds + entry.spent.seconds
        if isinstance(entry.work, Evaluate):
            full += entry.budget or entry.spent.epochs
            entries.append(entry)
            spent.append(paid)
            anew.append(full)
    budgets = [e.budget or 0.0 for e in entries]
    costs = [
        [
            o.cost(e.figures) if e.ok and all(x.feasible(e.figures) for x in objectives) else None
            for e in entries
        ]
        for o in objectives
    ]
    tests = {
        reading(e.candidate.id, e.budget or 0.0): e.figures[tested]
        for e in history
        if tested in e.figures
    }
    ids = [e.candidate.id for e in entries]
    return Trace(arm, key, seed, budgets, spent, anew, ids, costs, tests, seconds)


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace, as a whole or not at all.

    Raises:
        StoreError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **asdict(trace)}, separators=(",", ":"))
        with replacing(path) as new:
            new.write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}", "is the disk full?"
        ) from None


def read_trace(path: Path) -> Trace | None:
    """The trace in a file; None if there is none, or not a whole one of this format."""
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return Trace(**data) if data.pop("format") == FORMAT else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
