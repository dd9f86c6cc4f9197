"""The executor `ray` on a cluster of one machine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nas.core.errors import ConfigError, NasError
from nas.core.protocols import Context, Reply
from nas.core.work import Call, Evaluate
from nas.engine.errors import ClusterError
from nas.engine.events import Event, Notice, Progress
from nas.engine.executors import EXECUTORS
from nas.engine.executors.base import Executor, Setup
from nas.engine.executors.ray import RayExecutor
from nas.engine.executors.serial import SerialExecutor
from nas.strategies.base import Strategy
from nas.strategies.random import Random
from nas.testing.executors import (
    DIES,
    DIES_ONCE,
    HANGS,
    OK,
    Script,
    check_executor,
    check_function,
)
from nas.testing.replay import Trial, same_result
from nas.testing.toys import toy_problem

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(240)]

ACCIDENTS = "nas.testing.executors:Accidents"


def two() -> Executor:
    return RayExecutor(2, patience=0.3)


def test_it_conforms() -> None:
    assert EXECUTORS.get("ray") is RayExecutor
    check_executor(two, isolated=True, timeout=0.5)


@pytest.mark.slow
def test_every_mistake_of_a_function_is_its_candidates_failure() -> None:
    check_function(two, timeout=0.5)


@pytest.mark.slow
def test_nothing_is_lost_where_the_nodes_do_not_share_the_folder(tmp_path: Path) -> None:
    results = []
    for name, make in (("a", lambda: RayExecutor(2, shared=False)), ("b", SerialExecutor)):
        (tmp_path / name).mkdir()
        setup = Setup(evaluator=ACCIDENTS, spec={"folder": str(tmp_path), "seed": 3})
        trial = Trial(Script((OK, OK)), toy_problem(), setup, executor=make)
        results.append(trial.begin(tmp_path / name))
    assert same_result(*results)
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "a").glob("*.session"))
    assert kept == ["one", "two"]
    assert not list((tmp_path / "a").glob(".*"))


class Leaving:
    """Leaves a file beside its work, and says whether it found the one of a smaller budget."""

    reports: ClassVar[tuple[str, ...]] = ("error",)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        pass

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        assert context.scratch is not None
        found = sorted(path.name for path in context.scratch.iterdir())
        (context.scratch / f"{work.budget:g}").write_text("state")
        return Reply({"error": float(len(found))})


class Promoting(Strategy):
    """Asks for the same candidate at growing budgets."""

    def run(self, problem: Any, rng: np.random.Generator) -> Any:
        (candidate,) = problem.sample(1, rng)
        errors = []
        for budget in (1.0, 2.0, 3.0):
            (told,) = yield [Evaluate(candidate, budget)]
            errors.append(told.figures["error"])
        return {"errors": errors}


@pytest.mark.parametrize("shared", [pytest.param(None, marks=pytest.mark.slow), False])
def test_longer_trainings_find_what_shorter_ones_left(tmp_path: Path, shared: bool | None) -> None:
    trial = Trial(
        Promoting(),
        toy_problem("error"),
        Setup(evaluator=Leaving),
        executor=lambda: RayExecutor(2, shared=shared),
    )
    assert trial.begin(tmp_path).extra["errors"] == [0.0, 1.0, 2.0]
    left = sorted(path.name for path in (tmp_path / "scratch").rglob("*") if path.is_file())
    assert left == ["1", "2", "3"]


@pytest.mark.slow
def test_sessions_make_room_where_there_is_one_gpu(tmp_path: Path) -> None:
    events: list[Event] = []
    results = []
    for name, make in (("a", lambda: RayExecutor(2)), ("b", SerialExecutor)):
        (tmp_path / name).mkdir()
        setup = Setup(
            evaluator=ACCIDENTS, spec={"folder": str(tmp_path), "seed": 3}, devices=("cuda:0",)
        )
        trial = Trial(Script((OK, OK)), toy_problem(), setup, executor=make)
        results.append(trial.begin(tmp_path / name, listeners=(events.append,)))
    assert same_result(*results)
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert notices == [
        "the Ray cluster has room for 1 of 2 workers; the others wait for their turn"
    ]


def test_a_cluster_without_room_is_refused_before_work(tmp_path: Path) -> None:
    for setup in (Setup(evaluator=ACCIDENTS, threads=64), Setup(evaluator=ACCIDENTS, threads=3)):
        trial = Trial(Script((OK,)), toy_problem(), setup, executor=two)
        with pytest.raises(ClusterError, match="no node of the Ray cluster has room") as caught:
            trial.begin(tmp_path)
        assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("attempts", "expected"), [pytest.param(1, "failed", marks=pytest.mark.slow), (2, "ok")]
)
def test_the_death_of_a_worker_counts(tmp_path: Path, attempts: int, expected: str) -> None:
    events: list[Event] = []
    setup = Setup(evaluator=ACCIDENTS, spec={"folder": str(tmp_path), "seed": 3}, attempts=attempts)
    trial = Trial(Script((OK, DIES_ONCE, DIES, OK)), toy_problem(), setup, executor=two)
    result = trial.begin(tmp_path, listeners=(events.append,))
    assert [o.status for o in result.outcomes] == ["ok", expected, "failed", "ok"]
    times = "" if attempts == 1 else f" {attempts} times"
    assert result.outcomes[2].error.startswith(f"the worker process died{times} (")
    again = [e.text for e in events if isinstance(e, Notice) and "tried once more" in e.text]
    assert len(again) == (0 if attempts == 1 else 2)


HUNGRY = """
import time
from nas.core.protocols import Reply
from nas.evaluators import EVALUATORS

@EVALUATORS.register("hungry-on-ray", "takes memory")
class Hungry:
    reports = ("error",)
    def __init__(self, spec):
        self.taken = []
    def evaluate(self, work, context):
        for step in range(3):
            context.emit("progress", {"step": step, "scalars": {"error": 0.5}})
        while work.budget == 4.0:  # HANGS
            self.taken.append(b"x" * 10_000_000)
            time.sleep(0.005)
        return Reply({"error": 0.5, "params": 1.0})
"""


@pytest.mark.slow
def test_a_memory_limit_ends_one_evaluation_and_progress_is_told(tmp_path: Path) -> None:
    plugin = tmp_path / "hungry_on_ray.py"
    plugin.write_text(HUNGRY)
    events: list[Event] = []
    setup = Setup(evaluator="hungry-on-ray", plugins=(str(plugin),), memory_mb=800)
    trial = Trial(Script((OK, HANGS, OK)), toy_problem(), setup, executor=two)
    result = trial.begin(tmp_path, listeners=(events.append,))
    assert [o.status for o in result.outcomes] == ["ok", "failed", "ok"]
    assert "out of memory: " in result.outcomes[1].error
    assert "800 MB allowed" in result.outcomes[1].error
    told = [e.to_dict() for e in events if isinstance(e, Progress)]
    assert len(told) == 9
    assert told[0]["scalars"] == {"error": 0.5}


@pytest.mark.slow
def test_any_function_can_be_sent_but_not_what_it_cannot_take_along(tmp_path: Path) -> None:
    setup = Setup(evaluator=lambda candidate, budget, seed: {"error": 0.25})
    trial = Trial(Random({"batch": 2}), toy_problem("error"), setup, "4evaluations", executor=two)
    assert {o.figures["error"] for o in trial.begin(tmp_path).outcomes} == {0.25}
    lock = threading.Lock()

    def locked(candidate: Any, budget: Any, seed: int) -> dict[str, float]:
        with lock:
            return {"error": 0.25}

    with pytest.raises(ConfigError, match="cannot be sent to Ray"):
        Trial(Random(), toy_problem(), Setup(evaluator=locked), executor=two).begin(tmp_path)
    with pytest.raises(ConfigError, match="at least 1"):
        RayExecutor(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nobody", "nas.core.work:no"])
def test_an_unknown_evaluator_ends_the_run(tmp_path: Path, name: str) -> None:
    trial = Trial(Random(), toy_problem(), Setup(evaluator=name), "4evaluations", executor=two)
    with pytest.raises(NasError, match=r"unknown evaluator|imported"):
        trial.begin(tmp_path)


class Killer(Strategy):
    """Calls a session that is not there."""

    sessions: ClassVar[Mapping[str, str]] = {"net": "nas.testing.executors:no_session"}

    def run(self, problem: Any, rng: np.random.Generator) -> Any:
        yield [Call("net", "train")]


@pytest.mark.slow
def test_a_session_that_cannot_be_made_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="no_session"):
        Trial(Killer(), toy_problem("error"), Setup(), executor=two).begin(tmp_path)
