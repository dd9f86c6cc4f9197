"""One search: its life from begin to end, and the face that callers see."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nas.core.architecture import Candidate
from nas.core.config import RunConfig
from nas.core.errors import NasError, StoreError
from nas.core.front import Front
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.engine import folder as files
from nas.engine import opening, view
from nas.engine.crew import Clock, Crew
from nas.engine.errors import Stopped
from nas.engine.events import (
    Bus,
    Ended,
    Finished,
    Listener,
    Notice,
    RunStarted,
    Stopping,
)
from nas.engine.executors import EXECUTORS
from nas.engine.executors.base import Executor, Setup
from nas.engine.failures import FailureWatch
from nas.engine.loop import Phase, PhaseResult, Stage
from nas.engine.opening import Opened, read_config
from nas.engine.record import Recorder, active_seconds, costs, set_apart
from nas.engine.records import Entry
from nas.engine.results import RunResult, RunStatus, front_of, keeps_limits, rank
from nas.engine.signals import Aborted, Signals, Stop

__all__ = ["Plan", "Run", "read_config"]


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        problem: What strategies see.
        stages: The phases in order: the search, then perhaps a finale.
        setup: What workers need; the run adds its folder and seed.
        executor: A registered name; or an executor, not yet started.
        workers: For an executor given by name.
        grace: Seconds that running work gets after the first signal.
        failures: When failing candidates are a failing run.
        scratch: Whether works leave something for later ones, so that a run in memory has a folder
            for it, too.
        apart: Stages whose cost is told apart from what the run has spent.
        summarize: Adds to the result what is to be said of the history, JSON-able by name, such
            as a "baseline".
    """

    problem: Problem
    stages: Sequence[Stage]
    setup: Setup = field(default_factory=Setup)
    executor: str | Executor = "serial"
    workers: int = 1
    grace: float = 30.0
    failures: Callable[[], FailureWatch] = FailureWatch
    scratch: bool = False
    apart: frozenset[str] = frozenset()
    summarize: Callable[[Sequence[Entry]], Mapping[str, Any]] | None = None


class Run:
    """A run, in a folder or in memory. Use `create`, `resume` or `look`."""

    def __init__(self, opened: Opened) -> None:
        self.folder = opened.folder
        self.config = opened.config
        self.result: RunResult | None = None
        self._opened = opened
        self._store = opened.store
        self._stop = Stop()

    @classmethod
    def create(cls, folder: Path | None, config: RunConfig) -> Run:
        """Begin a new run in a folder that holds none; None for memory only.

        Raises:
            StoreError: The folder holds another run, is in use, cannot be written, or is on a
                full disk. Nothing in it is touched then.
            ConfigError: The budget cannot be read.
        """
        return cls(opening.create(folder, config))

    @classmethod
    def resume(
        cls,
        folder: Path,
        *,
        config: RunConfig | None = None,
        budget: str | None = None,
        retry_failed: bool = False,
    ) -> Run:
        """Take up a run, however it was stopped.

        Args:
            folder: The run's folder.
            config: What the caller wants the configuration to be, to be compared with the run's;
                executor, workers and device may differ and are then used.
            budget: `+20epochs` to add to the search's budget, `300epochs` to replace it.
            retry_failed: Forget failed evaluations, so that they are tried again.

        Raises:
            StoreError: There is no run, it is in use, or its store cannot be used.
            ConfigError: The configuration differs; the budget cannot be read or extended.
        """
        return cls(opening.resume(folder, config, budget, retry_failed))

    @classmethod
    def look(cls, folder: Path) -> Run:
        """Read a run that may be running elsewhere; it cannot be executed.

        Raises:
            StoreError: There is no run, or its store cannot be read.
        """
        return cls(opening.look(folder))

    # -- living --------------------------------------------------------------------------

    def execute(self, plan: Plan, listeners: Sequence[Listener] = ()) -> RunResult:
        """Run all stages; a stopped or failed run can be taken up with `resume`.

        The first SIGINT or SIGTERM stops it as described in `nas.engine.signals`; the result
        then has the status "stopped".

        Args:
            plan: What to do; the same for a run and its resumption.
            listeners: Told of every event.

        Raises:
            NasError: The run failed; its folder says so.
        """
        if self.folder is not None and self._opened.lock is None:
            raise StoreError(f"{self.folder} was opened to look at", "resume it")
        bus = Bus(tuple(listeners))
        self._stop = Stop(
            plan.grace, lambda stop: bus(Stopping(signal=stop.signal, grace=stop.grace))
        )
        self._begin(plan, bus)
        try:
            with Signals(self._stop):
                phases = self._stages(plan, bus)
            return self._end(plan, bus, "done", phases)
        except (Stopped, Aborted):
            return self._end(plan, bus, "stopped", {})
        except BaseException as error:
            with contextlib.suppress(NasError):  # the disk may be full: the first error counts
                self._end(plan, bus, "failed", {}, f"{type(error).__name__}: {error}")
            raise

    def stop(self) -> None:
        """Ask a run that another thread executes to stop, as a first Ctrl-C does."""
        self._stop.request()

    def _begin(self, plan: Plan, bus: Bus) -> None:
        self._store.write("phases", [stage.name for stage in plan.stages])
        self._store.write("aside", [stage.name for stage in plan.stages if stage.aside])
        set_apart(self._store, plan.apart)
        self._opened.record("running", "")
        bus(
            RunStarted(
                run=str(self.folder or ""),
                resumed=self._opened.resumed,
                evaluations=self._store.counts()["ok"],
                config=self.config.model_dump(mode="json"),
            )
        )
        for notice in self._opened.notices:
            bus(Notice(text=notice))
        self._opened.notices.clear()
        if self.folder is not None:
            bus.add(Recorder(self.folder, self.config, self._store))

    def _stages(self, plan: Plan, bus: Bus) -> dict[str, PhaseResult]:
        executor = plan.executor
        if isinstance(executor, str):
            executor = EXECUTORS.get(executor)(plan.workers)
        clock = Clock(self.elapsed)
        with tempfile.TemporaryDirectory(prefix="nas-") as temporary:
            checkpoints: Path | None = None
            if self.folder is not None:
                checkpoints = self.folder.resolve() / files.CHECKPOINTS
            elif plan.setup.sessions or plan.scratch:
                checkpoints = Path(temporary)
            setup = replace(
                plan.setup,
                seed=self.config.seed,
                checkpoints="" if checkpoints is None else str(checkpoints),
            )
            finished = False
            try:
                executor.start(setup, lambda: self._stop.overdue)
                crew = Crew(
                    self._store,
                    executor,
                    bus,
                    self._stop,
                    seed=self.config.seed,
                    evaluator=self.config.evaluator,
                    clock=clock,
                    checkpoints=checkpoints,
                    watch=plan.failures(),
                )
                results: dict[str, PhaseResult] = {}
                for stage in plan.stages:
                    phase = Phase(stage, crew, self._store, bus)
                    result = phase.run(plan.problem, self.config.seed, results)
                    results[stage.name] = result
                    if not stage.aside and result.found is not None:
                        self._keep(result.found)  # what follows may be stopped, or looked at
                finished = True
                return results
            finally:
                executor.close(kill=not finished)
                with contextlib.suppress(StoreError):  # whatever else happened counts more
                    self._store.write("elapsed", clock())

    def _end(
        self,
        plan: Plan,
        bus: Bus,
        status: RunStatus,
        phases: Mapping[str, PhaseResult],
        reason: str = "",
    ) -> RunResult:
        opened = self._opened
        extra: dict[str, Any] = {}
        aside = {stage.name for stage in plan.stages if stage.aside}
        for phase in (result for name, result in phases.items() if name not in aside):
            extra.update(phase.extra)
            reason = phase.reason
        if status == "stopped":
            reason = "stopped by a signal"
        if plan.summarize is not None and status == "done":
            extra.update(plan.summarize(self.history))
        self._keep(opened.found)
        self.result = result = self._result(status, reason, extra)
        self._opened.record(status, reason, result.to_dict())
        bus(Ended(status=status, reason=reason, spent=result.spent.to_dict()))
        bus(Finished(result=result.to_dict()))
        return result

    def _keep(self, found: Sequence[Candidate] | None) -> None:
        """Store what the run has found, which its result is about."""
        self._opened.found = None if found is None else tuple(found)
        self._store.write("found", None if found is None else [c.to_dict() for c in found])

    def _result(self, status: RunStatus, reason: str, extra: Mapping[str, Any]) -> RunResult:
        """What came out; the front's files are written, too."""
        objectives = parse_objectives(self.config.objectives)
        entries = view.counted(self._opened)
        spent, compared = costs(self._store)
        front, on_front = front_of(entries, objectives)
        best = min(entries, key=lambda entry: rank(entry, objectives), default=None)
        if self.folder is not None:
            files.write_json(self.folder / "front.json", front.to_dict())
            files.write_text(self.folder / "front.csv", front.to_csv())
        return RunResult(
            run=str(self.folder or ""),
            status=status,
            reason=reason,
            best=best,
            front=tuple(on_front),
            hypervolume=front.hypervolume(),
            feasible=best is not None and keeps_limits(best, objectives),
            spent=replace(spent, seconds=self.elapsed),
            compared=compared,
            objectives=self.config.objectives,
            failed=tuple(view.failures(self._opened)),
            budget=self.config.budget,
            extra=extra,
            signal=self._stop.signal,
        )

    # -- being asked ---------------------------------------------------------------------

    @property
    def history(self) -> list[Entry]:
        """Every work and its outcome, in the order of completion."""
        return view.history(self._opened)

    @property
    def best(self) -> Entry | None:
        """The best entry that the result is about, None if there is none."""
        return view.best(self._opened)

    @property
    def front(self) -> list[Entry]:
        """The entries of the front, sorted by the first objective."""
        return view.front(self._opened)[1]

    @property
    def pareto(self) -> Front:
        """The front as the core's `Front`, with its hypervolume and file forms."""
        return view.front(self._opened)[0]

    @property
    def elapsed(self) -> float:
        """Seconds the run has been active, over all its processes."""
        return active_seconds(self._store)

    @property
    def announced(self) -> list[tuple[str, str, Any]]:
        """Phase, topic and payload of everything strategies announced."""
        return list(self._store.events())

    def status(self) -> dict[str, Any]:
        """What `nas status` shows: the content of run.json, made current, JSON-able."""
        return view.status(self._opened)

    # -- being let go --------------------------------------------------------------------

    def release(self) -> None:
        """Let others write to the folder; this run can still be asked."""
        self._opened.release()

    def discard(self) -> None:
        """Close a new run, and take it away if nothing was done in it: it never really began."""
        self._opened.discard()

    def close(self) -> None:
        """Let go of the folder."""
        self._opened.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
