"""One work after another, in this process: simplest to follow and to debug."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from nas.core.work import Call, Evaluate
from nas.engine.executors.base import Job, Message, Said, Setup
from nas.engine.executors.bench import Bench
from nas.engine.executors.threads import limit_threads


def _never() -> bool:
    return False


class SerialExecutor:
    """Does each job in the caller's thread, during `wait`.

    A time-out can only be asked for (`should_stop`), not enforced; use `processes` where
    training code may hang. Memory is not limited.

    Args:
        workers: Must be 1.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._bench: Bench | None = None
        self._job: Job | None = None
        self._overdue: Callable[[], bool] = _never

    def start(self, setup: Setup, overdue: Callable[[], bool]) -> None:
        """Make the evaluator; torch's threads are left alone unless `setup` says otherwise."""
        self._overdue = overdue
        if setup.threads is not None:
            limit_threads(setup.threads)
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

        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            report = self._bench.perform(job, emit)
        return [*said, report]

    def halt(self) -> None:
        """Nothing: there is no job running when this is called."""

    def close(self, *, kill: bool = False) -> None:
        """Forget the evaluator and the sessions."""
        if self._bench is not None:
            self._bench.close()
        self._bench = None
