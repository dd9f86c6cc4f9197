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
from pathlib import Path
from typing import Any, Final

from nas.core.errors import ConfigError
from nas.core.work import Call, Evaluate
from nas.engine.checkpoints import scratch_folder, seal
from nas.engine.errors import ClusterError
from nas.engine.executors.base import Job, Message, Report, Said, Setup, Warned
from nas.engine.executors.bench import one_line
from nas.engine.executors.deaths import PATIENCE, died, failure, timed_out
from nas.engine.executors.parcels import pack, unpack
from nas.engine.executors.ray_cluster import (
    Share,
    alive_nodes,
    connect,
    share,
    signals_as_they_are,
)
from nas.engine.executors.ray_worker import (
    Answer,
    Desk,
    Errand,
    SessionHand,
    look,
    perform,
    ray,
)
from nas.engine.records import dump, load

LOOK: Final = 0.25
"""Seconds between looks at the desk."""

LOSSES: Final = 5
"""How many nodes may be lost under one work before that is its failure."""

COUNT: Final = 10.0
"""Seconds between counts of the GPUs there are."""

PROBE: Final = 120.0
"""Seconds that a node gets to start its first worker."""


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


@dataclass
class _Actor:
    """A session's actor."""

    handle: Any
    used: float = 0.0
    busy: bool = False


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

    def __init__(
        self, workers: int = 1, patience: float = PATIENCE, shared: bool | None = None
    ) -> None:
        if workers < 1:
            raise ConfigError(f"workers is {workers}", "expected at least 1")
        self.workers = workers
        self._patience = patience
        self._shared = shared
        self._setup = Setup()
        self._share = Share(1, 0.0, 1)
        self._run = f"nas-{uuid.uuid4().hex}"
        self._ray: Any = None
        self._task: Any = None
        self._desk: Any = None
        self._marker: Path | None = None
        self._leave: Callable[[], None] | None = None
        self._open: dict[Any, _Open] = {}  # by reference
        self._actors: dict[str, _Actor] = {}
        self._verdicts: dict[int, tuple[int, str]] = {}  # of workers that ended themselves
        self._pending: list[Message] = []
        self._looked = 0.0
        self._counted = 0.0
        self._halted = False

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
        self._share = share(self.workers, setup.per_device, gpu, setup.threads)
        if self._share.runnable < self.workers:
            text = f"the Ray cluster has room for {self._share.runnable} of {self.workers} workers"
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
        options = self._options()
        self._task = self._ray.remote(perform).options(max_retries=0, **options)
        here_only = self._affinity(self._ray.get_runtime_context().get_node_id())
        self._desk = (
            self._ray.remote(Desk)
            .options(name=self._run, num_cpus=0, max_restarts=-1, scheduling_strategy=here_only)
            .remote(sent)
        )
        self._settle()

    def _options(self) -> dict[str, Any]:
        taken: dict[str, Any] = {"num_cpus": self._share.threads}
        if self._share.gpus:
            taken["num_gpus"] = self._share.gpus
        return taken

    def _affinity(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False)

    def _settle(self) -> None:
        """Find out whether all nodes have our package and share the run's folder."""
        if self._shared is None and not self._setup.address:
            self._shared = True  # a cluster of our own is this machine
        folder = self._setup.checkpoints
        if folder and not self._shared:
            self._marker = Path(folder) / f".{self._run}"
            if self._shared is None:
                self._marker.touch()
        if not self._setup.address:
            return
        remote = self._ray.remote(look)
        marker = self._marker.name if self._marker is not None else ""
        asked = [
            (
                node["NodeManagerHostname"],
                remote.options(
                    num_cpus=0, max_retries=1, scheduling_strategy=self._affinity(node["NodeID"])
                ).remote(folder, marker),
            )
            for node in alive_nodes()
        ]
        seen = [self._seen(name, reference) for name, reference in asked]
        if self._shared is None:
            self._shared = all(seen)
        if self._shared and self._marker is not None:
            self._marker.unlink(missing_ok=True)
            self._marker = None

    def _seen(self, name: str, reference: Any) -> bool:
        import nas

        try:
            version, shares = self._ray.get(reference, timeout=PROBE)
        except self._ray.exceptions.NodeDiedError:
            return True  # it is none of the cluster's any more
        except Exception as error:
            reason = one_line(str(error).strip().split("\n")[-1])
            raise ClusterError(
                f"node {name!r} of the Ray cluster cannot do our work: {reason}",
                f"install nas-engine {nas.__version__} and its plug-ins on every node",
            ) from error
        if version != nas.__version__:
            raise ClusterError(
                f"node {name!r} of the Ray cluster has nas-engine {version}, not {nas.__version__}",
                "install the same version on every node",
            )
        return bool(shares)

    # -- doing ---------------------------------------------------------------------------

    def accepts(self, work: Evaluate | Call) -> bool:
        """Whether fewer than `workers` jobs are under way, none of them this session's."""
        if len(self._open) >= self._room():
            return False
        actor = self._actors.get(work.session) if isinstance(work, Call) else None
        return actor is None or not actor.busy

    def _room(self) -> int:
        """Jobs that may be under way.

        On CPUs Ray queues what finds no room. GPUs are held by sessions' actors as long as they
        live, so no job may be queued for one: nobody would let an idle actor go for it.
        """
        if not self._share.gpus:
            return self.workers
        if time.monotonic() - self._counted > COUNT:  # nodes come and go
            setup = self._setup
            self._share = share(self.workers, setup.per_device, True, self._share.threads)
            self._counted = time.monotonic()
        return min(self.workers, self._share.runnable)

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
            self._share.threads,
            self._marker.name if self._marker is not None else "",
            self._parcel(entry.job),
        )
        work = entry.job.work
        if isinstance(work, Call):
            actor = self._actor(work.session)
            actor.busy = True
            entry.ref = actor.handle.perform.remote(errand)
        else:
            self._make_room()
            entry.ref = self._task.remote(errand)
        self._open[entry.ref] = entry

    def _actor(self, session: str) -> _Actor:
        actor = self._actors.get(session)
        if actor is None:
            self._make_room()
            # On CPUs, actors would block tasks by merely living; `accepts` counts what runs.
            options = self._options() if self._share.gpus else {}
            handle = self._ray.remote(SessionHand).options(max_restarts=0, **options).remote()
            actor = self._actors[session] = _Actor(handle)
        return actor

    def _make_room(self) -> None:
        """Let idle sessions go whose actors hold GPUs that the next job needs."""
        if not self._share.gpus:
            return
        tasks = sum(isinstance(entry.job.work, Evaluate) for entry in self._open.values())
        idle = sorted((actor.used, name) for name, actor in self._actors.items() if not actor.busy)
        for _, name in idle:
            if tasks + len(self._actors) < self._room():
                return
            self._dismiss(name)

    def _dismiss(self, session: str) -> None:
        actor = self._actors.pop(session, None)
        if actor is not None:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor.handle)

    def _parcel(self, job: Job) -> list[Any]:
        """What a node that does not share the run's folder needs of it."""
        if self._marker is None:
            return []
        folder = self._marker.parent
        parcel = pack(folder, scratch_folder(folder, job.work))
        if job.checkpoint is not None and job.calls is None:
            parcel.update(pack(folder, folder / job.checkpoint.file))
        return [self._ray.put(parcel)] if parcel else []

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
        if said or (self._open and time.monotonic() - self._looked > LOOK):
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
        actor = self._actors.get(work.session) if isinstance(work, Call) else None
        if actor is not None:
            actor.busy, actor.used = False, time.monotonic()
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
                self._dismiss(work.session)
            told += self._look()  # it may have said why it ends itself
            told += self._bury(entry, error)
        return None

    def _report(self, entry: _Open, answer: Answer) -> Report:
        job = entry.job
        if answer.broken is not None:
            message, hint = answer.broken
            return Report(job.id, "fatal", error=message, hint=hint, kind="PluginError")
        report = Report.from_dict(load(answer.report))
        if self._marker is not None and answer.parcel:
            folder = self._marker.parent
            unpack(folder, answer.parcel)
            kept = report.checkpoint
            if kept is not None and seal(folder / kept.file) != (kept.size, kept.crc):
                message = f"checkpoint {kept.file} came from Ray damaged"
                return Report(job.id, "fatal", error=message, hint="resume the run", kind="")
        return report

    def _bury(self, entry: _Open, error: Exception) -> list[Message]:
        """A worker died: try its job again, or report that it cannot be done."""
        job = entry.job
        seconds = time.monotonic() - (entry.begun or entry.submitted)
        attempt, verdict = self._verdicts.pop(job.id, (0, ""))
        if entry.verdict or (verdict and attempt == entry.attempts):
            return [failure(job, entry.verdict or verdict, seconds)]
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
        self._looked = time.monotonic()
        if self._halted:
            self._desk.halt.remote()  # again and again: the desk may have been restarted
        try:
            said, begun, verdicts = self._ray.get(self._desk.take.remote(), timeout=5.0)
        except self._ray.exceptions.RayError:
            return []  # it is being restarted
        now = time.monotonic()
        for entry in self._open.values():
            number = entry.job.id
            if begun.get(number) == entry.attempts:
                entry.begun = now
        self._verdicts.update(verdicts)
        return [Said(number, topic, load(payload)) for number, topic, payload in said]

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
            self._dismiss(work.session)
            return
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.cancel(entry.ref, force=True)

    # -- ending --------------------------------------------------------------------------

    def halt(self) -> None:
        """Make `should_stop` true in every worker."""
        self._halted = True
        if self._desk is not None:
            self._desk.halt.remote()

    def close(self, *, kill: bool = False) -> None:
        """Let all workers go; a cluster of our own goes with them."""
        leave, self._leave = self._leave, None
        if self._marker is not None:
            self._marker.unlink(missing_ok=True)
        if leave is None or self._ray is None:
            return
        if self._ray.is_initialized():
            for entry in self._open.values():
                self._cancel(entry)
            for session in list(self._actors):
                self._dismiss(session)
            if self._desk is not None:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.kill(self._desk)
        self._open.clear()
        self._desk = self._task = None
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
