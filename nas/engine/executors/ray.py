"""Work on a Ray cluster: evaluations are tasks, sessions are actors.

Ray places works and finds out what died; trying again, limits and order are ours, so that the same
happens as on one machine. The driver alone writes: workers give back what is to be kept.

A session's actor may be let go whenever it is idle, and may die: the next call brings the session
back from its committed checkpoint in a new one.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from nas.core.errors import ConfigError
from nas.core.work import Call, Evaluate
from nas.engine.executors.base import Job, Message, Report, Setup, Warned
from nas.engine.executors.bench import one_line
from nas.engine.executors.deaths import PATIENCE, died, failure, timed_out
from nas.engine.executors.ray_cluster import Share, check_ray, connect, share, signals_as_they_are
from nas.engine.executors.ray_desk import LOOK, DriverLine
from nas.engine.executors.ray_files import RunFiles
from nas.engine.executors.ray_module import ray
from nas.engine.executors.ray_places import Places
from nas.engine.executors.ray_worker import Answer, Errand, perform
from nas.engine.records import dump, load

LOSSES: Final = 5
"""How many nodes may be lost under one work before that is its failure."""


@dataclass
class _Open:
    """A job under way."""

    job: Job
    ref: Any = None
    attempts: int = 0
    losses: int = 0
    submitted: float = 0.0
    begun: float | None = None
    verdict: str = ""  # why it was ended, if it was


class RayExecutor:
    """Does jobs on a Ray cluster, at most `workers` at the same time.

    Without an address in the setup it starts a cluster on this machine, for this process alone, or
    uses the one that this process has joined.

    Args:
        workers: Jobs under way at the same time.
        patience: Seconds between a time-out and the end of the worker.
        shared: Whether the nodes share the run's folder; None to find out, False to have what is
            to be kept travel with the works in any case.
    """

    clustered = True
    check = staticmethod(check_ray)

    def __init__(
        self, workers: int = 1, patience: float = PATIENCE, shared: bool | None = None
    ) -> None:
        if workers < 1:
            raise ConfigError(f"workers is {workers}", "expected at least 1")
        self.workers = workers
        self._patience = patience
        self._shared = shared
        self._setup = Setup()
        self._run = f"nas-{uuid.uuid4().hex}"
        self._ray: Any = None
        self._task: Any = None
        self._desk = DriverLine(self._run)
        self._files = RunFiles("", self._run, shared)
        self._places = Places(workers, 1, Share(1, 0.0, 1), self._tasks)
        self._leave: Callable[[], None] | None = None
        self._open: dict[Any, _Open] = {}  # by reference
        self._pending: list[Message] = []

    # -- beginning -----------------------------------------------------------------------

    def start(self, setup: Setup, overdue: Callable[[], bool]) -> None:
        """Join or start the cluster, and see that it can do the work.

        Raises:
            ClusterError: It cannot.
            ConfigError: Something of the setup cannot be sent to it.
        """
        gpu = any(device.startswith("cuda") for device in setup.devices)
        here = len(set(setup.devices)) if gpu else 0
        self._leave = connect(setup.address, self.workers, here, setup.threads)
        self._ray = ray()
        size = share(self.workers, setup.per_device, gpu, setup.threads)
        if size.runnable < self.workers:
            text = f"the Ray cluster has room for {size.runnable} of {self.workers} workers"
            self._pending.append(Warned(f"{text}; the others wait for their turn"))
        # Ray hides all GPUs but those that it gives a worker.
        self._setup = replace(setup, devices=("cuda:0",) if gpu else ("cpu",))
        try:
            sent = self._ray.cloudpickle.dumps(self._setup)
        except Exception as error:  # whatever pickling raises
            raise ConfigError(
                f"evaluator {setup.evaluator!r} cannot be sent to Ray: {one_line(str(error))}",
                "define it at the top level of a module, or use --executor serial",
            ) from error
        self._places = Places(self.workers, setup.per_device, size, self._tasks)
        self._task = self._ray.remote(perform).options(max_retries=0, **self._places.resources)
        self._desk.open(sent)
        self._files = RunFiles(setup.checkpoints, self._run, self._shared)
        self._files.settle(setup.address)

    # -- doing ---------------------------------------------------------------------------

    def accepts(self, work: Evaluate | Call) -> bool:
        """Whether fewer than `workers` jobs are under way, none of them this session's."""
        if len(self._open) >= self._places.room():
            return False
        return not (isinstance(work, Call) and self._places.busy(work.session))

    def _tasks(self) -> int:
        """How many jobs are under way that are no session's."""
        return sum(isinstance(entry.job.work, Evaluate) for entry in self._open.values())

    def submit(self, job: Job) -> None:
        """Hand the job to Ray."""
        self._begin(_Open(job))

    def _begin(self, entry: _Open) -> None:
        entry.attempts += 1
        entry.submitted, entry.begun, entry.verdict = time.monotonic(), None, ""
        errand = Errand(
            self._run,
            dump(entry.job.to_dict()),
            entry.attempts,
            self._places.threads,
            self._files.marker,
            self._files.send(entry.job),
        )
        work = entry.job.work
        if isinstance(work, Call):
            entry.ref = self._places.take(work.session).perform.remote(errand)
        else:
            self._places.make_room()
            entry.ref = self._task.remote(errand)
        self._open[entry.ref] = entry

    # -- hearing -------------------------------------------------------------------------

    def wait(self, timeout: float) -> list[Message]:
        """What the workers say, or what became of them."""
        with signals_as_they_are():
            return self._wait(timeout)

    def _wait(self, timeout: float) -> list[Message]:
        messages, self._pending = self._pending, []
        begin = time.monotonic()
        ready = self._ready(0.0 if messages else min(timeout, LOOK))
        told: list[Message] = []
        said = False
        for reference in ready:
            entry = self._open.pop(reference)
            answer = self._fetch(entry, told)
            if answer is not None:
                said = said or answer.said
                told.append(self._report(entry, answer))
        if said or (self._open and self._desk.due):
            messages += self._look()
        self._end_overdue()
        if not ready and not self._open and not messages:
            time.sleep(max(0.0, min(timeout, LOOK) - (time.monotonic() - begin)))
        return messages + told

    def _ready(self, timeout: float) -> list[Any]:
        references = list(self._open)
        if not references:
            return []
        ready, _ = self._ray.wait(references, num_returns=1, timeout=timeout)
        if ready and len(references) > 1:
            ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        return list(ready)

    def _fetch(self, entry: _Open, told: list[Message]) -> Answer | None:
        """The answer, or None after a death, of which `told` then says what became."""
        errors = self._ray.exceptions
        work = entry.job.work
        if isinstance(work, Call):
            self._places.rest(work.session)
        try:
            answer: Answer = self._ray.get(entry.ref)
            return answer
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            lines = str(error).strip().split("\n")  # the last one is the cause
            told.append(_fatal(entry.job, f"the Ray worker failed: {one_line(lines[-1])}"))
        except (errors.TaskUnschedulableError, errors.ActorUnschedulableError) as error:
            told.append(_fatal(entry.job, f"Ray cannot place the work: {one_line(str(error))}"))
        except errors.RayError as error:
            if isinstance(work, Call):
                self._places.dismiss(work.session)
            told += self._look()  # it may have said why it ends itself
            told += self._bury(entry, error)
        return None

    def _report(self, entry: _Open, answer: Answer) -> Report:
        job = entry.job
        if answer.broken is not None:
            message, hint = answer.broken
            return Report(job.id, "fatal", error=message, hint=hint, kind="PluginError")
        report = Report.from_dict(load(answer.report))
        kept = report.checkpoint
        if not self._files.keep(answer.parcel, kept):
            name = "" if kept is None else kept.file
            message = f"checkpoint {name} came from Ray damaged"
            return Report(job.id, "fatal", error=message, hint="resume the run", kind="")
        return report

    def _bury(self, entry: _Open, error: Exception) -> list[Message]:
        """A worker died: try its job again, or report that it cannot be done."""
        job = entry.job
        seconds = time.monotonic() - (entry.begun or entry.submitted)
        verdict = entry.verdict or self._desk.verdict(job.id, entry.attempts)
        if verdict:
            return [failure(job, verdict, seconds)]
        how = _describe(error, self._ray.exceptions)
        if _lost_node(error, self._ray.exceptions):
            entry.losses += 1
            entry.attempts -= 1
            if entry.losses >= LOSSES:
                return [failure(job, f"{LOSSES} nodes were lost under it ({how})", seconds)]
            text = "a node of the Ray cluster was lost; its work is done elsewhere"
        elif entry.attempts >= self._setup.attempts:
            return [failure(job, died(entry.attempts, how), seconds)]
        else:
            text = f"a Ray worker died ({how}); its work is tried once more"
        self._begin(entry)
        return [Warned(text)]

    def _look(self) -> list[Message]:
        """Take what lies on the desk."""
        said, begun = self._desk.take()
        now = time.monotonic()
        for entry in self._open.values():
            if begun.get(entry.job.id) == entry.attempts:
                entry.begun = now
        return list(said)

    def _end_overdue(self) -> None:
        limit = self._setup.timeout
        if limit is None:
            return
        now = time.monotonic()
        for entry in self._open.values():
            if entry.begun is None or entry.verdict or isinstance(entry.job.work, Call):
                continue
            if now - entry.begun > limit + self._patience:
                entry.verdict = timed_out(limit)
                self._cancel(entry)

    def _cancel(self, entry: _Open) -> None:
        """End the worker that does the job, whatever it is doing."""
        work = entry.job.work
        if isinstance(work, Call):
            self._places.dismiss(work.session)
            return
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.cancel(entry.ref, force=True)

    # -- ending --------------------------------------------------------------------------

    def halt(self) -> None:
        """Make `should_stop` true in every worker."""
        self._desk.halt()

    def close(self, *, kill: bool = False) -> None:
        """Let all workers go; a cluster of our own goes with them."""
        leave, self._leave = self._leave, None
        self._files.close()
        if leave is None or self._ray is None:
            return
        if self._ray.is_initialized():
            for entry in self._open.values():
                self._cancel(entry)
            self._places.close()
        self._desk.close()
        self._open.clear()
        self._task = None
        leave()


def _fatal(job: Job, error: str) -> Report:
    return Report(job.id, "fatal", error=error, hint="resume the run to try again")


def _lost_node(error: Exception, errors: Any) -> bool:
    kinds = (errors.NodeDiedError, errors.ActorUnavailableError, errors.ObjectLostError)
    if isinstance(error, kinds):
        return True
    return isinstance(error, errors.ActorDiedError) and "its node has died" in str(error)


def _describe(error: Exception, errors: Any) -> str:
    if isinstance(error, errors.OutOfMemoryError):
        return "its node is out of memory"
    if _lost_node(error, errors):
        return "node lost"
    return "killed, out of memory?"
