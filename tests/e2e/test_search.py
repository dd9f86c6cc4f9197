"""One search from data to exports: what it leaves, and that it can be had again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import nas
from nas.core.architecture import Candidate
from nas.core.errors import ConfigError
from nas.engine import deliver
from nas.engine.run import Run
from nas.training import evaluate, load_data, load_weights
from search_spaces import get_space

from .tiny import log, outcome, tiny

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = (
    "config.yaml",
    "run.json",
    "store.sqlite",
    "checkpoints",
    "tb",
    "front.json",
    "front.csv",
    "front.png",
    "best/architecture.json",
    "best/model.py",
    "best/weights.safetensors",
    "best/cells.svg",
    "report.html",
)
SAME = ("front.json", "front.csv", "best/architecture.json", "best/model.py")


@pytest.fixture(scope="module")
def _without_onnx() -> Iterator[None]:
    """ONNX takes longer than all the rest; the slow tests have it."""
    with pytest.MonkeyPatch.context() as patch:
        forms = tuple(form for form in deliver.FORMS if form[0] != "onnx")
        patch.setattr(deliver, "FORMS", forms)
        yield


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, _without_onnx: None) -> Run:
    """A finished search in a folder."""
    folder = tmp_path_factory.mktemp("search") / "run"
    return nas.search(out=folder, **tiny())


def result_of(run: Run) -> dict[str, Any]:
    assert run.result is not None
    return outcome(run.result.to_dict())


# -- what a run leaves ------------------------------------------------------------------------


def test_every_file_of_the_contract_is_there(searched: Run) -> None:
    folder = searched.folder
    assert folder is not None
    assert searched.result is not None
    assert searched.result.status == "done"
    missing = [name for name in CONTRACT if not (folder / name).exists()]
    assert missing == []
    assert list((folder / "tb").rglob("events.out.tfevents.*"))
    assert not list((folder / "checkpoints").glob("*.tmp*"))
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "done"
    assert record["spent"]["epochs"] > 0
    front = json.loads((folder / "front.json").read_text())
    assert front["format"] == 1
    assert [point["figures"]["params"] for point in front["points"]]
    assert (folder / "report.html").stat().st_size > 10_000
    best = json.loads((folder / "best/architecture.json").read_text())
    assert get_space("nasbench201").from_dict(best) == searched.best.candidate.architecture  # type: ignore[union-attr]


def test_what_was_decided_is_what_is_returned(searched: Run) -> None:
    decided = {
        payload["edge"]: payload["kept"][0]
        for _, topic, payload in searched.announced
        if topic == "decision"
    }
    assert len(decided) == 6
    space: Any = get_space("nasbench201")
    assert searched.best is not None
    assert searched.best.candidate.architecture == space.from_operations(decided)
    assert {e.candidate.architecture for e in searched.front} == {space.from_operations(decided)}


def test_both_arms_were_trained_alike_and_tested_once(searched: Run) -> None:
    finals = [e for e in searched.history if e.tags.get("stage") == "final"]
    plan = {(e.tags["arm"], e.candidate.scale["channels"], e.work.seed) for e in finals}  # type: ignore[union-attr]
    assert plan == {(a, c, s) for a in ("search", "random") for c in (2, 4) for s in (0, 1)}
    assert all("test_error" in e.figures for e in finals)
    others = [e for e in searched.history if e not in finals]
    assert others
    assert not any("test_error" in e.figures for e in others)
    extra = searched.result.extra  # type: ignore[union-attr]
    assert extra["baseline"]["pairs"] == 4
    assert "random search" in extra["baseline"]["sentence"]


def test_the_exported_weights_do_what_is_reported(searched: Run) -> None:
    assert searched.folder is not None
    assert searched.best is not None
    data = load_data("digits", 0, limit=20)
    candidate = searched.best.candidate
    space: Any = get_space("nasbench201")
    network = space.network(candidate.architecture, (1, 8, 8), 10, **candidate.scale)
    load_weights(network, searched.folder / "best" / "weights.safetensors")
    trainings = [
        e.figures
        for e in searched.history
        if e.candidate == candidate and e.tags.get("stage") == "final"
    ]
    kept = min(trainings, key=lambda figures: figures["error"])
    assert evaluate(network, data.validation, data)["error"] == kept["error"]
    assert evaluate(network, data.test_split(), data)["error"] == kept["test_error"]


def test_it_can_be_looked_at_again(searched: Run) -> None:
    assert searched.folder is not None
    with nas.open_run(searched.folder) as again:
        assert log(again) == log(searched)
        assert again.best == searched.best
    before = (searched.folder / "report.html").read_text()
    from nas.api import write_report

    write_report(searched.folder)
    after = (searched.folder / "report.html").read_text()
    assert len(after) > 0.8 * len(before)


def test_the_heat_map_of_the_report_is_of_the_search_not_of_the_decisions(searched: Run) -> None:
    from nas.engine.report_data import report_data

    (table,) = report_data(searched).alphas
    assert table["step"] == 1  # the second epoch of two
    assert all(max(row) < 1 for row in table["values"])
    assert len(table["decided"]) == 6


# -- the same again ---------------------------------------------------------------------------


def test_the_same_seed_in_memory_gives_the_same_run(searched: Run) -> None:
    again = nas.search(out=None, **tiny())
    assert again.folder is None
    assert log(again) == log(searched)
    assert result_of(again) == result_of(searched)


def test_another_seed_is_another_run(searched: Run) -> None:
    other = nas.search(out=None, seed=1, **tiny())
    assert log(other) != log(searched)


def test_workers_give_the_same_figures(
    searched: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    again = nas.search(out=None, **tiny(executor="processes", workers=2))
    assert log(again, ordered=False) == log(searched, ordered=False)
    assert result_of(again) == result_of(searched)


def test_a_finished_run_that_is_resumed_stays_as_it_is(searched: Run) -> None:
    assert searched.folder is not None
    before = log(searched)
    again = nas.resume(searched.folder)
    assert log(again) == before
    assert result_of(again) == result_of(searched)


@pytest.mark.parametrize("space", ["darts-s2", pytest.param("darts", marks=pytest.mark.slow)])
def test_a_search_with_topology(space: str) -> None:
    over: dict[str, Any] = {"final": {"seeds": 1, "scales": [{"channels": 2, "layers": 3}]}}
    runs = [nas.search(out=None, **tiny(space, **over))]
    if space == "darts":
        runs.append(nas.search(out=None, **tiny(space, **over)))
        assert log(runs[0]) == log(runs[1])
    run = runs[0]
    decisions = [payload for _, topic, payload in run.announced if topic == "decision"]
    assert len(decisions) == 34
    found: Any = get_space(space)
    operations = {d["edge"]: d["kept"][0] for d in decisions if d["what"] == "operation"}
    kept = {name for d in decisions if d["what"] == "topology" for name in d["kept"]}
    kept |= {name for name in operations if name.split("<-")[0].endswith("/0")}
    assert run.best is not None
    assert run.best.candidate.architecture == found.from_operations(
        {name: operation for name, operation in operations.items() if name in kept}
    )


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_budget_ends_the_search_not_the_run(epochs: int) -> None:
    """The search itself takes two epochs and tuning five."""
    run = nas.search(out=None, **tiny(budget=f"{epochs}epochs"))
    assert run.result is not None
    assert run.result.status == "done"
    assert sum(e.spent.epochs for e in run.history if e.phase == "search") == epochs
    assert run.best is not None
    assert "test_error" in run.best.figures


def test_one_candidate_trained_alone_has_the_search_s_figures(
    searched: Run, tmp_path: Path
) -> None:
    assert searched.best is not None
    candidate = searched.best.candidate
    (trained,) = (
        e.figures
        for e in searched.history
        if e.candidate == candidate and e.tags.get("arm") == "search" and e.work.seed == 1  # type: ignore[union-attr]
    )
    config = searched.config
    entry = nas.evaluate(
        candidate.architecture,
        {**config.recipe, **config.final.recipe},
        epochs=1,
        seed=1,
        data_settings={"limit": 20},
        scale=candidate.scale,
        out=tmp_path / "alone",
    )
    # The seed also draws the validation split, and that is the run's there.
    assert {k: entry.figures[k] for k in ("params", "macs", "epochs")} == {
        k: trained[k] for k in ("params", "macs", "epochs")
    }
    assert "test_error" in entry.figures
    for name in ("best/weights.safetensors", "best/model.py", "report.html"):
        assert (tmp_path / "alone" / name).is_file()


# -- from Python ------------------------------------------------------------------------------


def figures(candidate: Candidate, budget: float | None, seed: int) -> Mapping[str, float]:
    """Convolutions are good."""
    operations = list(candidate.architecture.choices.values())
    return {"error": 1 - operations.count("nor_conv_3x3") / 6, "size": float(len(set(operations)))}


def test_an_own_function_evaluates() -> None:
    run = nas.search(
        space="nasbench201",
        strategy="regularized-evolution",
        evaluator=figures,
        objectives=["error", "size:min"],
        budget="60evaluations",
        seed=2,
    )
    assert run.result is not None
    assert run.result.status == "done"
    assert len(run.history) == 60
    assert run.best is not None
    assert run.best.figures["error"] < 0.4
    assert all("error" in entry.figures for entry in run.front)


def test_a_function_that_workers_cannot_import_is_refused_by_them() -> None:
    asked: dict[str, Any] = {
        "space": "nasbench201",
        "strategy": "random",
        "evaluator": lambda candidate, budget, seed: {"error": 0.5},
        "budget": "2evaluations",
    }
    assert len(nas.search(**asked).history) == 2
    with pytest.raises(ConfigError, match="cannot be sent to worker"):
        nas.search(**asked, executor="processes")


def test_a_configuration_and_settings_beside_it_are_refused(searched: Run) -> None:
    with pytest.raises(ConfigError, match="beside"):
        nas.search(searched.config, seed=3)


def test_a_limit_that_nothing_keeps_is_said() -> None:
    run = nas.search(out=None, **tiny(objectives=["error:min", "loss:min<=1e-9"]))
    assert run.result is not None
    assert not run.result.feasible
    assert run.result.exit_code == 3
    assert run.result.front == ()


def test_a_limit_that_nothing_can_keep_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"params:min<=10.* [0-9]+"):
        nas.search(out=None, **tiny(objectives=["error:min", "params:min<=10"]))


# -- the program ------------------------------------------------------------------------------


def program(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from nas.cli.main import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=Path(os.environ.get("TMPDIR", "/tmp")),
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return json.loads(out.splitlines()[-1])  # type: ignore[no-any-return]


def read_news(process: subprocess.Popen[str], count: int) -> tuple[int, str]:
    """Read on until `count` works are done that were not before; their number, the last line."""
    assert process.stdout is not None
    seen, last = 0, ""
    while seen < count and (line := process.stdout.readline()):
        last, event = line, json.loads(line)
        seen += event["event"] in ("outcome", "call") and not event.get("replayed")
    return seen, last


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_program_from_a_file_to_onnx(tmp_path: Path) -> None:
    file, folder = tmp_path / "tiny.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(tiny("darts")))
    arguments = ("search", "--config", str(file), "--json", "--out")
    first = finish(program(*arguments, str(folder)))
    assert [n for n in (*CONTRACT, "best/model.onnx") if not (folder / n).exists()] == []
    second = finish(program(*arguments, str(tmp_path / "again")))
    assert outcome(first) == outcome(second)
    with Run.look(folder) as one, Run.look(tmp_path / "again") as two:
        assert log(one) == log(two)
    for name in SAME:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


KILLS = int(os.environ.get("NAS_TEST_KILLS", "20"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("space", "executor"), [("darts-s2", "serial"), ("nasbench201", "processes")]
)
def test_killed_again_and_again_it_ends_as_if_undisturbed(
    tmp_path: Path, space: str, executor: str
) -> None:
    """SIGKILL at random instants, most of them while it works, some while it starts."""
    file = tmp_path / "tiny.yaml"
    workers = 2 if executor == "processes" else 1
    file.write_text(yaml.safe_dump(tiny(space, executor=executor, workers=workers)))
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    process = program("search", "--config", str(file), "--json", "--out", str(whole))
    began = time.monotonic()
    works, last = read_news(process, 10**9)
    undisturbed = json.loads(last)
    process.communicate()
    assert process.returncode == 0
    lasted = time.monotonic() - began
    chance = random.Random(space)
    hits, reached = 0, []
    for _ in range(3 * KILLS):  # some are too late, once the run is done
        if hits == KILLS:
            break
        there = (folder / "run.json").exists()
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        begin = ("search", "--config", str(file), "--out", str(folder))
        process = program(*(("resume", str(folder)) if there else begin), "--json")
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 4))
        else:
            read_news(process, chance.randrange(round(2.5 * works / KILLS) + 1))
            time.sleep(chance.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        hits += process.returncode == -signal.SIGKILL
        if (folder / "store.sqlite").exists():
            with Run.look(folder) as run:
                reached.append(len(run.history))
    assert hits == KILLS
    assert len(set(reached)) > KILLS / 3  # they fell on all parts of the run
    assert outcome(finish(program("resume", str(folder), "--json"))) == outcome(undisturbed)
    ordered = executor == "serial"
    with Run.look(folder) as one, Run.look(whole) as two:
        assert log(one, ordered=ordered) == log(two, ordered=ordered)
    assert [name for name in CONTRACT if not (folder / name).exists()] == []
    for name in (*SAME, "best/weights.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    print(f"{hits} kills of a run of {lasted:.0f} s, after {reached} works")
