"""Rows of the store as plain data, and their JSON texts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from nas.core.work import Call, Evaluate, Outcome, Spent, Work, work_from_dict

Status = Literal["ok", "failed"]


@dataclass(frozen=True)
class Checkpoint:
    """A session's state on disk.

    Attributes:
        session: Name of the session.
        state: Key of the last call that is in it.
        file: Name of the file in the run's `checkpoints/`.
        size: Bytes of the file.
        crc: CRC-32 of its content.
    """

    session: str
    state: str
    file: str
    size: int
    crc: int


@dataclass(frozen=True)
class Paid:
    """A finished work as it is stored: what it was, what became of it, what it cost.

    Attributes:
        key: Identity of the work in this run.
        work: The work.
        status: "ok" or "failed".
        figures: Finite numbers by metric.
        value: A call's answer, JSON-able.
        curve: Figure name to values after each epoch.
        error: Why it failed.
        spent: What it cost.
        before: For a call, key of the session's state it was made in.
        changed: For a call, whether it changed that state.
        phase: Part of the run that paid.
        elapsed: Seconds the run had been active when it was stored.
    """

    key: str
    work: Work
    status: Status = "ok"
    figures: Mapping[str, float] = field(default_factory=dict)
    value: Any = None
    curve: Mapping[str, list[float]] = field(default_factory=dict)
    error: str = ""
    spent: Spent = field(default_factory=Spent)
    before: str = ""
    changed: bool = False
    phase: str = ""
    elapsed: float = 0.0

    def outcome(self, work: Work | None = None, *, repeated: bool = False) -> Outcome:
        """What the strategy is sent; a repeated one costs nothing."""
        return Outcome(
            work=work or self.work,
            status=self.status,
            figures=self.figures,
            value=self.value,
            curve=self.curve,
            error=self.error,
            spent=Spent() if repeated else self.spent,
        )


@dataclass(frozen=True)
class Place:
    """One line of the log: what was asked at a place of a phase.

    Attributes:
        phase: Part of the run.
        sequence: Number of the work in the phase, from 0 in the order of asking.
        ordinal: Number of the line in the order of completion.
        key: Key of the work.
    """

    phase: str
    sequence: int
    ordinal: int
    key: str


@dataclass(frozen=True)
class Entry:
    """One entry of a run's history.

    Attributes:
        work: What was asked.
        status: "ok" or "failed".
        figures: Finite numbers by metric.
        value: A call's answer.
        curve: Figure name to values after each epoch.
        error: Why it failed.
        spent: What it cost; nothing where an earlier result was used again.
        phase: Part of the run that asked.
        ordinal: Place in the order of completion.
    """

    work: Work
    status: Status
    figures: Mapping[str, float]
    value: Any
    curve: Mapping[str, list[float]]
    error: str
    spent: Spent
    phase: str
    ordinal: int

    @property
    def ok(self) -> bool:
        """Whether there are figures (or an answer)."""
        return self.status == "ok"

    @property
    def candidate(self) -> Any:
        """The evaluated candidate, None for calls."""
        return self.work.candidate if isinstance(self.work, Evaluate) else None

    @property
    def budget(self) -> float | None:
        """The evaluation's budget."""
        return self.work.budget if isinstance(self.work, Evaluate) else None

    @property
    def tags(self) -> Mapping[str, Any]:
        """The evaluation's labels."""
        return self.work.tags if isinstance(self.work, Evaluate) else {}


def dump(value: Any) -> str:
    """Compact JSON; NaN and infinities are kept, as curves of failed trainings have them."""
    if value is None:  # what most outcomes have most of
        return "null"
    if value == {}:
        return "{}"
    return _ENCODER.encode(value)


def load(text: str) -> Any:
    """What `dump` wrote."""
    if text == "null":
        return None
    return {} if text == "{}" else json.loads(text)


def _scalar(value: Any) -> Any:
    """JSON form of what evaluators return most: NumPy scalars and arrays, tuples, mappings."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_scalar)


def load_work(text: str) -> Work:
    """The work whose `to_dict` was dumped."""
    return work_from_dict(json.loads(text))


def kind_of(work: Work) -> Literal["call", "evaluate"]:
    """The name of a work's kind in the store."""
    return "call" if isinstance(work, Call) else "evaluate"


def not_finite(figures: Mapping[str, float]) -> str:
    """The name of the first figure that is no finite number; empty if all are."""
    for name, value in figures.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            return name
        if not math.isfinite(value):
            return name
    return ""
