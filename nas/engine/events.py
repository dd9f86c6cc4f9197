"""What the engine tells while it works.

Events are plain immutable data. `to_dict` gives the form of the JSON Lines stream and of the
monitors: a flat mapping whose "event" is the name. A listener that raises is told of once and
never again called; it cannot harm the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeAlias

from nas.core.canonical import plain
from nas.core.work import Evaluate, Outcome, Work


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened.

    Attributes:
        name: What, as in the stream.
        at: When, in seconds since the epoch.
    """

    name: ClassVar[str] = "event"
    at: float = field(default_factory=time.time)

    def to_dict(self) -> dict[str, Any]:
        """A flat mapping, JSON-able."""
        body = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "at"}
        return {"event": self.name, "time": self.at, **body}


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins, or goes on (`resumed`)."""

    name: ClassVar[str] = "start"
    run: str
    resumed: bool
    evaluations: int
    config: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """A part of the run begins; `expected` is what it will spend by itself, by unit."""

    name: ClassVar[str] = "phase"
    phase: str
    budget: str
    expected: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PhaseFinished(Event):
    """A part of the run ended: its generator "finished", or the "budget" or "time" closed it."""

    name: ClassVar[str] = "phase_end"
    phase: str
    reason: str
    spent: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class WorkStarted(Event):
    """A worker got a work; `id` is the candidate's or the call's."""

    name: ClassVar[str] = "work"
    phase: str
    work: Work

    def to_dict(self) -> dict[str, Any]:
        """A flat mapping, JSON-able."""
        return {"event": self.name, "time": self.at, "phase": self.phase, **_work(self.work)}


@dataclass(frozen=True, kw_only=True)
class WorkDone(Event):
    """An outcome, durable by now.

    Attributes:
        phase: Part of the run.
        ordinal: Place in the order of completion.
        outcome: The outcome.
        replayed: It was there before this process started.
        repeated: It answers a work equal to an earlier one, at no cost.
    """

    name: ClassVar[str] = "outcome"
    phase: str
    ordinal: int
    outcome: Outcome
    replayed: bool = False
    repeated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """A flat mapping, JSON-able; the event of a call's outcome is "call"."""
        outcome = self.outcome
        return {
            "event": self.name if isinstance(outcome.work, Evaluate) else "call",
            "time": self.at,
            "phase": self.phase,
            "ordinal": self.ordinal,
            **_work(outcome.work),
            "status": outcome.status,
            "figures": dict(outcome.figures),
            "value": outcome.value,
            "curve": dict(outcome.curve),
            "error": outcome.error,
            "cost": outcome.spent.to_dict(),
            "replayed": self.replayed,
            "repeated": self.repeated,
        }


@dataclass(frozen=True, kw_only=True)
class Announced(Event):
    """Something the strategy wants shown, such as a decision with the figures behind it."""

    name: ClassVar[str] = "announced"
    phase: str
    topic: str
    payload: Mapping[str, Any]
    replayed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """A flat mapping whose "event" is the topic."""
        return {
            **self.payload,
            "event": self.topic,
            "time": self.at,
            "phase": self.phase,
            "replayed": self.replayed,
        }


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """What a worker says of a work in progress: never stored, may be lost."""

    name: ClassVar[str] = "progress"
    topic: str
    payload: Mapping[str, Any]
    work: Work

    def to_dict(self) -> dict[str, Any]:
        """A flat mapping whose "event" is the worker's topic."""
        about: dict[str, Any] = {"work": self.work.key}
        if isinstance(self.work, Evaluate):
            about["candidate"] = self.work.candidate.id
        return {**about, **self.payload, "event": self.topic, "time": self.at}


@dataclass(frozen=True, kw_only=True)
class BudgetChanged(Event):
    """The countable part of the budget that is left, after something was told."""

    name: ClassVar[str] = "budget"
    phase: str
    spent: Mapping[str, float]
    left: Mapping[str, float]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something a person should know: a divergence, a worker restarted, a lock taken over."""

    name: ClassVar[str] = "notice"
    text: str


@dataclass(frozen=True, kw_only=True)
class Stopping(Event):
    """A signal came; running work gets `grace` seconds."""

    name: ClassVar[str] = "stopping"
    signal: int
    grace: float


@dataclass(frozen=True, kw_only=True)
class Ended(Event):
    """The run comes to rest as "done", "stopped" or "failed"."""

    name: ClassVar[str] = "stop"
    status: str
    reason: str
    spent: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The run is over for now; `result` is the last line of the JSON Lines stream."""

    name: ClassVar[str] = "result"
    result: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The result, with "event" first."""
        return {"event": self.name, **self.result}


Listener: TypeAlias = Callable[[Event], None]


class Bus:
    """Passes events on to listeners.

    Args:
        listeners: Called in their order, in the engine's thread; they should return soon.
    """

    def __init__(self, listeners: tuple[Listener, ...] = ()) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Listener) -> None:
        """Pass events to one more listener."""
        self._listeners.append(listener)

    @property
    def silent(self) -> bool:
        """Whether nobody listens."""
        return not self._listeners

    def __call__(self, event: Event) -> None:
        """Pass `event` on."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:  # a monitor's mistake is no reason to lose a search
                self._listeners.remove(listener)
                name = getattr(listener, "__qualname__", type(listener).__qualname__)
                text = f"monitor {name} failed and is off: {type(error).__name__}: {error}"
                self(Notice(text=" ".join(text.split())))


def as_mappings(handle: Callable[[Mapping[str, Any]], None], *, replayed: bool = False) -> Listener:
    """A listener that passes events on as the flat mappings of the stream.

    Args:
        handle: Told of each, such as a monitor's `handle`.
        replayed: Whether to pass on what an earlier process of the run was told already.
    """

    def listen(event: Event) -> None:
        if replayed or not getattr(event, "replayed", False):
            handle(event.to_dict())

    return listen


def _work(work: Work) -> dict[str, Any]:
    if isinstance(work, Evaluate):
        return {
            "kind": "evaluate",
            "id": work.candidate.id,
            "candidate": work.candidate.to_dict(),
            "budget": work.budget,
            "seed": work.seed,
            "split": work.split,
            "tags": plain(work.tags),
        }
    return {"id": work.key, **work.to_dict()}
