"""Drives a strategy's generator.

The generator is run from its start every time; what earlier processes paid for is answered
from the store, so a run that goes on and a run that begins are the same loop.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from nas.core.architecture import Candidate
from nas.core.problem import Problem
from nas.core.work import Call, Evaluate, Next, Outcome, Request, Spent, Start, Work
from nas.engine.budget import Budget, Meter
from nas.engine.crew import Crew, Ticket
from nas.engine.errors import StrategyError, TimeUp
from nas.engine.events import Announced, BudgetChanged, Bus, PhaseFinished, PhaseStarted
from nas.engine.seeds import derive
from nas.engine.store import Store

Answer: TypeAlias = "list[Outcome] | Outcome | None"
Conversation: TypeAlias = "Generator[Request, Any, Any]"
Reason = Literal["finished", "budget", "time", "exhausted"]

IDLE: Final = 1000
"""A generator that asks so many times in a row without anything new coming of it is closed."""


@dataclass(frozen=True)
class PhaseResult:
    """How a phase ended.

    Attributes:
        phase: Its name.
        reason: "finished" by itself, or closed because of "budget", "time", or because it was
            "exhausted": it asked only for what it had been told already.
        found: The candidates it returned; None if it named none.
        extra: Whatever else it returned, JSON-able.
        spent: What its outcomes cost.
        outcomes: Its evaluations, in the order in which it was told.
    """

    phase: str
    reason: Reason
    found: tuple[Candidate, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A phase to be run.

    Attributes:
        name: Unique in the run; part of the log, so it must not change between versions.
        begin: Makes the generator from the problem, a generator of chance and the results of
            the stages before, by name.
        budget: What this stage may spend; a function of the results of the stages before, by name,
            where it depends on them.
        aside: Whether the run's result is about other stages than this one.
        expected: What it is expected to spend by itself, by unit, for progress; may be empty.
    """

    name: str
    begin: Callable[[Problem, np.random.Generator, Mapping[str, PhaseResult]], Conversation]
    budget: Budget | Callable[[Mapping[str, PhaseResult]], Budget] = field(default_factory=Budget)
    expected: Mapping[str, float] = field(default_factory=dict)
    aside: bool = False

    def limits(self, before: Mapping[str, PhaseResult]) -> Budget:
        """The budget, given the results of the stages before."""
        return self.budget if isinstance(self.budget, Budget) else self.budget(before)


class Phase:
    """One stage being run.

    Args:
        stage: The stage.
        crew: Has the works done.
        store: For remembered values, announcements, and where a clock closed the stage.
        bus: Told of what happens.
    """

    def __init__(self, stage: Stage, crew: Crew, store: Store, bus: Bus) -> None:
        self._stage = stage
        self._name = stage.name
        self._crew = crew
        self._store = store
        self._bus = bus
        self._meter = Meter(Budget())
        self._count = 0  # works asked for
        self._yields = 0
        self._announced = 0
        self._idle = 0
        self._closing = False
        self._started = 0  # works begun with Start whose outcomes were not yet given
        self._ready: list[tuple[int, int, Ticket]] = []
        self._outcomes: list[Outcome] = []

    def run(self, problem: Problem, seed: int, before: Mapping[str, PhaseResult]) -> PhaseResult:
        """Drive the generator to its end.

        Args:
            problem: The run's; its `remember` and `announce` are bound to this phase.
            seed: The run's seed.
            before: Results of earlier stages.

        Raises:
            Stopped: The run was asked to stop.
            StrategyError: The generator yielded something that is no request.
            NasError: The run failed. Whatever the generator itself raises is passed on.
        """
        budget = self._stage.limits(before)
        self._meter = Meter(budget)
        self._crew.deadline = budget.seconds
        self._bus(
            PhaseStarted(phase=self._name, budget=str(budget), expected=dict(self._stage.expected))
        )
        rng = np.random.default_rng(derive(seed, "phase", self._name))
        bound = replace(problem, remember=self._remember, announce=self._announce)
        generator = self._stage.begin(bound, rng, before)
        try:
            reason, value = self._drive(generator)
        finally:
            generator.close()
        self._crew.drain()
        self._store.cut(self._name, self._count)
        found, extra = _returned(value)
        spent = self._meter.spent
        self._bus(PhaseFinished(phase=self._name, reason=reason, spent=spent.to_dict()))
        return PhaseResult(self._name, reason, found, extra, spent, tuple(self._outcomes))

    def _drive(self, generator: Conversation) -> tuple[Reason, Any]:
        closed_at = self._store.read(f"closed:{self._name}")
        answer: Answer = None
        while True:
            try:
                request = generator.send(answer)
            except StopIteration as end:
                return "finished", end.value
            self._yields += 1
            if closed_at is not None and self._yields >= closed_at:
                return "time", close(generator)
            before = self._meter.spent
            try:
                reason, answer = self._answer(request)
            except TimeUp:
                self._store.write(f"closed:{self._name}", self._yields)
                return "time", close(generator)
            if reason is not None:
                return reason, close(generator)
            if self._meter.spent == before:
                self._idle += 1
                if self._idle >= IDLE:
                    return "exhausted", close(generator)
            else:
                self._idle = 0
                self._tell_budget()

    def _answer(self, request: Any) -> tuple[Reason | None, Answer]:
        if isinstance(request, Next):
            return self._next()
        if isinstance(request, Start):
            self._start(_works(request.works))
            return None, None
        return self._batch(_works(request))

    def _batch(self, works: Sequence[Work]) -> tuple[Reason | None, Answer]:
        if self._closing or (works and self._meter.reached()):
            return "budget", None
        tickets: list[Ticket] = []
        for work in works:
            if not self._meter.admits():
                self._closing = True
                break
            tickets.append(self._ask(work, _nobody))
        done = 0

        def all_done() -> bool:
            nonlocal done
            while done < len(tickets) and tickets[done].paid is not None:
                done += 1
            return done == len(tickets)

        self._crew.work_until(all_done)
        answer = [self._told(ticket) for ticket in tickets]
        return ("budget", None) if self._closing else (None, answer)

    def _start(self, works: Sequence[Work]) -> None:
        for work in works:
            if self._closing or not self._meter.admits():
                self._closing = True
                return
            self._started += 1
            self._ask(work, self._arrived)

    def _next(self) -> tuple[Reason | None, Answer]:
        if not self._started:
            if self._closing or self._meter.reached():
                return "budget", None
            raise StrategyError("the strategy yields Next() though it has started nothing")
        self._crew.work_until(lambda: bool(self._ready))
        self._started -= 1
        return None, self._told(heapq.heappop(self._ready)[-1])

    def _arrived(self, ticket: Ticket) -> None:
        # Replayed outcomes keep their first order; whatever is new comes after all of them.
        heapq.heappush(self._ready, (ticket.ordinal, ticket.sequence, ticket))

    def _ask(self, work: Work, told: Callable[[Ticket], None]) -> Ticket:
        ticket = Ticket(self._name, self._count, work, told, self._meter.promise(work))
        self._count += 1
        self._crew.ask(ticket)
        return ticket

    def _told(self, ticket: Ticket) -> Outcome:
        outcome = ticket.outcome()
        self._meter.settle(ticket.promise, outcome.spent)
        if isinstance(outcome.work, Evaluate):
            self._outcomes.append(outcome)
        return outcome

    def _tell_budget(self) -> None:
        if self._bus.silent:
            return
        self._bus(
            BudgetChanged(
                phase=self._name,
                spent=self._meter.spent.to_dict(),
                left=self._meter.left(),
                seconds=self._crew.clock(),
            )
        )

    def _remember(self, name: str, function: Callable[[], Any]) -> Any:
        there, value = self._store.remembered(self._name, name)
        if there:
            return value
        return self._store.remember(self._name, name, function(), self._count)

    def _announce(self, topic: str, payload: Mapping[str, Any]) -> None:
        new = self._store.announce(self._name, self._announced, topic, payload)
        self._announced += 1
        self._bus(Announced(phase=self._name, topic=topic, payload=dict(payload), replayed=not new))


def _nobody(ticket: Ticket) -> None:
    pass


def _works(request: Any) -> Sequence[Work]:
    if isinstance(request, Sequence) and all(isinstance(w, Evaluate | Call) for w in request):
        return request
    got = type(request).__name__
    if isinstance(request, Evaluate | Call):
        raise StrategyError(f"the strategy yields a bare {got}", f"yield [{got}(...)]")
    raise StrategyError(
        f"the strategy yields {got}", "expected a list of Evaluate and Call, Start or Next"
    )


def close(generator: Conversation) -> Any:
    """Tell a generator that it is over; unlike `close`, this gives what it returns then."""
    try:
        generator.throw(GeneratorExit())
    except StopIteration as end:
        return end.value
    except GeneratorExit:
        return None
    raise StrategyError(
        "the strategy asks for more after it was closed", "do not yield on GeneratorExit"
    )


def _returned(value: Any) -> tuple[tuple[Candidate, ...] | None, Mapping[str, Any]]:
    """A phase returns None, candidates, or a mapping whose "found" holds candidates."""
    extra: Mapping[str, Any] = {}
    if isinstance(value, Mapping):
        extra = {key: item for key, item in value.items() if key != "found"}
        value = value.get("found")
    if value is None:
        return None, extra
    if isinstance(value, Sequence) and all(isinstance(item, Candidate) for item in value):
        return tuple(value), extra
    raise StrategyError(
        f"the strategy returned {type(value).__name__}",
        'expected None, a list of candidates, or {"found": candidates, ...}',
    )
