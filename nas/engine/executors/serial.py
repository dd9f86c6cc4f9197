"""One work after another, in this process: simplest to follow and to debug."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from nas.core.errors import Interrupted
from nas.core.work import Call, Evaluate
from nas.engine.executors.alarm import alarm
from nas.engine.executors.base import Job, Message, Report, Said, Setup
from nas.engine.executors.bench import Bench, Emit
from nas.engine.executors.deaths import PATIENCE, failure, timed_out
from nas.engine.executors.threads import limit_threads


def _never() -> bool:
    return False


class SerialExecutor:
    """Does each job in the caller's thread, during `wait`.

    A time-out is asked for (`should_stop`) and, some seconds later, enforced as far as that can be
    done from within (see `alarm`); use `processes` where training code may hang in a library.
    Memory is not limited, and a job that kills its process kills this one.

    Args:
        workers: There is one, whatever is said.
        patience: Seconds between a time-out and the alarm.
    """

    in_process = True

    def __init__(self, workers: int = 1, patience: float = PATIENCE) -> None:
        self.workers = workers
        self._patience = patience
        self._timeout: float | None = None
        self._bench: Bench | None = None
        self._job: Job | None = None
        self._overdue: Callable[[], bool] = _never

    def start(self, setup: Setup, overdue: Callable[[], bool]) -> None:
        """Make the evaluator; torch's threads are left alone unless `setup` says otherwise."""
        self._overdue = overdue
        if setup.threads is not None:
            limit_threads(setup.threads)
        self._timeout = setup.timeout
        self._bench = Bench(setup, 0, overdue)

    def accepts(self, work: Evaluate | Call) -> bool:
        """Whether no job is waiting to be done."""
        return self._job is None

    def submit(self, job: Job) -> None:
        """Keep the job for `wait`."""
        self._job = job

    def wait(self, timeout: float) -> list[Message]:
        """Do the job."""
        job, self._job = self._job, None
        if job is None or self._bench is None:
            return []
        said: list[Message] = []

        def emit(topic: str, payload: Mapping[str, Any]) -> None:
            said.append(Said(job.id, topic, dict(payload)))

        limit = self._timeout if isinstance(job.work, Evaluate) else None
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            if limit is None:
                report = self._bench.perform(job, emit)
            else:
                report = self._limited(job, emit, limit)
        return [*said, report]

    def _limited(self, job: Job, emit: Emit, limit: float) -> Report:
        bench = self._bench
        if bench is None:
            raise RuntimeError("perform before start")
        begun = time.monotonic()
        try:
            with alarm(limit + self._patience):
                return bench.perform(job, emit)
        except Interrupted:  # it rang in the few lines around the work
            return failure(job, timed_out(limit), time.monotonic() - begun)

    def halt(self) -> None:
        """Nothing: there is no job running when this is called."""

    def close(self, *, kill: bool = False) -> None:
        """Forget the evaluator and the sessions."""
        if self._bench is not None:
            self._bench.close()
        self._bench = None
