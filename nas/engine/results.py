"""What came out of a run: which entries count, the best one, the front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, Final, Literal, TypeAlias

from nas.core.architecture import Candidate
from nas.core.front import Front, Point
from nas.core.objective import Objective
from nas.core.work import Evaluate, Spent
from nas.engine.records import Entry

RunStatus = Literal["done", "stopped", "failed"]
Network: TypeAlias = tuple[str, float | None]

SHARE: Final = "share"
"""Tag of an evaluation: the share of the channels that is removed on the way by then."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        run: The folder, empty for a run in memory.
        status: "done", "stopped" (it can be resumed) or "failed".
        reason: Why it ended, in one line.
        best: The best entry, None if there is none that counts.
        front: The entries of the front, by the first objective.
        hypervolume: Of the front, with the reference point of `front.json`.
        feasible: Whether `best` keeps all limits.
        spent: Everything the run ever paid for, but what is `compared`; `seconds` are those it was
            active.
        compared: What the random searches are charged with that a search on a table is compared
            with: nobody pays for them.
        objectives: As in the configuration.
        failed: Why evaluations failed, one line each, in the order in which they did.
        budget: The search's, as it is now; None for none.
        extra: What stages returned besides candidates, such as a "baseline".
        signal: Number of the signal that stopped the run, 0 for none.
    """

    run: str
    status: RunStatus
    reason: str
    best: Entry | None
    front: tuple[Entry, ...]
    hypervolume: float
    feasible: bool
    spent: Spent
    compared: Spent = field(default_factory=Spent)
    objectives: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    budget: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    signal: int = 0

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 3 nothing feasible, 128 plus the signal if stopped."""
        if self.status == "stopped":
            return 128 + self.signal
        if self.status == "failed":
            return 1
        return 0 if self.feasible else 3

    @property
    def resume_command(self) -> str:
        """What goes on with the run; empty for one in memory."""
        return f"nas resume {self.run}" if self.run else ""

    def to_dict(self) -> dict[str, Any]:
        """The last line of the JSON Lines stream, without its "event"."""
        return {
            "run": self.run,
            "status": self.status,
            "reason": self.reason,
            "best": None if self.best is None else describe(self.best),
            "front": [describe(entry) for entry in self.front],
            "hypervolume": self.hypervolume,
            "objectives": list(self.objectives),
            "budget": self.budget,
            "spent": _told(self.spent),
            "comparison_spent": _told(self.compared) if self.compared != Spent() else None,
            "failed": len(self.failed),
            "first_failure": self.failed[0] if self.failed else None,
            "baseline": None,
            **self.extra,
        }


def _told(spent: Spent) -> dict[str, float]:
    return {
        "epochs": spent.epochs,
        "evaluations": spent.evaluations,
        "seconds": spent.seconds,
    }


def describe(entry: Entry) -> dict[str, Any]:
    """Architecture, recipe, scale and figures of an evaluation, JSON-able."""
    candidate: Candidate = entry.candidate
    return {"id": candidate.id, **candidate.to_dict(), "figures": dict(entry.figures)}


def network_of(entry: Entry) -> Network:
    """Which network an evaluation is of: its candidate, and what share of its channels is gone."""
    return entry.candidate.id, entry.tags.get(SHARE)


def judged(
    history: Iterable[Entry], found: Sequence[Candidate] | None, phases: Sequence[str]
) -> list[Entry]:
    """The evaluations that the result is about, one for each candidate (see `network_of`).

    Only what was evaluated at the largest budget can be compared, but each network that a training
    gives on its way with a share of its channels removed is finished. Several seeds are averaged;
    evaluations on the test split add what those on the validation split do not report.

    Args:
        history: All entries.
        found: What the run returned; None for everything that was evaluated.
        phases: The run's phases in their order; the last one that evaluated anything of what
            was found is what counts.
    """
    done = [entry for entry in history if entry.ok and isinstance(entry.work, Evaluate)]
    entries: list[Entry] = []
    for phase in reversed(phases):
        entries = _about([entry for entry in done if entry.phase == phase], found)
        if entries:
            break
    largest = max((_amount(entry) for entry in entries), default=0.0)
    groups: dict[Network, list[Entry]] = {}
    for entry in entries:
        if _amount(entry) == largest or SHARE in entry.tags:
            groups.setdefault(network_of(entry), []).append(entry)
    return [merged(group) for group in groups.values()]


def _about(entries: list[Entry], found: Sequence[Candidate] | None) -> list[Entry]:
    """Those of what was found; a finale may train it by another recipe or at another scale."""
    if found is None:
        return entries
    wanted = {candidate.id for candidate in found}
    exact = [entry for entry in entries if entry.candidate.id in wanted]
    if exact:
        return exact
    architectures = {candidate.architecture.id for candidate in found}
    return [entry for entry in entries if entry.candidate.architecture.id in architectures]


def _amount(entry: Entry) -> float:
    return math.inf if entry.budget is None else entry.budget


def merged(group: Sequence[Entry]) -> Entry:
    """Evaluations of one candidate as one: the means of its figures over seeds."""
    seen = [e for e in group if isinstance(e.work, Evaluate) and e.work.split == "validation"]
    figures = {**_means(group), **_means(seen)}
    return replace((seen or group)[0], figures=figures)


def _means(entries: Sequence[Entry]) -> dict[str, float]:
    names = {name: None for entry in entries for name in entry.figures}
    means: dict[str, float] = {}
    for name in names:
        values = [entry.figures[name] for entry in entries if name in entry.figures]
        means[name] = values[0] if len(set(values)) == 1 else fmean(values)
    return means


def rank(entry: Entry, objectives: Sequence[Objective]) -> tuple[Any, ...]:
    """Sorts entries from best to worst: feasible ones, then those nearest to the limits.

    Within each by the objectives in their order.
    """
    beyond = sum(objective.violation(entry.figures) for objective in objectives)
    costs = [objective.cost(entry.figures) for objective in objectives]
    return (beyond, *costs, entry.candidate.id)


def keeps_limits(entry: Entry, objectives: Sequence[Objective]) -> bool:
    """Whether the entry has every objective's figure, within its limit."""
    return all(objective.feasible(entry.figures) for objective in objectives)


def front_of(
    entries: Iterable[Entry], objectives: Sequence[Objective]
) -> tuple[Front, list[Entry]]:
    """The front of `entries`, as the core's and as entries in the same order."""
    networks = {network_of(entry): entry for entry in entries}
    front = Front(objectives, (Point(e.candidate, e.figures, e.tags) for e in networks.values()))
    return front, [networks[p.candidate.id, p.tags.get(SHARE)] for p in front.points]


def compared(history: Sequence[Entry]) -> list[Entry]:
    """The evaluations of the final phase, seeds averaged; those of the search if there is none."""
    evaluations = [e for e in history if e.ok and isinstance(e.work, Evaluate)]
    final = [e for e in evaluations if e.tags.get("stage") == "final"]
    groups: dict[tuple[Network, str], list[Entry]] = {}
    for entry in final or evaluations:
        groups.setdefault((network_of(entry), str(entry.tags.get("arm"))), []).append(entry)
    return [merged(group) for group in groups.values()]
