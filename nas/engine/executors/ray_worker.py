"""What runs on a Ray cluster: the worker's side of the executor `ray`.

A `Hand` holds a bench: one for each worker process that does tasks, one for each session's actor.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nas.core.errors import NasError
from nas.core.version import VERSION
from nas.engine.checkpoints import SUFFIX, scratch_folder
from nas.engine.executors.base import Job, Report, Setup
from nas.engine.executors.bench import Bench, one_line
from nas.engine.executors.deaths import out_of_memory
from nas.engine.executors.parcels import Parcel, pack, remove, unpack
from nas.engine.executors.ray_desk import WorkerLine
from nas.engine.executors.ray_module import ray
from nas.engine.executors.threads import limit_threads
from nas.engine.records import dump


@dataclass(frozen=True)
class Errand:
    """What a worker of the cluster needs to do a job.

    Attributes:
        run: Name of the desk, new in each executor's life; a worker keeps its bench for one. Plain
            text, as handles and references in arguments cost Ray more than all the rest.
        job: The job as JSON.
        attempt: Number of the attempt, from 1.
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
        self._line: WorkerLine | None = None
        self._bench = Bench(setup, 0, lambda: self._line is not None and self._line.halted())

    def perform(self, errand: Errand) -> Answer:
        """Do a job."""
        job = Job.from_dict(json.loads(errand.job))
        line = self._line = WorkerLine(self._desk, job.id, errand.attempt)
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
    return VERSION, not checkpoints or _shared(checkpoints, marker)


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
