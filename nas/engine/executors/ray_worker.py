"""What runs on a Ray cluster: the worker's side of the executor `ray`.

A `Hand` holds a bench: one for each worker process that does tasks, one for each session's actor.
The `Desk` is a small actor beside the driver, through which workers hear that they are to stop and
tell what cannot wait for the end of their job.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from nas.core.errors import NasError
from nas.engine.checkpoints import SUFFIX, scratch_folder
from nas.engine.executors.base import Job, Report, Setup
from nas.engine.executors.bench import Bench, one_line
from nas.engine.executors.deaths import out_of_memory
from nas.engine.executors.parcels import Parcel, pack, remove, unpack
from nas.engine.executors.threads import limit_threads
from nas.engine.records import dump

ASK: Final = 0.5
"""Seconds between a worker's questions whether it is to stop."""

KEPT: Final = 1000
"""What workers said and the driver has not taken is dropped beyond so many."""

UNDERWAY: Final = 64
"""Messages of one worker that may be on their way; more are dropped."""


def ray() -> Any:
    """The module, imported when it is needed: it is an extra and takes a second."""
    return importlib.import_module("ray")


@dataclass(frozen=True)
class Errand:
    """What a worker of the cluster needs to do a job.

    Attributes:
        run: Name of the desk, new in each executor's life; a worker keeps its bench for one. Plain
            text, as handles and references in arguments cost Ray more than all the rest.
        job: The job as JSON.
        attempt: How often the job was begun before.
        threads: CPU threads of torch.
        marker: A file in the run's checkpoints by which a worker sees whether it shares that
            folder with the driver; empty if it surely does.
        parcel: Files the job needs where the folder is not shared, put into the object store.
    """

    run: str
    job: str
    attempt: int
    threads: int
    marker: str = ""
    parcel: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What comes back.

    Attributes:
        report: The report as JSON; empty if the worker could not begin.
        broken: Message and hint of why it could not.
        said: Something was told to the desk.
        parcel: Files for the run's checkpoints.
    """

    report: str = ""
    broken: tuple[str, str] | None = None
    said: bool = False
    parcel: Parcel = field(default_factory=dict)


class Desk:
    """An actor: what has to be known before a job is over.

    Args:
        setup: The run's, as Ray would send it: this process need not be able to make it.
    """

    def __init__(self, setup: bytes) -> None:
        self._setup = setup
        self._halted = False
        self._said: deque[tuple[int, str, str]] = deque(maxlen=KEPT)
        self._begun: dict[int, int] = {}
        self._verdicts: dict[int, tuple[int, str]] = {}

    def setup(self) -> bytes:
        """The run's setup, for a worker that begins."""
        return self._setup

    def halt(self) -> None:
        """Running works are to raise `Interrupted`."""
        self._halted = True

    def halted(self) -> bool:
        """Whether they are."""
        return self._halted

    def say(self, job: int, topic: str, payload: str) -> None:
        """Progress of a job."""
        self._said.append((job, topic, payload))

    def begin(self, job: int, attempt: int) -> None:
        """A worker begins a job; until then it was queued."""
        self._begun[job] = attempt

    def judge(self, job: int, attempt: int, verdict: str) -> None:
        """A worker is about to end itself because of what its job did."""
        self._verdicts[job] = attempt, verdict

    def take(self) -> tuple[list[tuple[int, str, str]], dict[int, int], dict[int, Any]]:
        """All that was told since the last time."""
        taken = list(self._said), dict(self._begun), dict(self._verdicts)
        self._said.clear()
        self._begun.clear()
        self._verdicts.clear()
        return taken


class _Line:
    """A job's line to the desk; a desk that is being restarted costs messages, never the job."""

    def __init__(self, desk: Any, errand: Errand, job: int) -> None:
        self._ray = ray()
        self._desk = desk
        self._job = job
        self._attempt = errand.attempt
        self._underway: list[Any] = []
        self._question: Any = None
        self._asked = time.monotonic()
        self._halted = False
        self.said = False

    def begin(self) -> None:
        self._desk.begin.remote(self._job, self._attempt)

    def emit(self, topic: str, payload: Mapping[str, Any]) -> None:
        if len(self._underway) >= UNDERWAY:
            _, self._underway = self._ray.wait(
                self._underway, num_returns=len(self._underway), timeout=0
            )
        if len(self._underway) < UNDERWAY:
            self.said = True
            self._underway.append(self._desk.say.remote(self._job, topic, dump(dict(payload))))

    def flush(self) -> None:
        """Have all that was said arrive before the report."""
        if self._underway:
            self._ray.wait(self._underway, num_returns=len(self._underway), timeout=1.0)

    def halted(self) -> bool:
        if self._halted:
            return True
        if self._question is None:
            if time.monotonic() - self._asked >= ASK:
                self._question = self._desk.halted.remote()
            return False
        ready, _ = self._ray.wait([self._question], timeout=0)
        if ready:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._halted = bool(self._ray.get(self._question))
            self._question, self._asked = None, time.monotonic()
        return self._halted

    def judge(self, verdict: str) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(self._desk.judge.remote(self._job, self._attempt, verdict), timeout=5.0)


class Hand:
    """A worker's bench on the cluster; as an actor, one session's.

    Args:
        errand: The first job's; nothing is made of it yet but where files go.
    """

    def __init__(self, errand: Errand) -> None:
        self._desk = ray().get_actor(errand.run)
        setup: Setup = ray().cloudpickle.loads(ray().get(self._desk.setup.remote()))
        limit_threads(errand.threads)
        self._own: tempfile.TemporaryDirectory[str] | None = None
        if setup.checkpoints and errand.marker and not _shared(setup.checkpoints, errand.marker):
            self._own = tempfile.TemporaryDirectory(prefix="nas-", ignore_cleanup_errors=True)
            setup = replace(setup, checkpoints=self._own.name)
        self._setup = setup
        self._line: _Line | None = None
        self._bench = Bench(setup, 0, lambda: self._line is not None and self._line.halted())

    def perform(self, errand: Errand) -> Answer:
        """Do a job."""
        job = Job.from_dict(json.loads(errand.job))
        line = self._line = _Line(self._desk, errand, job.id)
        if self._setup.timeout is not None:
            line.begin()
        folder = None if self._own is None else Path(self._own.name)
        if folder is not None and errand.parcel:
            unpack(folder, ray().get(errand.parcel[0]))
        with _watched(self._setup.memory_mb, line.judge):
            report = self._bench.perform(job, line.emit)
        line.flush()
        parcel: Parcel = {}
        if folder is not None:
            parcel = _ship(folder, job, report)
        return Answer(dump(report.to_dict()), said=line.said, parcel=parcel)


class SessionHand:
    """An actor that holds one session.

    A bench that cannot be made is an answer, not an actor that died.
    """

    def __init__(self) -> None:
        self._hand: Hand | None = None

    def perform(self, errand: Errand) -> Answer:
        """Do a call."""
        try:
            if self._hand is None:
                self._hand = Hand(errand)
        except Exception as error:  # a user's evaluator may raise anything when it is made
            return _broken(error)
        return self._hand.perform(errand)


@dataclass(frozen=True)
class _Key:
    run: str
    errand: Errand = field(compare=False, hash=False)


@lru_cache(maxsize=1)
def _hand(key: _Key) -> Hand:
    return Hand(key.errand)


def perform(errand: Errand) -> Answer:
    """Do an evaluation, as a task; the process keeps its bench for the next one of the run."""
    try:
        hand = _hand(_Key(errand.run, replace(errand, job="", parcel=[])))
    except Exception as error:
        return _broken(error)
    return hand.perform(errand)


def look(checkpoints: str, marker: str) -> tuple[str, bool]:
    """This node's version of the package, and whether it shares the run's folder."""
    import nas

    return nas.__version__, not checkpoints or _shared(checkpoints, marker)


def _shared(checkpoints: str, marker: str) -> bool:
    return (Path(checkpoints) / marker).is_file()


def _broken(error: Exception) -> Answer:
    if isinstance(error, NasError):
        return Answer(broken=(error.message, error.hint))
    return Answer(broken=(f"{type(error).__name__}: {one_line(str(error))}", ""))


def _ship(folder: Path, job: Job, report: Report) -> Parcel:
    """What the job left on a node that does not share the run's folder; it is removed there."""
    scratch = scratch_folder(folder, job.work)
    parcel = pack(folder, scratch)
    remove(scratch)
    if report.checkpoint is not None:
        kept = folder / report.checkpoint.file
        parcel.update(pack(folder, kept))
        for file in folder.glob(f"*{SUFFIX}"):
            if file != kept:
                file.unlink(missing_ok=True)
    return parcel


@contextlib.contextmanager
def _watched(limit: float | None, judge: Callable[[str], None]) -> Any:
    """End this process if it takes more than `limit` megabytes, having said why."""
    if limit is None:
        yield
        return
    over = threading.Event()

    def watch(limit: float) -> None:
        while not over.wait(0.1):
            verdict = out_of_memory(os.getpid(), limit)
            if verdict:
                judge(verdict)
                os.kill(os.getpid(), signal.SIGKILL)

    thread = threading.Thread(target=watch, args=(limit,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
