"""Executors: alike in what they answer, and alive when their workers are not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nas.core.errors import ConfigError, Interrupted, NasError, PluginError
from nas.core.problem import Problem
from nas.core.protocols import Context, Reply
from nas.core.work import Call, Evaluate, Outcome
from nas.engine.events import Event, Notice, Progress
from nas.engine.executors import EXECUTORS
from nas.engine.executors.alarm import alarm
from nas.engine.executors.base import Executor, Setup
from nas.engine.executors.bench import make_evaluator
from nas.engine.executors.processes import ProcessExecutor
from nas.engine.executors.serial import SerialExecutor
from nas.engine.executors.threads import fair_share
from nas.strategies.base import Strategy
from nas.strategies.random import Random
from nas.testing.executors import (
    DIES,
    DIES_ONCE,
    OK,
    Accidents,
    Script,
    check_executor,
    check_function,
)
from nas.testing.replay import Killed, Trial, log_of, same_result
from nas.testing.toys import toy_evaluator, toy_problem


def two() -> Executor:
    return ProcessExecutor(2, patience=0.3)


def hasty() -> Executor:
    return SerialExecutor(1, patience=0.2)


def test_serial_conforms() -> None:
    check_executor(SerialExecutor, isolated=False, timeout=0.1)


@pytest.mark.parametrize("make", [hasty, two])
def test_every_mistake_of_a_function_is_its_candidates_failure(make: Any) -> None:
    check_function(make, timeout=0.3)


def test_an_alarm_is_for_this_thread_and_this_time_only() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        with alarm(30):
            os.kill(os.getpid(), signal.SIGALRM)  # somebody else's
        assert rung == [signal.SIGALRM]
        with pytest.raises(Interrupted), alarm(0.05):
            time.sleep(10)
        with alarm(0.05):
            pass
        time.sleep(0.1)
        assert len(rung) == 1
        outcomes: list[str] = []

        def elsewhere() -> None:
            with alarm(0.02):
                time.sleep(0.1)
            outcomes.append("done")

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert outcomes == ["done"]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_alarm_that_is_not_heeded_rings_again() -> None:
    begun = time.monotonic()

    def stubborn() -> None:
        try:
            time.sleep(10)
        except Exception:
            time.sleep(10)

    with pytest.raises(Interrupted), alarm(0.05):
        stubborn()
    assert 0.5 < time.monotonic() - begun < 5


@pytest.mark.parametrize(("attempts", "expected"), [(1, "failed"), (3, "ok")])
def test_the_death_of_a_worker_counts(tmp_path: Path, attempts: int, expected: str) -> None:
    setup = Setup(
        evaluator="nas.testing.executors:Accidents",
        spec={"folder": str(tmp_path), "seed": 3},
        attempts=attempts,
    )
    trial = Trial(Script((OK, DIES_ONCE, DIES, OK)), toy_problem(), setup, executor=two)
    outcomes = trial.begin(tmp_path).outcomes
    assert [o.status for o in outcomes] == ["ok", expected, "failed", "ok"]
    times = "" if attempts == 1 else f" {attempts} times"
    assert (
        outcomes[2].error == f"the worker process died{times} (killed by SIGKILL, out of memory?)"
    )


def test_processes_conform() -> None:
    check_executor(two, isolated=True, timeout=0.3)


def test_all_are_registered() -> None:
    assert EXECUTORS.names()[:3] == ["serial", "processes", "ray"]
    assert EXECUTORS.get("processes") is ProcessExecutor
    with pytest.raises(ConfigError, match="at least 1"):
        ProcessExecutor(0)


def test_a_synchronous_search_is_the_same_on_both(tmp_path: Path) -> None:
    results = []
    for name, factory in (("a", SerialExecutor), ("b", two)):
        (tmp_path / name).mkdir()
        setup = Setup(evaluator="nas.testing.toys:toy_evaluator")
        trial = Trial(Random({"batch": 5}), toy_problem(), setup, "20evaluations", 3, factory)
        results.append(trial.begin(tmp_path / name))
    assert same_result(*results)
    logs = [sorted(str(row[1:]) for row in log_of(tmp_path / name)) for name in "ab"]
    assert logs[0] == logs[1]


def test_a_killed_worker_costs_nothing_but_its_second_death_does(tmp_path: Path) -> None:
    events: list[Event] = []
    setup = Setup(
        evaluator="nas.testing.executors:Accidents", spec={"folder": str(tmp_path), "seed": 3}
    )
    script = Script((OK, DIES_ONCE, OK, DIES, OK, OK))
    trial = Trial(script, toy_problem(), setup, executor=two)
    result = trial.begin(tmp_path, listeners=(events.append,))
    assert [o.status for o in result.outcomes] == ["ok", "ok", "ok", "failed", "ok", "ok"]
    assert "SIGKILL" in result.outcomes[3].error
    (tmp_path / "quiet").mkdir()
    quiet = Trial(Script((OK,) * 6), toy_problem(), setup).begin(tmp_path / "quiet")
    assert result.extra["looks"] == quiet.extra["looks"]  # sessions came back from checkpoints
    notices = [e.text for e in events if isinstance(e, Notice)]
    assert len([text for text in notices if "tried once more" in text]) == 2


class Hungry:
    """Takes ever more memory, and says so."""

    reports: ClassVar[tuple[str, ...]] = ("error",)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._taken: list[bytes] = []

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        context.emit("progress", {"step": 1, "scalars": {"error": 0.5}})
        while work.budget == 2.0:
            self._taken.append(b"x" * 10_000_000)
            time.sleep(0.005)
        return Reply({"error": 0.5})


class Batch(Strategy):
    """One batch of given budgets."""

    def __init__(self, *budgets: float) -> None:
        super().__init__()
        self._budgets = budgets

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        candidates = problem.sample(len(self._budgets), rng)
        works = zip(candidates, self._budgets, strict=True)
        outcomes: list[Outcome] = yield [Evaluate(c, b) for c, b in works]
        return {"status": [o.status for o in outcomes], "errors": [o.error for o in outcomes]}


def test_a_memory_limit_kills_one_evaluation(tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text(
        "import time\nfrom nas.core.protocols import Reply\n"
        "class Hungry:\n"
        "    reports = ('error',)\n"
        "    def __init__(self, spec): self.taken = []\n"
        "    def evaluate(self, work, context):\n"
        "        context.emit('progress', {'step': 1, 'scalars': {'error': 0.5}})\n"
        "        while work.budget == 2.0:\n"
        "            self.taken.append(b'x' * 10_000_000); time.sleep(0.005)\n"
        "        return Reply({'error': 0.5})\n"
        "from nas.evaluators import EVALUATORS\n"
        "EVALUATORS.register('hungry', 'takes memory')(Hungry)\n"
    )
    events: list[Event] = []
    setup = Setup(
        evaluator="hungry", plugins=(str(tmp_path / "hungry.py"),), memory_mb=600, preload=()
    )
    trial = Trial(Batch(1.0, 2.0, 1.0), toy_problem("error"), setup, executor=two)
    result = trial.begin(tmp_path, listeners=(events.append,))
    assert result.extra["status"] == ["ok", "failed", "ok"]
    assert "out of memory" in result.extra["errors"][1]
    told = [e.to_dict() for e in events if isinstance(e, Progress)]
    assert len(told) == 3
    assert told[0]["event"] == "progress"
    assert told[0]["scalars"] == {"error": 0.5}
    assert "candidate" in told[0]


class Resuming:
    """Stops half-way the first time, and goes on from its scratch folder the second time."""

    reports: ClassVar[tuple[str, ...]] = ("error",)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.stopped = 0

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        assert context.scratch is not None
        half = context.scratch / "half"
        if not half.exists():
            half.write_text("0.25")
            self.stopped += 1
            raise Killed
        error = float(half.read_text())
        half.unlink()
        return Reply({"error": error})


def test_a_work_finds_what_it_left_in_its_scratch_folder(tmp_path: Path) -> None:
    evaluator = Resuming({})
    trial = Trial(Batch(1.0, 1.0), toy_problem("error"), Setup(evaluator=evaluator))
    for _ in range(2):
        with pytest.raises(Killed):
            trial.begin(tmp_path)
    result = trial.begin(tmp_path)
    assert [o.figures["error"] for o in result.outcomes] == [0.25, 0.25]
    assert evaluator.stopped == 2
    assert list((tmp_path / "scratch").iterdir()) == []


def test_progress_is_told_by_the_serial_executor_too(tmp_path: Path) -> None:
    events: list[Event] = []
    trial = Trial(Batch(1.0), toy_problem("error"), Setup(evaluator=Hungry))
    trial.begin(tmp_path, listeners=(events.append,))
    assert len([e for e in events if isinstance(e, Progress)]) == 1


def test_what_cannot_be_sent_to_workers_is_refused_before_work(tmp_path: Path) -> None:
    setup = Setup(evaluator=lambda candidate, budget, seed: {"error": 1.0})
    trial = Trial(Batch(1.0), toy_problem("error"), setup, executor=two)
    with pytest.raises(ConfigError, match="top level of a module"):
        trial.begin(tmp_path)


@pytest.mark.parametrize("factory", [SerialExecutor, two])
def test_an_unknown_evaluator_is_a_plugin_error(tmp_path: Path, factory: Any) -> None:
    for name, message in (("nobody", "unknown evaluator"), ("nas.core.work:no", "imported")):
        setup = Setup(evaluator=name, preload=())
        with pytest.raises(PluginError, match=message):
            Trial(Batch(1.0), toy_problem("error"), setup, executor=factory).begin(tmp_path)


class Killer(Strategy):
    """Calls a session that takes its worker down."""

    sessions: ClassVar[Mapping[str, str]] = {"net": "nas.testing.executors:no_session"}

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        yield [Call("net", "train")]


def test_a_session_that_cannot_be_made_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="no_session"):
        Trial(Killer(), toy_problem("error"), Setup(), executor=two).begin(tmp_path)


def test_workers_go_with_their_executor(tmp_path: Path) -> None:
    executor = ProcessExecutor(2)
    setup = Setup(evaluator="nas.testing.toys:toy_evaluator", preload=())
    Trial(
        Random({"batch": 4}), toy_problem(), setup, "8evaluations", executor=lambda: executor
    ).begin(tmp_path)
    assert all(slot.process is None for slot in executor._slots)


def test_evaluators_are_told_apart_by_what_they_are() -> None:
    assert make_evaluator(Setup()) is None
    made = make_evaluator(Setup(evaluator=Accidents, spec={"folder": "."}))
    assert isinstance(made, Accidents)
    assert make_evaluator(Setup(evaluator=made)) is made
    function = make_evaluator(Setup(evaluator=toy_evaluator))
    assert type(function).__name__ == "FunctionEvaluator"
    work = Evaluate(toy_problem().sample(1, np.random.default_rng(0))[0])
    wrong = make_evaluator(Setup(evaluator=lambda candidate, budget, seed: 0.5))
    assert wrong is not None
    with pytest.raises(TypeError, match="expected a mapping"):
        wrong.evaluate(work, Context())


def test_threads_are_shared_and_the_environment_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0))
    assert fair_share(1) == cores
    assert fair_share(10_000) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert fair_share(1) == 1
