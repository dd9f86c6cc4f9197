"""What the engine asks of an executor, and the plain data that goes back and forth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from nas.core.work import Call, Evaluate, Work, work_from_dict
from nas.engine.records import Checkpoint

EvaluatorTarget: TypeAlias = "str | Callable[..., Any]"
"""A registered name, "module:function", or (serial only, or importable) a callable."""


@dataclass(frozen=True)
class Setup:
    """What every worker of a run needs to know; JSON-able but for a callable evaluator.

    Attributes:
        evaluator: Who evaluates candidates; empty for nobody.
        spec: The run's specification, passed to evaluator and session factories.
        sessions: Name of each session the strategy may call, to the factory's registered name
            or "module:function".
        plugins: Python files to run first.
        seed: The run's seed.
        devices: Worker number i uses number i modulo their count.
        checkpoints: Folder of the sessions' files and of scratch folders; empty for none.
        threads: CPU threads torch may use in each worker; None for the executor's choice.
        timeout: Seconds an evaluation may take; None for no limit.
        memory_mb: Resident megabytes a worker process may take; None for no limit.
        attempts: How often a work is begun before the death of its worker is its failure.
        per_device: Workers that may share a CUDA device, where the executor gives devices out.
        address: HOST:PORT of the cluster that works are sent to; empty for this machine.
        preload: Modules to import once before workers are forked; None for torch if it seems
            to be used.
    """

    evaluator: EvaluatorTarget = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    seed: int = 0
    devices: tuple[str, ...] = ("cpu",)
    checkpoints: str = ""
    threads: int | None = None
    timeout: float | None = None
    memory_mb: float | None = None
    attempts: int = 2
    per_device: int = 1
    address: str = ""
    preload: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Job:
    """A work handed to a worker.

    Attributes:
        id: Number, unique in this process.
        key: Identity of the work in the run.
        work: The work.
        seed: Seed derived from the run's seed and the key.
        before: For a call, key of the state the session must be in.
        checkpoint: For a call, the session's committed state.
        calls: For a call, those to make on a new session to reach `before`, with their seeds;
            None to start from the checkpoint (or from nothing, if `before` is the start).
        start: For a call, key of the state of a new session.
    """

    id: int
    key: str
    work: Work
    seed: int
    before: str = ""
    start: str = ""
    checkpoint: Checkpoint | None = None
    calls: Sequence[tuple[Call, int]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data that `from_dict` reads."""
        calls = self.calls
        return {
            "id": self.id,
            "key": self.key,
            "work": self.work.to_dict(),
            "seed": self.seed,
            "before": self.before,
            "start": self.start,
            "checkpoint": None if self.checkpoint is None else asdict(self.checkpoint),
            "calls": None if calls is None else [[call.to_dict(), seed] for call, seed in calls],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Job:
        """The job that `to_dict` described."""
        calls: list[tuple[Call, int]] | None = None
        if data["calls"] is not None:
            calls = []
            for item, seed in data["calls"]:
                call = work_from_dict(item)
                if isinstance(call, Call):
                    calls.append((call, seed))
        checkpoint = data["checkpoint"]
        return cls(
            id=data["id"],
            key=data["key"],
            work=work_from_dict(data["work"]),
            seed=data["seed"],
            before=data["before"],
            start=data["start"],
            checkpoint=None if checkpoint is None else Checkpoint(**checkpoint),
            calls=calls,
        )


ReportStatus = Literal["ok", "failed", "interrupted", "fatal", "stateless"]


@dataclass
class Report:
    """What a worker says at the end of a job.

    Attributes:
        job: Number of the job.
        status: "ok"; "failed": recorded as such; "interrupted": not recorded; "fatal": ends the
            run, not recorded; "stateless": the session could not be brought into the state the
            call needs from its checkpoint (`error` says why), try again with the calls.
        figures: Finite numbers.
        value: A call's answer.
        curve: Figure name to values after each epoch.
        error: Why not "ok", in one line.
        hint: What to do about it.
        kind: Class of the error.
        detail: Traceback of a mistake in code.
        spent: The four parts of the cost.
        changed: The call changed its session.
        checkpoint: The session's new state on disk.
    """

    job: int
    status: ReportStatus
    figures: Mapping[str, float] = field(default_factory=dict)
    value: Any = None
    curve: Mapping[str, list[float]] = field(default_factory=dict)
    error: str = ""
    hint: str = ""
    kind: str = ""
    detail: str = ""
    spent: Mapping[str, float] = field(default_factory=dict)
    changed: bool = False
    checkpoint: Checkpoint | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data that `from_dict` reads."""
        data = dict(self.__dict__)
        data["checkpoint"] = None if self.checkpoint is None else asdict(self.checkpoint)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """The report that `to_dict` described."""
        checkpoint = data["checkpoint"]
        return cls(
            **{**data, "checkpoint": None if checkpoint is None else Checkpoint(**checkpoint)}
        )


@dataclass(frozen=True)
class Said:
    """What a worker emitted during a job."""

    job: int
    topic: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Warned:
    """Something about the workers that a person should know."""

    text: str


Message: TypeAlias = Report | Said | Warned


class Executor(Protocol):
    """Runs jobs, somewhere, and tells what became of them.

    The engine calls from one thread. A job is reported exactly once. Calls to one session are
    submitted one at a time; the executor keeps a session with the worker that has it.

    What one cannot do is refused before work starts. Its class may say, each False by default,

    - `in_process`: it works in the caller's process, with one worker whose memory is not limited;
    - `clustered`: it takes an address, and gives its workers their devices,

    and may have a static method `check(address)`, which raises a `NasError` if it cannot be used.
    """

    def __init__(self, workers: int = 1) -> None: ...

    def start(self, setup: Setup, overdue: Callable[[], bool]) -> None:
        """Get ready; `overdue` is True once running work is to be interrupted."""
        ...

    def accepts(self, work: Evaluate | Call) -> bool:
        """Whether a worker is free for `work` now."""
        ...

    def submit(self, job: Job) -> None:
        """Begin; only after `accepts`."""
        ...

    def wait(self, timeout: float) -> list[Message]:
        """What happened, after at most `timeout` seconds; a serial executor does its job here."""
        ...

    def halt(self) -> None:
        """Ask running works to raise `Interrupted` soon."""
        ...

    def close(self, *, kill: bool = False) -> None:
        """Let the workers go; at once and in the middle of work if `kill`."""
        ...
