"""What every executor must do, whatever machines are behind it."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nas.core.architecture import Candidate
from nas.core.errors import CandidateError, Interrupted
from nas.core.problem import Problem
from nas.core.protocols import Context, Reply
from nas.core.work import Call, Evaluate, Outcome, Request, Spent
from nas.engine.executors.base import Executor, Setup
from nas.engine.executors.serial import SerialExecutor
from nas.strategies.base import Strategy
from nas.testing.replay import Trial, log_of, same_result
from nas.testing.toys import toy_figures, toy_problem

OK, DIES_ONCE, DIES, HANGS, RAISES, FAILS, NAN = 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0
"""Budgets by which `Accidents` and `careless` know what is to happen."""

TEXT, LACKS, NOTHING, DEAF = 8.0, 9.0, 10.0, 11.0
"""The same, of `careless` only."""


class Accidents:
    """An evaluator to which things happen, by the work's budget.

    Args:
        spec: Its "folder" is where it notes what has happened once.
    """

    reports: ClassVar[tuple[str, ...]] = ("error", "params")

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._folder = Path(str(spec["folder"]))

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        """Figures, or an accident."""
        what = work.budget
        if what == DIES or (what == DIES_ONCE and self._first(work)):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == RAISES:
            raise ZeroDivisionError("division by nothing")
        if what == FAILS:
            raise CandidateError("the loss is NaN")
        while what == HANGS:
            time.sleep(0.01)
            if context.should_stop():
                raise Interrupted
        figures = toy_figures(work.candidate, work.budget, context.seed)
        if what == NAN:
            figures["error"] = float("nan")
        return Reply(figures, spent=Spent(epochs=1.0))

    def _first(self, work: Evaluate) -> bool:
        mark = self._folder / f"died-{work.candidate.id}"
        if mark.exists():
            return False
        mark.touch()
        return True


def careless(
    candidate: Candidate, budget: float | None, seed: int
) -> dict[str, float | str] | None:
    """A function as people write them, with every mistake by its budget."""
    figures: dict[str, float | str] = {**toy_figures(candidate, budget, seed)}
    if budget == RAISES:
        raise ZeroDivisionError("division by nothing")
    if budget == NAN:
        figures["error"] = float("nan")
    if budget == TEXT:
        figures["error"] = "small"
    if budget == LACKS:
        del figures["params"]
    while budget == DEAF:
        time.sleep(0.01)
    return None if budget == NOTHING else figures


class Script(Strategy):
    """Asks for one batch with accidents in it, and for calls to two sessions.

    Args:
        accidents: The budgets to ask for.
    """

    sessions: ClassVar[Mapping[str, str]] = {
        "one": "nas.testing.toys:ToySession",
        "two": "nas.testing.toys:ToySession",
    }

    def __init__(self, accidents: tuple[float, ...]) -> None:
        super().__init__()
        self._accidents = accidents

    def run(
        self, problem: Problem, rng: np.random.Generator
    ) -> Generator[Request, Any, Mapping[str, Any]]:
        """Ask, and return what was told."""
        candidates = problem.sample(len(self._accidents), rng)
        calls = [Call(name, "train", epochs=n) for n in (1, 2, 3) for name in ("one", "two")]
        works = zip(candidates, self._accidents, strict=True)
        told: list[Outcome] = yield [*calls, *(Evaluate(c, what) for c, what in works)]
        looks: list[Outcome] = yield [Call("one", "look"), Call("two", "look")]
        return {
            "status": [outcome.status for outcome in told],
            "errors": [outcome.error for outcome in told],
            "looks": [outcome.value for outcome in looks],
        }


def check_executor(
    make: Callable[[], Executor], *, isolated: bool, timeout: float | None = 1.0
) -> None:
    """Check an executor against the serial one.

    Args:
        make: Makes a new executor.
        isolated: Its workers can die without it.
        timeout: Seconds that evaluations get, for the one that hangs.

    Raises:
        AssertionError: It does something else than it must.
    """
    accidents = [OK, RAISES, FAILS, NAN, OK, HANGS]
    if isolated:
        accidents += [DIES_ONCE, DIES, OK]
    results = []
    for factory, script in ((make, accidents), (make, [OK] * 6), (SerialExecutor, [OK] * 6)):
        with tempfile.TemporaryDirectory(prefix="nas-") as name:
            setup = Setup(
                evaluator="nas.testing.executors:Accidents",
                spec={"folder": name, "seed": 3},
                timeout=timeout,
            )
            trial = Trial(Script(tuple(script)), toy_problem(), setup, executor=factory)
            result = trial.begin(Path(name))
            results.append((result, sorted(map(str, (row[1:] for row in log_of(Path(name)))))))
    _check_accidents(results[0][0].extra, isolated)
    if not same_result(results[1][0], results[2][0]) or results[1][1] != results[2][1]:
        raise AssertionError("the executor's outcomes differ from the serial one's")


def check_function(make: Callable[[], Executor], timeout: float = 0.3) -> None:
    """Check that every mistake of a plain function is its candidate's failure, and nothing else.

    Args:
        make: Makes a new executor, with little patience after a time-out.
        timeout: Seconds that evaluations get, for the one that takes for ever.

    Raises:
        AssertionError: A mistake had another consequence.
    """
    hints = {
        OK: "",
        RAISES: "ZeroDivisionError: division by nothing",
        NAN: "figure 'error' is nan",
        TEXT: "figure 'error' is 'small'",
        LACKS: "not 'params'",
        NOTHING: "expected a mapping",
        DEAF: f"timed out after {timeout:g} s",
    }
    script = (*hints, OK)
    setup = Setup(
        evaluator="nas.testing.executors:careless",
        spec={"seed": 3, "objectives": ["error", "params"]},
        timeout=timeout,
    )
    with tempfile.TemporaryDirectory(prefix="nas-") as name:
        trial = Trial(Script(script), toy_problem(), setup, executor=make)
        extra = trial.begin(Path(name)).extra
        stored = log_of(Path(name))
    evaluations = [row for row in stored if row[2].get("candidate")]
    if len(evaluations) != len(script):
        raise AssertionError(f"{len(evaluations)} of {len(script)} evaluations are stored")
    told = zip(script, extra["status"][6:], extra["errors"][6:], strict=True)
    for what, status, error in told:
        if status != ("failed" if hints[what] else "ok") or hints[what] not in error:
            raise AssertionError(f"{status}, {error!r}; expected something about {hints[what]!r}")


def _check_accidents(extra: Mapping[str, Any], isolated: bool) -> None:
    expected = ["ok", "failed", "failed", "failed", "ok", "failed"]
    expected += ["ok", "failed", "ok"] if isolated else []
    status, errors = extra["status"][6:], extra["errors"][6:]
    if extra["status"][:6] != ["ok"] * 6 or status != expected:
        raise AssertionError(f"statuses {status}, expected {expected}; errors {errors}")
    hints = ["", "ZeroDivisionError", "NaN", "error", "", "timed out"]
    hints += ["", "died", ""] if isolated else []
    for error, hint in zip(errors, hints, strict=True):
        if hint not in error or bool(hint) != bool(error):
            raise AssertionError(f"error {error!r}, expected something about {hint!r}")
