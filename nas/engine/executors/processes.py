"""One supervised process per worker.

Each has its own pipe, so the death of one says nothing about the others: its job is tried
once more in a new process and then told as failed. Workers are forked from a server that
has imported torch once (when it is used), which starts them in a fraction of the time.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from nas.core.errors import ConfigError
from nas.core.work import Call, Evaluate
from nas.engine.executors.base import Job, Message, Report, Said, Setup, Warned
from nas.engine.executors.deaths import PATIENCE, died, failure, out_of_memory, timed_out
from nas.engine.executors.threads import fair_share
from nas.engine.executors.worker import main
from nas.engine.records import dump

STARTS: Final = 2
"""How often a worker is started for a job before it is said that workers cannot start."""


@dataclass
class _Slot:
    """A worker process and what it is doing."""

    number: int
    process: BaseProcess | None = None
    jobs: Connection | None = None
    control: Connection | None = None
    ready: bool = False
    job: Job | None = None
    begun: float = 0.0
    attempts: int = 0
    stillborn: int = 0  # processes that died, one after another, before they could begin
    verdict: str = ""  # why we killed it, if we did
    sessions: set[str] = field(default_factory=set)


class ProcessExecutor:
    """Does jobs in `workers` processes.

    Args:
        workers: Number of processes.
        patience: Seconds between a time-out and the kill.
    """

    def __init__(self, workers: int = 1, patience: float = PATIENCE) -> None:
        if workers < 1:
            raise ConfigError(f"workers is {workers}", "expected at least 1")
        self.workers = workers
        self._patience = patience
        self._slots = [_Slot(number) for number in range(workers)]
        self._pins: dict[str, _Slot] = {}
        self._setup = Setup()
        self._pending: list[Message] = []
        self._halted = False
        self._context = multiprocessing.get_context("forkserver")

    def start(self, setup: Setup, overdue: Callable[[], bool]) -> None:
        """Start no process yet; each starts with its first job."""
        self._setup = replace(setup, evaluator=importable(setup.evaluator))
        preload = setup.preload
        if preload is None:
            preload = ("torch",) if _uses_torch(setup) else ()
        self._context.set_forkserver_preload(["nas.engine.executors.worker", *preload])
        atexit.register(self.close, kill=True)

    def accepts(self, work: Evaluate | Call) -> bool:
        """Whether the session's worker, or for evaluations any worker, is idle."""
        return self._choose(work) is not None

    def _choose(self, work: Evaluate | Call) -> _Slot | None:
        if isinstance(work, Call) and work.session in self._pins:
            slot = self._pins[work.session]
            return slot if slot.job is None else None
        idle = [slot for slot in self._slots if slot.job is None]
        # Fewest sessions first keeps evaluations off the workers that sessions wait for.
        return min(idle, key=lambda slot: (len(slot.sessions), not slot.ready), default=None)

    def submit(self, job: Job) -> None:
        """Send the job to its worker."""
        slot = self._choose(job.work)
        if slot is None:
            raise RuntimeError("submit without accepts")
        if isinstance(job.work, Call):
            self._pins[job.work.session] = slot
            slot.sessions.add(job.work.session)
        slot.job, slot.attempts = job, 0
        self._begin(slot)

    def _begin(self, slot: _Slot) -> None:
        slot.attempts += 1
        slot.begun = time.monotonic()
        slot.verdict = ""
        if slot.process is None:
            self._spawn(slot)
        if slot.jobs is not None and slot.job is not None:
            with contextlib.suppress(OSError):  # it is dead; `wait` finds that out, too
                slot.jobs.send_bytes(dump(slot.job.to_dict()).encode())

    def _spawn(self, slot: _Slot) -> None:
        jobs, theirs = self._context.Pipe()
        their_control, control = self._context.Pipe(duplex=False)
        threads = self._setup.threads or fair_share(self.workers)
        process = self._context.Process(
            target=main,
            args=(self._setup, slot.number, threads, theirs, their_control),
            name=f"nas-worker-{slot.number}",
        )
        process.start()
        theirs.close()
        their_control.close()
        slot.process, slot.jobs, slot.control, slot.ready = process, jobs, control, False
        if self._halted:
            control.send_bytes(b"halt")

    def wait(self, timeout: float) -> list[Message]:
        """What the workers say, or what became of them."""
        messages, self._pending = self._pending, []
        pipes = {slot.jobs: slot for slot in self._slots if slot.jobs is not None}
        watched = [slot for slot in pipes.values() if slot.job is not None]
        limits = self._setup.timeout is not None or self._setup.memory_mb is not None
        pause = 0.0 if messages else min(timeout, 0.2) if limits and watched else timeout
        for pipe in wait(list(pipes), pause):
            slot = pipes[pipe]  # type: ignore[index]
            messages += self._listen(slot)
        for slot in watched:
            self._check_limits(slot)
        return messages

    def _listen(self, slot: _Slot) -> list[Message]:
        messages: list[Message] = []
        try:
            while slot.jobs is not None and slot.jobs.poll():
                messages += self._hear(slot, json.loads(slot.jobs.recv_bytes()))
        except (EOFError, OSError):
            messages += self._bury(slot)
        return messages

    def _hear(self, slot: _Slot, data: Mapping[str, Any]) -> list[Message]:
        if data["kind"] == "ready":
            slot.ready, slot.begun, slot.stillborn = True, time.monotonic(), 0
            return []
        if data["kind"] == "said":
            return [Said(data["job"], data["topic"], data["payload"])]
        job = slot.job
        if data["kind"] == "broken":
            slot.job = None
            return (
                []
                if job is None
                else [
                    Report(
                        job.id, "fatal", error=data["error"], hint=data["hint"], kind="PluginError"
                    )
                ]
            )
        slot.job = None
        return [Report.from_dict(data["report"])]

    def _bury(self, slot: _Slot) -> list[Message]:
        """A worker died: try its job again, or report that it cannot be done."""
        process, job, verdict = slot.process, slot.job, slot.verdict
        was_ready = slot.ready
        code = _release(slot)
        if process is None or job is None:
            return []
        how = _describe(code)
        seconds = time.monotonic() - slot.begun
        if verdict:
            slot.job = None
            return [failure(job, verdict, seconds)]
        if not was_ready:  # no fault of the job's
            slot.attempts -= 1
            slot.stillborn += 1
        if slot.stillborn >= STARTS:
            slot.job = None
            return [
                Report(
                    job.id,
                    "fatal",
                    error=f"workers cannot start ({how})",
                    hint="see their messages above; a script that starts a search must do so"
                    " under `if __name__ == '__main__':`",
                    kind="ConfigError",
                )
            ]
        if slot.attempts >= self._setup.attempts:
            slot.job = None
            return [failure(job, died(slot.attempts, how), seconds)]
        self._begin(slot)
        return [Warned(f"worker {slot.number} died ({how}); its work is tried once more")]

    def _check_limits(self, slot: _Slot) -> None:
        setup, process = self._setup, slot.process
        if slot.job is None or process is None or not slot.ready or slot.verdict:
            return
        if setup.timeout is not None and isinstance(slot.job.work, Evaluate):
            over = time.monotonic() - slot.begun - setup.timeout
            if over > self._patience:
                slot.verdict = timed_out(setup.timeout)
        if setup.memory_mb is not None and not slot.verdict:
            slot.verdict = out_of_memory(process.pid, setup.memory_mb)
        if slot.verdict:
            process.kill()

    def halt(self) -> None:
        """Make `should_stop` true in every worker."""
        self._halted = True
        for slot in self._slots:
            if slot.control is not None:
                with contextlib.suppress(OSError):
                    slot.control.send_bytes(b"halt")

    def close(self, *, kill: bool = False) -> None:
        """End all workers; they hold nothing that is not stored."""
        atexit.unregister(self.close)
        for slot in self._slots:
            if slot.process is not None and (kill or slot.job is not None):
                slot.process.kill()
        for slot in self._slots:
            slot.job = None
            _release(slot)
        self._pins.clear()


def _release(slot: _Slot) -> int | None:
    """Close a slot's pipes, which ends its process, and reap it; gives the exit code."""
    for pipe in (slot.jobs, slot.control):
        if pipe is not None:
            pipe.close()
    code: int | None = None
    if slot.process is not None:
        slot.process.join(2.0)
        if slot.process.is_alive():
            slot.process.kill()
            slot.process.join()
        code = slot.process.exitcode
        slot.process.close()
    slot.process = slot.jobs = slot.control = None
    slot.ready = False
    return code


def _describe(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"killed by {name}{', out of memory?' if name == 'SIGKILL' else ''}"


def importable(target: Any) -> str:
    """The "module:function" under which workers find a callable.

    Raises:
        ConfigError: It has none.
    """
    if isinstance(target, str):
        return target
    module = getattr(target, "__module__", None)
    name = getattr(target, "__qualname__", "")
    if not module or not name or "<" in name:
        raise ConfigError(
            f"evaluator {name or target!r} cannot be sent to worker processes",
            "define it at the top level of a module, or use --executor serial",
        )
    return f"{module}:{name}"


def _uses_torch(setup: Setup) -> bool:
    named = isinstance(setup.evaluator, str) and setup.evaluator and ":" not in setup.evaluator
    return "torch" in sys.modules or bool(named)
