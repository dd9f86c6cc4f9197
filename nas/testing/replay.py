"""Kill a search at any event, go on with it, and compare with the undisturbed one.

This is the promise the engine makes for every strategy that keeps the rules (all chance from
`rng`, no clock, no global state). A strategy that breaks them fails here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.core.problem import Problem
from nas.core.work import Call, Evaluate
from nas.engine.budget import Budget
from nas.engine.crew import Crew
from nas.engine.events import Bus, Listener
from nas.engine.executors.base import Executor, Job, Message, Setup
from nas.engine.executors.serial import SerialExecutor
from nas.engine.loop import Phase, PhaseResult, Stage
from nas.engine.signals import Stop
from nas.engine.store import Store
from nas.strategies.base import Strategy


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it and go on."""


class Fault:
    """Raises `Killed` at one event.

    Args:
        at: Number of the event, from 1; 0 for never.
    """

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.count = 0

    def tick(self) -> None:
        """An event happens."""
        self.count += 1
        if self.count == self.at:
            raise Killed


class FaultyStore(Store):
    """A store that may be killed before and after each of its transactions.

    Args:
        path: The file.
        fault: When.
        create: Make a new one.
    """

    def __init__(self, path: Path | str, fault: Fault, *, create: bool = False) -> None:
        self._fault = fault
        super().__init__(path, create=create)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        self._fault.tick()
        with super()._transaction() as db:
            yield db
        self._fault.tick()


class FaultyExecutor:
    """An executor that may be killed before and after each job.

    Args:
        executor: Does the jobs.
        fault: When.
    """

    def __init__(self, executor: Executor, fault: Fault) -> None:
        self._executor = executor
        self._fault = fault

    def start(self, setup: Setup, overdue: Callable[[], bool]) -> None:
        """As the executor."""
        self._executor.start(setup, overdue)

    def accepts(self, work: Evaluate | Call) -> bool:
        """As the executor."""
        return self._executor.accepts(work)

    def submit(self, job: Job) -> None:
        """As the executor, or die."""
        self._fault.tick()
        self._executor.submit(job)

    def wait(self, timeout: float) -> list[Message]:
        """As the executor, or die."""
        messages = self._executor.wait(timeout)
        if messages:
            self._fault.tick()
        return messages

    def halt(self) -> None:
        """As the executor."""
        self._executor.halt()

    def close(self, *, kill: bool = False) -> None:
        """As the executor."""
        self._executor.close(kill=kill)


@dataclass(frozen=True)
class Trial:
    """A search to be tried again and again.

    Attributes:
        strategy: Begun anew for every process.
        problem: What it searches.
        setup: Evaluator and sessions; the sessions' are completed from the strategy.
        budget: As in `--budget`; needed where a strategy has no end of its own.
        seed: The run's.
        executor: Makes the executor.
    """

    strategy: Strategy
    problem: Problem
    setup: Setup
    budget: str | None = None
    seed: int = 0
    executor: Callable[[], Executor] = SerialExecutor

    def begin(
        self, folder: Path, fault: Fault | None = None, listeners: tuple[Listener, ...] = ()
    ) -> PhaseResult:
        """Search in `folder`, going on from what is there; `Killed` where `fault` says so."""
        fault = fault or Fault()
        path = folder / "store.sqlite"
        executor = FaultyExecutor(self.executor(), fault)
        store = FaultyStore(path, fault, create=not path.exists())
        stop = Stop()
        setup = replace(
            self.setup,
            seed=self.seed,
            checkpoints=str(folder),
            sessions=dict(self.strategy.sessions),
        )
        bus = Bus(listeners)
        stage = Stage("search", lambda p, rng, _: self.strategy.run(p, rng), self._limit)
        finished = False
        try:
            executor.start(setup, lambda: stop.overdue)
            crew = Crew(store, executor, bus, stop, seed=self.seed, checkpoints=folder)
            result = Phase(stage, crew, store, bus).run(self.problem, self.seed, {})
            finished = True
            return result
        finally:
            executor.close(kill=not finished)
            store.close()

    @property
    def _limit(self) -> Budget:
        return Budget.parse(self.budget)


def log_of(folder: Path) -> list[tuple[Any, ...]]:
    """Everything a run's store tells that must not depend on when it was killed."""
    store = Store(folder / "store.sqlite", readonly=True)
    try:
        return [
            (
                entry.ordinal,
                entry.phase,
                entry.work.to_dict(),
                entry.status,
                entry.figures,
                entry.value,
                entry.curve,
                entry.error,
                entry.spent.epochs,
                entry.spent.evaluations,
            )
            for entry in store.history()
        ] + [("announced", *event) for event in store.events()]
    finally:
        store.close()


def same_result(a: PhaseResult, b: PhaseResult) -> bool:
    """Whether two results are equal, seconds aside."""

    def figures(result: PhaseResult) -> list[Any]:
        return [(o.work.to_dict(), o.status, dict(o.figures), o.error) for o in result.outcomes]

    return (
        (a.reason, a.found, dict(a.extra)) == (b.reason, b.found, dict(b.extra))
        and (a.spent.epochs, a.spent.evaluations) == (b.spent.epochs, b.spent.evaluations)
        and figures(a) == figures(b)
    )


def _memory_disk() -> str | None:
    """A folder whose files are not written to a disk, which hundreds of runs would wait for."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def undisturbed(trial: Trial) -> tuple[PhaseResult, list[tuple[Any, ...]], int]:
    """Result, log and number of events of a run that nobody kills."""
    with tempfile.TemporaryDirectory(prefix="nas-", dir=_memory_disk()) as name:
        fault = Fault()
        result = trial.begin(Path(name), fault)
        return result, log_of(Path(name)), fault.count


def check_replay(trial: Trial, kills: Iterable[tuple[int, ...]] | None = None) -> int:
    """Kill the trial and compare, for each of `kills`.

    Args:
        trial: The search.
        kills: Each a sequence of event numbers: the first process dies at the first one, the
            second process at its own second one, and so on; the last one is let live. None
            for every event of the undisturbed run, one at a time.

    Returns:
        The number of kills that hit.

    Raises:
        AssertionError: A disturbed run ended otherwise, or left another log.
    """
    expected, log, events = undisturbed(trial)
    hits = 0
    for points in [(k,) for k in range(1, events + 1)] if kills is None else kills:
        with tempfile.TemporaryDirectory(prefix="nas-", dir=_memory_disk()) as name:
            folder = Path(name)
            for point in points:
                try:
                    trial.begin(folder, Fault(point))
                except Killed:
                    hits += 1
            result = trial.begin(folder)
            if not same_result(result, expected):
                raise AssertionError(f"killed at {points}, the run ends otherwise: {result}")
            found = log_of(folder)
            if found != log:
                first = next((a, b) for a, b in zip(found, log, strict=False) if a != b)
                raise AssertionError(f"killed at {points}, the log differs: {first}")
    return hits
