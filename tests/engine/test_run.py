"""A run's folder: what it holds, what it refuses, what it answers."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nas.core.architecture import Candidate
from nas.core.config import RunConfig
from nas.core.errors import ConfigError, DataError, NasError, StoreError
from nas.core.problem import Problem
from nas.core.work import Call, Evaluate
from nas.engine import folder as files
from nas.engine.budget import Budget
from nas.engine.errors import RunFailed
from nas.engine.events import Event, Finished, Notice, Stopping
from nas.engine.executors.base import Setup
from nas.engine.loop import PhaseResult, Stage
from nas.engine.run import Plan, Run
from nas.engine.store import Store
from nas.strategies.base import Strategy
from nas.strategies.random import Random
from nas.testing.toys import Alternating, ToySession, toy_evaluator, toy_figures, toy_problem


def config(**more: Any) -> RunConfig:
    values: dict[str, Any] = {
        "space": "toy",
        "strategy": "random",
        "evaluator": "toys",
        "objectives": ("error:min", "params:min"),
        "budget": "12evaluations",
        **more,
    }
    return RunConfig(**values)


def plan(
    run: Run,
    strategy: Strategy | None = None,
    evaluator: Callable[..., Any] = toy_evaluator,
    stages: tuple[Stage, ...] = (),
    **more: Any,
) -> Plan:
    searcher = strategy or Random()
    search = Stage("search", lambda p, r, _: searcher.run(p, r), Budget.parse(run.config.budget))
    setup = Setup(evaluator=evaluator, spec={"seed": 1}, sessions=searcher.sessions)
    return Plan(toy_problem(*run.config.objectives), [search, *stages], setup, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "x"


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    run = Run.create(folder, config())
    yield run
    run.close()


def test_a_finished_run_leaves_what_the_contract_names(run: Run, folder: Path) -> None:
    result = run.execute(plan(run))
    assert (result.status, result.exit_code) == ("done", 0)
    assert result.best is not None
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "done"
    assert record["spent"]["evaluations"] == 12
    assert record["seed"] == 0
    assert {"device", "command", "versions"} <= set(record)
    assert RunConfig(**yaml.safe_load((folder / "config.yaml").read_text())) == config()
    front = json.loads((folder / "front.json").read_text())
    assert front["format"] == 1
    assert [o["name"] for o in front["objectives"]] == ["error", "params"]
    assert {"id", "architecture", "recipe", "figures"} <= set(front["points"][0])
    assert front["hypervolume"] == pytest.approx(result.hypervolume)
    with (folder / "front.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(front["points"]) == len(run.front)
    assert (folder / "checkpoints").is_dir()
    assert not list(folder.glob(".*"))
    line = json.loads(json.dumps(result.to_dict()))
    assert line["status"] == "done"
    assert {"architecture", "recipe", "figures"} <= set(line["best"])
    assert line["spent"]["evaluations"] == 12


def test_python_names_of_a_run(run: Run) -> None:
    run.execute(plan(run))
    assert run.best is not None
    for entry in (run.best, *run.front, *run.history):
        assert isinstance(entry.candidate, Candidate)
        assert set(entry.figures) == {"error", "params"}
        assert entry.status == "ok"
        assert entry.budget is None
    assert len(run.history) == 12
    assert run.best.figures["error"] == min(e.figures["error"] for e in run.history)
    assert run.pareto.hypervolume() > 0


def test_the_same_in_memory(run: Run) -> None:
    there = run.execute(plan(run))
    with Run.create(None, config()) as other:
        here = other.execute(plan(other))
        assert here.best is not None
        assert there.best is not None
        assert here.best.figures == there.best.figures
        assert here.run == here.resume_command == ""
        assert other.status()["counts"]["ok"] == 12


def test_a_run_let_go_of_leaves_its_files_alone(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.execute(plan(run))
    run.release()
    store = folder / "store.sqlite"
    before = (store.stat().st_size, store.stat().st_mtime_ns)
    alone = tmp_path / "alone.sqlite"
    alone.write_bytes(store.read_bytes())
    with contextlib.closing(Store(alone)) as copy:
        assert len(list(copy.history())) == 12
    assert len(run.history) == 12  # it can still be asked
    run.close()
    assert (store.stat().st_size, store.stat().st_mtime_ns) == before

    def full(self: Store) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(Store, "settle", full)
    with Run.resume(folder) as again:
        again.release()  # no reason to fail, nor to keep others out
        Run.resume(folder).close()


def test_going_on_with_a_finished_run_changes_nothing(run: Run, folder: Path) -> None:
    first = run.execute(plan(run))
    run.close()
    again = Run.resume(folder)

    def refuse(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
        raise AssertionError("paid twice")

    second = again.execute(plan(again, evaluator=refuse))
    again.close()
    assert first.best is not None
    assert second.best is not None
    assert first.best.figures == second.best.figures
    assert first.spent.evaluations == second.spent.evaluations


def test_a_run_can_be_extended(run: Run, folder: Path) -> None:
    run.execute(plan(run))
    run.close()
    with pytest.raises(ConfigError, match="adds epochs but the run's budget is 12evaluations"):
        Run.resume(folder, budget="+3epochs")
    more = Run.resume(folder, budget="+5evaluations")
    assert more.config.budget == "17evaluations"
    more.execute(plan(more))
    assert len(more.history) == 17
    more.close()
    with Run.create(None, config(budget="17evaluations")) as whole:
        whole.execute(plan(whole))
        assert [e.figures for e in whole.history] == [e.figures for e in Run.look(folder).history]
    assert Run.look(folder).config.budget == "17evaluations"


def test_a_search_and_a_finale_with_its_own_account(run: Run, folder: Path) -> None:
    def finale(
        problem: Problem, rng: np.random.Generator, before: Mapping[str, PhaseResult]
    ) -> Generator[Any, Any, Any]:
        best = problem.best(before["search"].outcomes).candidate
        assert before["search"].spent.evaluations == 12
        wide = Candidate(best.architecture, scale={"channels": 2})
        arms = [Evaluate(wide, 30, seed=s, tags={"arm": "found"}) for s in range(3)]
        other = problem.sample(1, rng)[0]
        yield [*arms, Evaluate(other, 30, tags={"arm": "random"})]
        return {"found": [best], "baseline": {"better": True}}

    result = run.execute(plan(run, stages=(Stage("finale", finale),)))
    assert result.to_dict()["baseline"] == {"better": True}
    assert result.best is not None
    assert result.best.candidate.scale == {"channels": 2}
    trained = [e for e in run.history if e.tags.get("arm") == "found"]
    mean = sum(e.figures["error"] for e in trained) / 3
    assert result.best.figures["error"] == pytest.approx(mean)
    assert len(run.history) == 16
    assert len(result.front) == 1
    run.close()
    look = Run.look(folder)
    assert look.best is not None
    assert look.best.figures == result.best.figures
    look.close()


def test_a_stage_may_be_told_apart(run: Run, folder: Path) -> None:
    def finale(
        problem: Problem, rng: np.random.Generator, before: Mapping[str, PhaseResult]
    ) -> Generator[Any, Any, Any]:
        known = before["search"].outcomes[0].work
        yield [known, *(Evaluate(c, 30) for c in problem.sample(3, rng))]

    apart = frozenset({"finale"})
    result = run.execute(plan(run, stages=(Stage("finale", finale),), apart=apart))
    assert (result.spent.evaluations, result.compared.evaluations) == (12, 3)
    record = json.loads((folder / "run.json").read_text())
    assert record["spent"]["evaluations"] == run.status()["spent"]["evaluations"] == 12
    assert record["comparison_spent"]["evaluations"] == 3
    line = result.to_dict()
    assert (line["budget"], line["comparison_spent"]["evaluations"]) == ("12evaluations", 3)


def test_a_finale_follows_an_extended_search_without_complaint(run: Run, folder: Path) -> None:
    def finale(
        problem: Problem, rng: np.random.Generator, before: Mapping[str, PhaseResult]
    ) -> Generator[Any, Any, Any]:
        count = problem.remember("count", lambda: len(before["search"].outcomes))
        best = problem.best(before["search"].outcomes).candidate
        yield [Evaluate(best, 30), Evaluate(problem.sample(1, rng)[0], 30)]
        return {"found": [best], "count": count}

    stages = (Stage("finale", finale),)
    run.execute(plan(run, stages=stages))
    run.close()
    events: list[Event] = []
    with Run.resume(folder, budget="+8evaluations") as more:
        result = more.execute(plan(more, stages=stages), [events.append])
        assert result.extra == {"count": 20}
        assert len([e for e in more.history if e.phase == "search"]) == 20
    assert notices(events) == []


def test_nothing_feasible_is_exit_code_3(folder: Path) -> None:
    with Run.create(folder, config(objectives=("error:min<=0.0001",))) as run:
        result = run.execute(plan(run))
    assert (result.status, result.feasible, result.exit_code) == ("done", False, 3)
    assert result.front == ()


def test_a_folder_with_another_run_is_left_alone(run: Run, folder: Path) -> None:
    run.execute(plan(run))
    run.close()
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    with pytest.raises(StoreError, match=r"holds another run.*nas resume"):
        Run.create(folder, config())
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_a_running_run_has_one_owner(run: Run, folder: Path) -> None:
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
        Run.resume(folder)
    look = Run.look(folder)
    assert look.status()["status"] == "created"
    with pytest.raises(StoreError, match="resume it"):
        look.execute(plan(look))
    look.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 3}, "seed is 3, but the run was begun with 0"),
        ({"recipe": {"epochs": 9}}, "recipe.epochs is 9, but the run was begun with 5"),
        ({"space": "darts"}, "space is 'darts'"),
        ({"final": {"seeds": 1}}, "final.seeds is 1"),
    ],
)
def test_another_configuration_is_refused_by_name(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    Run.create(folder, config(recipe={"epochs": 5})).close()
    with pytest.raises(ConfigError, match=message):
        Run.resume(folder, config=config(**{"recipe": {"epochs": 5}, **change}))
    moved = config(recipe={"epochs": 5}, executor="processes", workers=3, device="cpu")
    with Run.resume(folder, config=moved) as run:
        assert run.config.workers == 3


def test_a_configuration_that_was_edited_is_refused(run: Run, folder: Path) -> None:
    run.close()
    path = folder / files.CONFIG
    text = path.read_text()
    path.write_text(text.replace("seed: 0", "seed: 7"))
    with pytest.raises(ConfigError, match="seed is 7, but the run was begun with 0"):
        Run.resume(folder)
    path.write_text(text.replace("workers: 1", "workers: 2"))
    with Run.resume(folder) as again:
        assert again.config.workers == 2


def test_no_run_no_resume(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(StoreError, match="is no folder"):
        Run.resume(tmp_path / "none")
    with pytest.raises(StoreError, match="holds no run"):
        Run.look(tmp_path)
    Run.create(folder, config()).close()
    (folder / "store.sqlite").write_bytes(b"short")
    with pytest.raises(StoreError, match="is not a run's store"):
        Run.resume(folder)
    (folder / "config.yaml").write_text("space: [")
    with pytest.raises(ConfigError, match=r"config.yaml' cannot be read"):
        Run.resume(folder)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Run.create(tmp_path / "file" / "run", config())


def test_a_full_disk_before_and_during(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(folder, config(budget="90evaluations"))
    pages = run._store._db.execute("PRAGMA page_count").fetchone()[0]
    run._store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="no space left"):
        run.execute(plan(run))
    run.close()
    with Run.resume(folder) as again:
        assert 0 < len(again.history) < 90
        assert again.execute(plan(again)).status == "done"
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StoreError, match="0 MB left"):
        Run.create(folder.with_name("y"), config())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody without rights")
def test_a_read_only_folder(run: Run, folder: Path) -> None:
    run.execute(plan(run))
    run.close()
    base = Path(tempfile.gettempdir())
    for path in (*folder.parents, folder):  # one deeper where tests run in parallel
        if path.is_relative_to(base) and path != base:
            path.chmod(0o755)
    script = (
        "import os, sys; from pathlib import Path; from nas.core.errors import StoreError\n"
        "from nas.core.config import RunConfig; from nas.engine.run import Run\n"
        "p = Path(sys.argv[1]); Run.look(p).close(); os.setuid(65534)\n"
        "print(len(Run.look(p).history))\n"
        "c = RunConfig(space='toy', strategy='random')\n"
        "for f in (lambda: Run.resume(p), lambda: Run.create(p.parent / 'new', c)):\n"
        "    try: f()\n"
        "    except StoreError as e: print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "12", done.stderr
    assert all("cannot write" in line for line in lines[1:3])
    assert len(lines) == 3


def test_too_many_failures_end_the_run_and_can_be_retried(run: Run, folder: Path) -> None:
    broken = [True]

    def evaluator(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
        if broken[0]:
            raise ValueError("no such table")
        return toy_figures(candidate, budget, seed)

    with pytest.raises(RunFailed, match=r"first 5 .* ValueError: no such table") as caught:
        run.execute(plan(run, evaluator=evaluator))
    assert caught.value.exit_code == 1
    assert run.status()["status"] == "failed"
    assert "no such table" in run.status()["reason"]
    run.close()
    with Run.resume(folder) as again, pytest.raises(RunFailed):
        again.execute(plan(again, evaluator=evaluator))
    broken[0] = False
    events: list[Event] = []
    with Run.resume(folder, retry_failed=True) as last:
        result = last.execute(plan(last, evaluator=evaluator), [events.append])
        assert result.status == "done"
        assert all(entry.ok for entry in last.history)
    assert any("5 failed evaluations are tried again" in e.text for e in notices(events))


def notices(events: list[Event]) -> list[Notice]:
    return [event for event in events if isinstance(event, Notice)]


def test_events_of_a_run_are_json_and_end_with_the_result(run: Run) -> None:
    events: list[Event] = []
    run.execute(plan(run, Alternating()), [events.append])
    stream = [json.loads(json.dumps(event.to_dict())) for event in events]
    names = [line["event"] for line in stream]
    assert names[0] == "start"
    assert names[-2:] == ["stop", "result"]
    assert {"phase", "work", "outcome", "call", "decision", "budget", "phase_end"} <= set(names)
    assert isinstance(events[-1], Finished)
    assert {"event", "run", "status", "best", "front", "hypervolume", "spent"} <= set(stream[-1])


def test_a_broken_listener_is_put_aside(run: Run) -> None:
    told: list[Event] = []
    calls = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise RuntimeError("no display")

    result = run.execute(plan(run), [broken, told.append])
    assert result.status == "done"
    assert len(calls) == 1
    assert any("no display" in notice.text for notice in notices(told))


def test_a_damaged_checkpoint_is_worked_out_again(folder: Path) -> None:
    run = Run.create(folder, config(budget=None))
    whole = run.execute(plan(run, Alternating()))
    run.close()
    reference = [(e.figures, e.value) for e in Run.look(folder).history]

    for damage in (b"", b"{", None):
        other = folder.with_name(f"damage{damage!r}".replace("'", ""))
        half = Run.create(other, config(budget=None))
        with pytest.raises(KeyboardInterrupt):
            half.execute(plan(half, Alternating(), evaluator=Interrupting(2)))
        half.close()
        files_there = list((other / "checkpoints").glob("*.session"))
        assert len(files_there) == 2
        for path in files_there:
            if damage is None:
                path.unlink()
            else:
                path.write_bytes(damage)
        (other / "checkpoints" / "orphan.session").write_text("left over")
        events: list[Event] = []
        with Run.resume(other) as again:
            result = again.execute(plan(again, Alternating()), [events.append])
            assert [(e.figures, e.value) for e in again.history] == reference
            assert result.spent.epochs == whole.spent.epochs
        assert any("calls are made again" in notice.text for notice in notices(events))
        assert not (other / "checkpoints" / "orphan.session").exists()


def test_a_session_whose_data_changed_ends_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = Run.create(folder, config(budget=None))
    with pytest.raises(KeyboardInterrupt):
        half.execute(plan(half, Alternating(), evaluator=Interrupting(2)))
    half.close()

    def refuse(self: ToySession, path: Path) -> None:
        raise DataError("the data is not what this run began with", "restore it")

    monkeypatch.setattr(ToySession, "load", refuse)
    with Run.resume(folder) as again, pytest.raises(DataError, match="restore it"):
        again.execute(plan(again, Alternating()))


class Interrupting:
    """The toy evaluator, but Python is interrupted at one of its works."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return toy_evaluator(candidate, budget, seed)


def test_a_stop_from_another_thread_is_announced_and_can_be_resumed(run: Run, folder: Path) -> None:
    events: list[Event] = []

    def evaluator(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
        if len(run.history) == 3:
            thread = threading.Thread(target=run.stop)
            thread.start()
            thread.join()
        return toy_figures(candidate, budget, seed)

    result = run.execute(plan(run, evaluator=evaluator), [events.append])
    assert (result.status, result.exit_code) == ("stopped", 130)
    assert result.resume_command == f"nas resume {folder}"
    assert len(run.history) == 4
    assert len([event for event in events if isinstance(event, Stopping)]) == 1
    run.close()
    with Run.resume(folder) as again:
        assert again.execute(plan(again)).status == "done"


class Unknown(Strategy):
    """Calls a session that it does not declare."""

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        yield [Call("supernet", "train")]


def test_fatal_errors_keep_their_kind(run: Run) -> None:
    with pytest.raises(ConfigError, match="calls the session 'supernet'; it declares none"):
        run.execute(plan(run, Unknown()))
    assert run.status()["status"] == "failed"


class Fragile(Strategy):
    """Calls a session in a way that it does not understand."""

    sessions = {"net": "nas.testing.toys:ToySession"}  # noqa: RUF012

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        yield [Call("net", "train", epochs="many")]


def test_a_mistake_in_a_session_names_it_and_keeps_the_traceback(run: Run) -> None:
    with pytest.raises(NasError, match="session 'net' failed in 'train': ValueError") as caught:
        run.execute(plan(run, Fragile()))
    assert any("Traceback" in note for note in caught.value.__notes__)


def test_small_files_are_replaced_in_one_step(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "one")
    files.write_json(tmp_path / "a", {"b": 1})
    assert files.read_json(tmp_path / "a") == {"b": 1}
    assert files.read_json(tmp_path / "none") == {}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    with pytest.raises(StoreError, match="cannot write"):
        files.write_text(tmp_path / "no" / "a", "x")
