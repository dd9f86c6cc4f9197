"""What is known of a run from its events: the state behind the live panel and the plain lines."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.cli import words
from nas.core.architecture import Candidate
from nas.core.front import Front, Point
from nas.core.metrics import shown
from nas.core.objective import parse_objectives
from nas.engine import story
from nas.engine.budget import Budget
from nas.strategies.finale import FOUND

RECENT = 4
"""Decisions and notices that are remembered."""


@dataclass
class Watch:
    """A run as seen from outside; `take` an event, then read.

    Attributes:
        run: The run's folder.
        config: Its configuration.
        phase: Part of the run that is going on.
        expected: Epochs or evaluations that the phase is expected to take, by unit.
        spent: What the phase has spent (`Spent.to_dict`).
        done: Evaluations told, by status.
        now: What is being worked on, in words.
        step: Epoch that the work in progress has reached, None if it has not said.
        scalars: Last figures of the work in progress.
        best: Figures of the best candidate of this phase, and its id.
        mixture: Group of edges to its rows of weights, as last seen.
        alarm: What the collapse alarm says now; empty while there is none.
        decisions: The last decisions, in words.
        notices: The last notices.
        stopping: Whether a signal asked the run to stop.
    """

    run: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    phase: str = ""
    expected: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    now: str = ""
    step: float | None = None
    scalars: dict[str, float] = field(default_factory=dict)
    best: tuple[Mapping[str, float], str] | None = None
    mixture: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    alarm: str = ""
    decided: int = 0
    decisions: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    stopping: bool = False
    began: float = field(default_factory=time.monotonic)
    phase_began: float = field(default_factory=time.monotonic)
    counted: float = field(default_factory=time.monotonic)  # when `spent` was last told
    fresh: float = 0.0  # share of the phase that was done before this process took it up
    front: Front | None = None
    _replaying: bool = False

    def take(self, event: Mapping[str, Any]) -> None:
        """Take note of an event; unknown kinds are ignored."""
        handlers = {
            "start": self._start,
            "phase": self._phase,
            "work": self._work,
            "outcome": self._outcome,
            "call": self._call,
            "budget": self._budget,
            "progress": self._progress,
            "watch": self._watch,
            "decision": self._decision,
            "notice": self._notice,
            "stopping": self._stopping,
        }
        handler = handlers.get(str(event.get("event")))
        if handler is not None:
            handler(event)

    @property
    def share(self) -> float | None:
        """How much of the phase is done, from 0 to 1; None if nobody knows."""
        shares = [
            self.spent.get(unit, 0.0) / total for unit, total in self.expected.items() if total > 0
        ]
        return min(1.0, max(shares)) if shares else None

    @property
    def seconds_left(self) -> float | None:
        """Until the phase ends, if it goes on at the pace it had in this process.

        What runs side by side is told in its order, and long after it is done: the pace is that of
        the last account, from which time is counted down. None once that has run out.
        """
        share = self.share
        if share is None or share - self.fresh <= 0:
            return None
        pace = (self.counted - self.phase_began) / (share - self.fresh)
        left = pace * (1 - share) - (time.monotonic() - self.counted)
        return left if left > 0 else None

    def shown(self, figures: Mapping[str, float]) -> list[str]:
        """Which of some figures a person wants to see, in order."""
        objectives = () if self.front is None else self.front.objectives
        return shown(figures, [objective.metric for objective in objectives])

    @property
    def elapsed(self) -> float:
        """Seconds since the first event."""
        return time.monotonic() - self.began

    def _start(self, event: Mapping[str, Any]) -> None:
        self.run, self.config = str(event["run"]), event["config"]
        self.front = Front(parse_objectives(tuple(self.config.get("objectives", ("error",)))))

    def _phase(self, event: Mapping[str, Any]) -> None:
        self.phase = str(event["phase"])
        self.phase_began = self.counted = time.monotonic()
        self.spent, self.done, self.best, self.fresh = {}, {}, None, 0.0
        self.now, self.step, self.scalars = "", None, {}
        self.expected = dict(event.get("expected") or {})
        text = str(event.get("budget") or "")
        if text and text != "unlimited":
            budget = Budget.parse(text)
            limits = {
                "epochs": budget.epochs,
                "evaluations": budget.evaluations,
                "elapsed": budget.seconds,
            }
            self.expected |= {unit: limit for unit, limit in limits.items() if limit is not None}

    def _work(self, event: Mapping[str, Any]) -> None:
        self.now, self.step = _label(event), None

    def _outcome(self, event: Mapping[str, Any]) -> None:
        self._replaying = bool(event.get("replayed"))
        status = str(event["status"])
        self.done[status] = self.done.get(status, 0) + 1
        own = (event.get("tags") or {}).get("arm", FOUND) == FOUND
        if status == "ok" and self.front is not None and own:
            candidate = Candidate.from_dict(event["candidate"])
            self.front.add(Point(candidate, event["figures"]))
            self._compare(event, self.front)

    def _call(self, event: Mapping[str, Any]) -> None:
        self._replaying = bool(event.get("replayed"))
        self.scalars = {**self.scalars, **event["figures"]}
        value = event.get("value")
        if isinstance(value, Mapping) and isinstance(value.get("mixture"), Mapping):
            self.mixture = value["mixture"]

    def _budget(self, event: Mapping[str, Any]) -> None:
        self.spent = {**event["spent"], "elapsed": float(event.get("seconds") or 0.0)}
        self.counted = time.monotonic()
        if self._replaying:
            self.fresh = self.share or 0.0

    def _compare(self, event: Mapping[str, Any], front: Front) -> None:
        first = front.objectives[0]
        figures = event["figures"]
        if not all(objective.feasible(figures) for objective in front.objectives):
            return
        if self.best is None or first.cost(figures) < first.cost(self.best[0]):
            self.best = (figures, str(event["id"]))

    def _progress(self, event: Mapping[str, Any]) -> None:
        scalars = event.get("scalars")
        if isinstance(scalars, Mapping):
            self.scalars = {k: v for k, v in scalars.items() if isinstance(v, int | float)}
        step = event.get("step")
        if isinstance(step, int | float):
            self.step = float(step)

    def _watch(self, event: Mapping[str, Any]) -> None:
        self.alarm = "; ".join(event.get("reasons") or ())

    def _decision(self, event: Mapping[str, Any]) -> None:
        self.decided += 1
        self.decisions.append(decision(event))

    def _notice(self, event: Mapping[str, Any]) -> None:
        self.notices.append(str(event["text"]))

    def _stopping(self, event: Mapping[str, Any]) -> None:
        self.stopping = True


def decision(event: Mapping[str, Any]) -> str:
    """A decision of a one-shot search and what it was based on, in words."""
    told = story.decision(event, 0)
    verb = "keeps" if told["kind"] == "topology" else "becomes"
    parts = []
    if told["images"]:
        parts.append(words.number(int(told["images"]), "picture"))
    if told["reason"]:
        parts.append(str(told["reason"]))
    basis = f" ({', '.join(parts)})" if parts else ""
    return f"{told['edge']} {verb} {told['operation']}{basis}"


def _label(event: Mapping[str, Any]) -> str:
    if event.get("kind") == "call":
        arguments = event.get("arguments") or {}
        inside = " ".join(str(value) for value in arguments.values() if isinstance(value, str))
        return f"{event.get('session')}: {event.get('method')} {inside}".rstrip()
    tags = event.get("tags") or {}
    arm = f"{tags['arm']} " if "arm" in tags else ""
    budget = event.get("budget")
    length = f" for {words.number(float(budget), 'epoch')}" if budget else ""
    return f"train {arm}{str(event.get('id', ''))[:8]}{length}"
