"""A worker's bench: the evaluator, the sessions it holds, and how a job is done.

All executors use it, so a job is done alike in this process and in any other.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.core.errors import (
    CandidateError,
    ConfigError,
    DataError,
    Interrupted,
    NasError,
    SpaceError,
    StoreError,
)
from nas.core.objective import parse_objectives
from nas.core.protocols import Context, Evaluator, Reply, Session
from nas.core.registry import load_plugin
from nas.core.work import Call, Evaluate, Spent
from nas.engine.checkpoints import CheckpointError, check_file, new_name, scratch_folder, seal
from nas.engine.executors.base import Job, Report, Setup
from nas.engine.executors.deaths import timed_out
from nas.engine.records import Checkpoint, dump, not_finite
from nas.engine.seeds import GlobalChance, derive
from nas.engine.tables import EVALUATORS, SESSIONS, resolve
from nas.evaluators import Account

Emit = Callable[[str, Mapping[str, Any]], None]
MAX_ERROR: Final = 500  # characters of an error that are kept


class FunctionEvaluator:
    """Anyone's function of candidate, budget and seed, as an `Evaluator`.

    Args:
        function: Gives a mapping from metric names to finite numbers.
    """

    reports: tuple[str, ...] = ()

    def __init__(self, function: Callable[..., Mapping[str, float]]) -> None:
        self._function = function

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        """Call the function; what it returns are the figures."""
        figures = self._function(work.candidate, work.budget, context.seed)
        if not isinstance(figures, Mapping):
            raise TypeError(
                f"the evaluator returned {type(figures).__name__}, expected a mapping from"
                " metric names to numbers"
            )
        return Reply(figures=figures, spent=Spent(epochs=float(work.budget or 0.0)))


@dataclass
class _Held:
    session: Session
    state: str


class Bench:
    """Does jobs, one at a time.

    Args:
        setup: The run's; its plug-ins are loaded and its evaluator is made now.
        slot: Number of the worker.
        halted: True once running work is to be interrupted.

    Raises:
        NasError: The evaluator or a plug-in cannot be had.
    """

    def __init__(self, setup: Setup, slot: int, halted: Callable[[], bool]) -> None:
        self._setup = setup
        self._halted = halted
        self._device = setup.devices[slot % len(setup.devices)]
        self._sessions: dict[str, _Held] = {}
        self._chance = GlobalChance()
        for plugin in setup.plugins:
            load_plugin(Path(plugin))
        self._evaluator = make_evaluator(setup)
        self._folder = Path(setup.checkpoints) if setup.checkpoints else None

    def close(self) -> None:
        """Let go of the sessions; give the process its own chance back."""
        self._sessions.clear()
        self._chance.restore()

    def perform(self, job: Job, emit: Emit) -> Report:
        """Do one job; every failure becomes a report."""
        begun = time.monotonic()
        limit = self._setup.timeout if isinstance(job.work, Evaluate) else None

        def late() -> bool:
            return limit is not None and time.monotonic() - begun > limit

        def stop() -> bool:
            return self._halted() or late()

        scratch = self._scratch(job)
        context = Context(self._device, job.seed, scratch, stop, emit)
        try:
            if isinstance(job.work, Call):
                report = self._call(job, job.work, context)
            else:
                report = self._evaluate(job, job.work, context)
        except Interrupted:
            if late() and not self._halted():
                report = _failed(job, timed_out(limit or 0.0))
            else:
                report = Report(job.id, "interrupted")
        except Exception as error:  # whatever training code raises is about this job
            report = _explained(job, error)
        finally:
            if scratch is not None:
                _remove_if_empty(scratch)
        if report.status == "failed" and isinstance(job.work, Call):
            self._sessions.pop(job.work.session, None)  # it may be half-way through the call
        spent = report.spent = {"seconds": time.monotonic() - begun, **report.spent}
        if isinstance(job.work, Evaluate):
            spent["evaluations"] = 1
        return report

    def _scratch(self, job: Job) -> Path | None:
        if self._folder is None:
            return None
        if isinstance(job.work, Evaluate) and isinstance(self._evaluator, FunctionEvaluator):
            return None
        folder = scratch_folder(self._folder, job.work)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _evaluate(self, job: Job, work: Evaluate, context: Context) -> Report:
        if self._evaluator is None:
            raise ConfigError("the strategy evaluates candidates, but no evaluator is set")
        self._chance.seed(job.seed)
        reply = self._evaluator.evaluate(work, context)
        lacking = self._lacking(work, reply.figures)
        if lacking:
            gave = ", ".join(map(str, reply.figures)) or "nothing"
            return _failed(job, f"the evaluator gave {gave}, not {lacking!r}", reply.spent)
        return _answer(job, reply, changed=False)

    def _lacking(self, work: Evaluate, figures: Mapping[str, float]) -> str:
        """A figure that the evaluator should have given and has not; empty if there is none.

        Without training a class may know less than the objectives; of a training in full it must
        give the goal on data that no search sees.
        """
        texts = self._setup.spec.get("objectives")
        plain = isinstance(self._evaluator, FunctionEvaluator)
        if not texts or (work.budget == 0 and not plain):
            return ""
        wanted = [objective.metric for objective in parse_objectives(texts)]
        account = Account.of("", self._evaluator)
        if work.split == "test" and account.in_full:
            wanted += [account.goal, account.tested]
        return next((metric for metric in wanted if metric not in figures), "")

    def _call(self, job: Job, call: Call, context: Context) -> Report:
        try:
            held = self._bring(job, call, context)
        except CheckpointError as error:
            return Report(job.id, "stateless", error=str(error))
        self._chance.seed(job.seed)
        reply = held.session.call(call.method, call.arguments, context)
        if call.method in held.session.readonly:
            return _answer(job, reply, changed=False)
        report = _answer(job, reply, changed=True)
        if report.status == "failed":
            return report
        held.state = job.key
        if self._folder is None:
            return report
        file = new_name(call.session, job.key)
        try:
            held.session.save(self._folder / file)
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter
            raise StoreError(
                f"checkpoint {file} cannot be written: {one_line(str(error))}", "is the disk full?"
            ) from error
        size, crc = seal(self._folder / file)
        report.checkpoint = Checkpoint(call.session, job.key, file, size, crc)
        return report

    def _bring(self, job: Job, call: Call, context: Context) -> _Held:
        """The session in the state that the call needs."""
        held = self._sessions.get(call.session)
        if held is not None and held.state == job.before:
            return held
        self._sessions.pop(call.session, None)
        session = self._new(call.session, context)
        if job.calls is not None:
            for earlier, seed in job.calls:
                past = Context(
                    context.device, seed, context.scratch, context.should_stop, context.emit
                )
                self._chance.seed(seed)
                session.call(earlier.method, earlier.arguments, past)
        elif job.before != job.start:
            self._load(session, job)
        held = self._sessions[call.session] = _Held(session, job.before)
        return held

    def _new(self, name: str, context: Context) -> Session:
        target = self._setup.sessions.get(name)
        if target is None:
            known = ", ".join(self._setup.sessions) or "none"
            raise ConfigError(f"the strategy calls the session {name!r}", f"it declares {known}")
        seed = derive(self._setup.seed, "session", name)
        first = Context(context.device, seed, context.scratch, context.should_stop, context.emit)
        self._chance.seed(seed)
        session: Session = resolve(SESSIONS, target)(self._setup.spec, first)
        return session

    def _load(self, session: Session, job: Job) -> None:
        checkpoint = job.checkpoint
        if checkpoint is None or checkpoint.state != job.before or self._folder is None:
            raise CheckpointError("it has no checkpoint of that state")
        path = self._folder / checkpoint.file
        check_file(path, checkpoint)
        try:
            session.load(path)
        except (Interrupted, MemoryError, DataError):
            raise  # making the calls again on other data would give another run's answers
        except Exception as error:  # any reader of a damaged file may raise anything
            raise CheckpointError(
                f"its checkpoint cannot be read: {type(error).__name__}: {error}"
            ) from error


def make_evaluator(setup: Setup) -> Evaluator | None:
    """The evaluator that `setup` names; None for nobody.

    Raises:
        PluginError: It cannot be found.
    """
    target: Any = setup.evaluator
    if isinstance(target, str):
        if not target:
            return None
        name = target.partition(":")[0]  # "table:DIR" is the evaluator "table"; it reads DIR itself
        target = EVALUATORS.get(name) if name in EVALUATORS else resolve(EVALUATORS, target)
    if isinstance(target, Evaluator) and not inspect.isclass(target):
        return target
    if inspect.isclass(target) or _required(target) == 1:
        made: Evaluator = target(setup.spec)
        return made
    return FunctionEvaluator(target)


def _required(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 3
    return sum(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in parameters
    )


def _answer(job: Job, reply: Reply, *, changed: bool) -> Report:
    """The reply as it will be read from the store, so that live and replayed are alike."""
    figures, value, curve = json.loads(dump([reply.figures, reply.value, reply.curve]))
    wrong = not_finite(figures)
    if wrong:
        return _failed(job, f"figure {wrong!r} is {figures[wrong]!r}", reply.spent)
    return Report(
        job=job.id,
        status="ok",
        figures=figures,
        value=value,
        curve=curve,
        spent=_cost(reply.spent),
        changed=changed,
    )


def _cost(spent: Spent) -> dict[str, float]:
    """The parts that are not nothing; the time is measured where it is not told."""
    return {name: amount for name, amount in vars(spent).items() if amount}


def _failed(job: Job, error: str, spent: Spent | None = None) -> Report:
    if spent is None:  # what it was allowed to spend is the best guess of what it did
        work = job.work
        spent = Spent(epochs=float(work.budget or 0.0)) if isinstance(work, Evaluate) else Spent()
    return Report(job.id, "failed", error=one_line(error), spent=_cost(spent))


def _explained(job: Job, error: Exception) -> Report:
    """A candidate's failure is recorded; a broken environment or session ends the run."""
    kind, text = type(error).__name__, one_line(str(error))
    if isinstance(error, CandidateError):
        return _failed(job, text, getattr(error, "spent", None))
    fatal = isinstance(error, ConfigError | DataError) and not isinstance(error, SpaceError)
    if not fatal and isinstance(job.work, Evaluate):
        if isinstance(error, MemoryError) or kind == "OutOfMemoryError":
            return _failed(job, f"out of memory: {text}")
        return _failed(job, f"{kind}: {text}{_where(error)}")
    if isinstance(error, NasError):
        return Report(job.id, "fatal", error=error.message, hint=error.hint, kind=kind)
    what = job.work
    message = (
        f"session {what.session!r} failed in {what.method!r}: " if isinstance(what, Call) else ""
    )
    return Report(
        job.id,
        "fatal",
        error=f"{message}{kind}: {text}{_where(error)}",
        kind=kind,
        detail=traceback.format_exc(),
    )


def one_line(text: str) -> str:
    """`text` without line breaks, cut to a readable length."""
    text = " ".join(text.split())
    return text if len(text) <= MAX_ERROR else text[: MAX_ERROR - 3] + "..."


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds a mid-training checkpoint, or is shared
        folder.rmdir()
