"""Turns works into outcomes: answers known ones from the store, has the others done.

Every outcome is stored before anybody is told. A work's key says what must give the same
figures: for an evaluation the candidate, budget, seed, split and evaluator; for a call the
state of its session, which is the key of the last call that changed it, and what is asked.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nas.core.canonical import content_id
from nas.core.work import Call, Evaluate, Outcome, Spent, Work
from nas.engine.budget import Promise
from nas.engine.errors import Stopped, TimeUp, fatal
from nas.engine.events import Bus, Notice, Progress, WorkDone, WorkStarted
from nas.engine.executors.base import Executor, Job, Message, Report, Said, Warned
from nas.engine.failures import FailureWatch
from nas.engine.records import Paid
from nas.engine.seeds import derive
from nas.engine.signals import Stop
from nas.engine.store import Store

PAUSE: Final = 0.25
"""Seconds between looks at the stop flag while workers are busy."""

HARD: Final = 10.0
"""Seconds that interrupted work gets to raise `Interrupted` before its worker is killed."""


@dataclass(eq=False)
class Ticket:
    """A work that was asked for.

    Attributes:
        phase: Part of the run that asks.
        sequence: Its number in the phase.
        work: The work.
        told: Called once the outcome is there and stored.
        promise: What the meter counts for it until then.
        key: Identity in the run; empty until it can be known.
        paid: What is stored of it, None while it is open.
        ordinal: Place in the order of completion.
        repeated: An earlier equal work of this run paid for it.
    """

    phase: str
    sequence: int
    work: Work
    told: Callable[[Ticket], None]
    promise: Promise = field(default_factory=Promise)
    key: str = ""
    paid: Paid | None = None
    ordinal: int = -1
    repeated: bool = False

    def outcome(self) -> Outcome:
        """What the strategy is sent."""
        if self.paid is None:
            raise RuntimeError("the work is still open")
        return self.paid.outcome(self.work, repeated=self.repeated)


class Clock:
    """How long the run has been active, over all its processes.

    Args:
        before: Seconds of earlier processes.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._start = time.monotonic() - before

    def __call__(self) -> float:
        """Seconds."""
        return time.monotonic() - self._start


class Crew:
    """Has works done by an executor, remembers what was done.

    Args:
        store: Where outcomes are.
        executor: Started already.
        bus: Told of everything.
        stop: Asked before anything is started.
        seed: The run's seed.
        evaluator: Name of the evaluator, a part of evaluations' identity.
        clock: Age of the run.
        checkpoints: Folder of the sessions' files, None if there is none.
        watch: Told of failed evaluations.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        bus: Bus,
        stop: Stop,
        *,
        seed: int = 0,
        evaluator: str = "",
        clock: Clock | None = None,
        checkpoints: Path | None = None,
        watch: FailureWatch | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.deadline: float | None = None
        self._store = store
        self._executor = executor
        self._bus = bus
        self._stop = stop
        self._seed = seed
        self._evaluator = evaluator
        self._folder = checkpoints
        self._watch = watch or FailureWatch()
        self._number = 0
        self._seen: set[str] = set()
        self._old = store.position()  # outcomes up to here come from earlier processes
        self._states: dict[str, str] = {}
        self._queues: dict[str, deque[Ticket]] = {}
        self._to_do: deque[Ticket] = deque()
        self._open: dict[str, list[Ticket]] = {}  # by key; all but the first are repeats
        self._jobs: dict[int, Job] = {}
        self._diverged: set[str] = set()

    # -- asking --------------------------------------------------------------------------

    def ask(self, ticket: Ticket) -> None:
        """Answer `ticket` from the store, or queue it."""
        work = ticket.work
        if isinstance(work, Evaluate):
            self._place(ticket, f"{work.key}@{self._evaluator}")
            return
        queue = self._queues.setdefault(work.session, deque())
        queue.append(ticket)
        if len(queue) == 1:
            self._advance(work.session)

    def _advance(self, session: str) -> None:
        """Answer the calls at the head of a session's queue as far as they are known."""
        queue = self._queues[session]
        while queue:
            head = queue[0]
            self._place(head, call_key(self._state(session), head.work))
            if head.paid is None:
                return
            queue.popleft()

    def _state(self, session: str) -> str:
        return self._states.get(session, start_key(session))

    def _place(self, ticket: Ticket, key: str) -> None:
        ticket.key = key
        if key in self._open:
            self._open[key].append(ticket)
            return
        place = self._store.place(ticket.phase, ticket.sequence) if self._old else None
        if place is not None and place.key != key:
            self._diverge(ticket)
            place = None
        repeated = key in self._seen
        paid = self._store.find(key) if repeated or self._old else None
        if paid is None:
            self._open[key] = [ticket]
            self._to_do.append(ticket)
            return
        if place is None:
            place = self._store.record(ticket.phase, ticket.sequence, ticket.work, paid, new=False)
        self._finish(ticket, paid, place.ordinal, replayed=True, repeated=repeated)

    def _diverge(self, ticket: Ticket) -> None:
        self._store.diverge(ticket.phase, ticket.sequence)
        if ticket.phase not in self._diverged:
            self._diverged.add(ticket.phase)
            self._bus(
                Notice(
                    text=f"the {ticket.phase} asks for something else than last time from work"
                    f" {ticket.sequence} on (another machine or library version?); it goes on, and"
                    " earlier outcomes are used wherever they fit"
                )
            )

    def _finish(
        self, ticket: Ticket, paid: Paid, ordinal: int, *, replayed: bool, repeated: bool
    ) -> None:
        ticket.paid, ticket.ordinal, ticket.repeated = paid, ordinal, repeated
        self._seen.add(ticket.key)
        if isinstance(ticket.work, Call) and paid.changed:
            self._states[ticket.work.session] = ticket.key
        if not self._bus.silent:
            self._bus(
                WorkDone(
                    phase=ticket.phase,
                    ordinal=ordinal,
                    outcome=ticket.outcome(),
                    replayed=replayed,
                    repeated=repeated,
                )
            )
        ticket.told(ticket)
        if isinstance(ticket.work, Evaluate) and not repeated:
            self._watch.saw(paid.error if paid.status == "failed" else "")

    # -- doing ---------------------------------------------------------------------------

    def work_until(self, done: Callable[[], bool]) -> None:
        """Have queued works done until `done()`.

        Raises:
            Stopped: The run was asked to stop; running works had their grace.
            TimeUp: The deadline is over and nothing runs any more.
            NasError: A worker's report ends the run.
        """
        while not done():
            if self._stop.requested:
                self._come_to_rest()
                raise Stopped
            late = self.deadline is not None and self.clock() >= self.deadline
            if not late:
                self._dispatch()
            if not self._jobs:
                if late:
                    raise TimeUp
                raise RuntimeError("nothing runs and nothing can be started")
            for message in self._executor.wait(PAUSE):
                self._hear(message)

    def _dispatch(self) -> None:
        """Hand out queued works in their order, past calls whose worker is busy."""
        passed: list[Ticket] = []
        while self._to_do:
            ticket = self._to_do.popleft()
            if self._executor.accepts(ticket.work):
                self._submit(self._job(ticket))
                if not self._bus.silent:
                    self._bus(WorkStarted(phase=ticket.phase, work=ticket.work))
                continue
            passed.append(ticket)
            if isinstance(ticket.work, Evaluate):  # then nobody is idle at all
                break
        self._to_do.extendleft(reversed(passed))

    def _job(self, ticket: Ticket) -> Job:
        self._number += 1
        work = ticket.work
        if isinstance(work, Evaluate):
            seed = work.seed
            if seed is None:
                seed = derive(self._seed, "evaluate", work.candidate.id)
            return Job(self._number, ticket.key, work, seed)
        return Job(
            self._number,
            ticket.key,
            work,
            derive(self._seed, ticket.key),
            before=self._state(work.session),
            start=start_key(work.session),
            checkpoint=self._store.checkpoint(work.session),
        )

    def _submit(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._executor.submit(job)

    def _hear(self, message: Message) -> None:
        if isinstance(message, Warned):
            self._bus(Notice(text=message.text))
        elif isinstance(message, Said):
            job = self._jobs.get(message.job)
            if job is not None and not self._bus.silent:
                self._bus(Progress(topic=message.topic, payload=message.payload, work=job.work))
        else:
            self._report(message)

    def _report(self, report: Report) -> None:
        job = self._jobs.pop(report.job)
        if report.status == "fatal":
            raise fatal(report.kind, report.error, report.hint, report.detail)
        if report.status == "stateless":
            self._restart(job, report.error)
            return
        tickets = self._open.pop(job.key)
        if report.status == "interrupted":
            if self._stop.requested:
                return
            text = "the evaluator stopped by itself"
            report = Report(job.id, "failed", error=text, spent=report.spent)
        paid = self._paid(tickets[0], job, report)
        self._keep(tickets, paid, report)
        if isinstance(job.work, Call):
            self._queues[job.work.session].popleft()
            self._advance(job.work.session)

    def _paid(self, ticket: Ticket, job: Job, report: Report) -> Paid:
        return Paid(
            key=job.key,
            work=ticket.work,
            status="ok" if report.status == "ok" else "failed",
            figures=report.figures,
            value=report.value,
            curve=report.curve,
            error=report.error,
            spent=Spent(
                float(report.spent.get("epochs", 0.0)),
                int(report.spent.get("evaluations", 0)),
                float(report.spent.get("seconds", 0.0)),
                float(report.spent.get("macs", 0.0)),
            ),
            before=job.before,
            changed=report.changed,
            phase=ticket.phase,
            elapsed=self.clock(),
        )

    def _keep(self, tickets: list[Ticket], paid: Paid, report: Report) -> None:
        """Store an outcome, then tell everybody who waits for it."""
        checkpoint = report.checkpoint
        before = None if checkpoint is None else self._store.checkpoint(checkpoint.session)
        first, *rest = tickets
        place = self._store.record(
            first.phase, first.sequence, first.work, paid, checkpoint=checkpoint
        )
        if before is not None and self._folder is not None:
            (self._folder / before.file).unlink(missing_ok=True)
        self._finish(first, paid, place.ordinal, replayed=False, repeated=False)
        for ticket in rest:
            place = self._store.record(ticket.phase, ticket.sequence, ticket.work, paid, new=False)
            self._finish(ticket, paid, place.ordinal, replayed=False, repeated=True)

    def _restart(self, job: Job, reason: str) -> None:
        """Bring a session without a usable checkpoint back by making all its calls again."""
        chain = self._store.calls_up_to(job.before, job.start)
        work = job.work
        name = work.session if isinstance(work, Call) else ""
        self._bus(
            Notice(
                text=f"session {name!r}: {reason}; its {len(chain)} calls are made again, at no"
                " cost to the budget"
            )
        )
        calls = [(call, derive(self._seed, key)) for key, call in chain]
        self._submit(Job(**{**job.__dict__, "calls": calls}))

    # -- ending --------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        """Wait for running works: until the grace is over, then a little longer."""
        self._to_do.clear()
        halted_at: float | None = None
        while self._jobs:
            if halted_at is None and self._stop.overdue:
                halted_at = time.monotonic()
                self._executor.halt()
            if halted_at is not None and time.monotonic() - halted_at > HARD:
                return
            for message in self._executor.wait(PAUSE):
                self._hear(message)
            self._to_do.clear()

    def drain(self) -> None:
        """Finish what runs and forget what is queued, at the end of a phase."""
        self._drop()
        while self._jobs:
            if self._stop.requested:
                self._come_to_rest()
                raise Stopped
            for message in self._executor.wait(PAUSE):
                self._hear(message)
            self._drop()

    def _drop(self) -> None:
        for ticket in self._to_do:
            self._open.pop(ticket.key, None)
        self._to_do.clear()
        if not self._jobs:
            self._queues.clear()


def start_key(session: str) -> str:
    """Key of a session's state before any call."""
    return f"start:{session}"


def call_key(state: str, work: Work) -> str:
    """Key of a call made in `state`: the new state's, if the call changes anything."""
    return f"state:{content_id([state, work.key])}"
