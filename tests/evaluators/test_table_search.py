"""Searches on tables from the command line to the comparison with many random searches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.cli.main import run as program
from nas.core.errors import ConfigError
from nas.engine.resolve import resolve
from nas.engine.run import Run
from nas.measure.comparison import mean_interval
from search_spaces import get_space

from .tables import write_nasbench201


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nasbench201(tmp_path_factory.mktemp("tables") / "nasbench201")


def search(made: Path, **more: Any) -> Run:
    settings = {"population": 6, "tournament": 3, "final.random_searches": 5}
    values: dict[str, Any] = {
        "space": "nasbench201",
        "strategy": "regularized-evolution",
        "evaluator": f"table:{made}",
        "budget": "4000epochs",
        "settings": settings,
        **more,
    }
    return nas.search(**values)


def test_a_search_and_its_account(made: Path) -> None:
    run = search(made)
    result = run.result
    assert result is not None
    searched = [e for e in run.history if e.phase == "search"]
    assert sum(e.spent.epochs for e in searched) == 4000
    assert all("test_error" not in e.figures for e in searched)
    said = result.extra["baseline"]
    assert said["metric"] == "test_error"
    picks = [e for e in run.history if e.tags.get("search") == "pick"]
    assert [e.figures["test_error"] for e in picks] == [said["first"]] == said["arms"]["search"]
    best = min(e.figures["error"] for e in searched)
    assert picks[0].figures["error"] == best == result.best.figures["error"]  # type: ignore[union-attr]
    draws = [e for e in run.history if e.tags.get("stage") == "draw"]
    assert len(draws) <= 5 * 20
    assert said["pairs"] == 5
    mean, low, high = mean_interval(said["arms"]["random"])
    assert said["second"] == mean
    assert (said["low"], said["high"]) == (said["first"] - high, said["first"] - low)
    beaten = sum(said["first"] < other for other in said["arms"]["random"])
    assert said["share_beaten"] == beaten / 5
    for words in ("5 random searches of the same 4000 epochs", "95% interval", f"{beaten} of 5"):
        assert words in said["sentence"]


def test_what_is_spent_is_what_the_search_cost(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["search", "--space", "nasbench201", "--evaluator", f"table:{made}"]
    arguments += ["--strategy", "random", "--budget", "1000epochs", "--out", str(out)]
    assert program([*arguments, "--json", "--quiet"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    record = json.loads((out / "run.json").read_text())
    for told in (line, record, record["result"]):
        assert (told["spent"]["epochs"], told["spent"]["evaluations"]) == (1000, 5)
        assert 10_000 < told["comparison_spent"]["epochs"] <= 20 * 1000
    assert program(["show", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "cost   1000 epochs, 5 evaluations" in shown
    assert "the random searches to compare with: " in shown
    assert program(["resume", str(out), "--budget", "+400epochs", "--quiet"]) == 0
    assert "cost   1400 epochs, 7 evaluations" in capsys.readouterr().out
    with Run.look(out) as run:
        assert run.status()["spent"]["epochs"] == 1400
    alone = search(made, budget="1000epochs", settings={"final.random_arm": False}).result
    assert alone is not None
    assert alone.spent.epochs == 1000
    assert alone.compared.epochs == 0


def test_random_searches_pick_by_validation(made: Path) -> None:
    run = search(made, strategy="random", settings={"final.random_searches": 3})
    draws: list[Any] = [e for e in run.history if e.tags.get("stage") == "draw"]
    reads = [e for e in run.history if e.tags.get("stage") == "final"]
    assert all(e.budget == 200 for e in draws)
    assert all(e.spent.epochs == 0 for e in reads if "test_error" in e.figures)
    picked = {e.candidate.id for e in reads if e.tags["arm"] == "random"}
    best = min(draws, key=lambda e: e.figures["error"])
    assert best.candidate.id in picked


def test_the_front_is_read_as_a_whole(made: Path) -> None:
    run = search(made, objectives=("error:min", "params:min"))
    front = run.front
    assert len(front) > 3
    assert all({"error", "test_error", "params"} <= e.figures.keys() for e in front)
    again = search(made, objectives=("error:min", "params:min"))
    assert [e.candidate.id for e in again.front] == [e.candidate.id for e in front]


def test_from_the_command_line(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = (
        *("search", "--space", "nasbench201", "--evaluator", f"table:{made}"),
        *("--strategy", "regularized-evolution", "--set", "evaluator_settings.dataset=cifar100"),
        *("--budget", "3000epochs", "--out", str(out)),
    )
    assert program([*arguments, "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert "cifar100 (table nasbench201)" in dry
    assert not out.exists()
    assert program(list(arguments)) == 0
    said = capsys.readouterr()
    assert "on cifar100 (table nasbench201)" in said.err
    assert "model.py has no weights" in said.err
    assert "against random search: the search's pick has" in said.out
    front = json.loads((out / "front.json").read_text())
    assert "test_error" in front["points"][0]["figures"]
    left = {file.name for file in (out / "best").iterdir()}
    assert left == {"architecture.json", "model.py", "cells.svg"}
    assert 'num_classes": 100' in (out / "best" / "model.py").read_text()
    module = tmp_path / "module.py"
    assert program(["export", str(out), "--to", "python", "--out", str(module)]) == 0
    assert '"num_classes": 100' in module.read_text()
    report = (out / "report.html").read_text()
    assert "looked up in a published table" in report
    assert program(["resume", str(out), "--budget", "+400epochs", "--quiet"]) == 0
    with Run.look(out) as run:
        assert sum(e.spent.epochs for e in run.history if e.phase == "search") == 3400
    settings = {"evaluator_settings.dataset": "cifar100"}
    whole = search(made, budget="3400epochs", settings=settings).result
    assert whole is not None
    record = json.loads((out / "run.json").read_text())
    assert record["result"]["baseline"]["sentence"] == whole.extra["baseline"]["sentence"]


def test_a_strategy_that_trains_supernets_is_refused(made: Path) -> None:
    with pytest.raises(ConfigError, match="only looks figures up"):
        search(made, strategy="darts", settings={})


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--set", "epochs=100"), 2, "it has 12, 200"),
        (("--evaluator", "table:nowhere"), 4, "does not exist"),
        (("--evaluator", "tabel:nowhere"), 2, "did you mean table"),
        (("--set", "evaluator_settings.dataset=imagenet"), 2, "no data set 'imagenet'"),
        (("--objective", "params:min<=10"), 2, "73306"),
        (("--evaluator", "train"), 2, "has no setting 'charge'"),
    ],
)
def test_bad_input_is_one_line(
    made: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    out = tmp_path / "run"
    arguments = ["search", "--space", "nasbench201", "--strategy", "random", "--out", str(out)]
    if "--evaluator" not in more:
        arguments += ["--evaluator", f"table:{made}"]
    assert program([*arguments, "--set", "evaluator_settings.charge=anew", *more]) == code
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not out.exists()


def test_presets_are_about_training_and_leave_tables_alone(made: Path) -> None:
    asked = {"space": "nasbench201", "strategy": "random", "evaluator": f"table:{made}"}
    config = resolve(asked)
    assert (config.network, config.recipe, config.executor) == ({}, {}, "serial")
    assert config.settings["epochs"] == 200
    assert config.evaluator_settings["dataset"] == "cifar10"
    assert resolve({"space": "nasbench201", "evaluator": f"table:{made}"}).strategy != "darts"


def test_a_resolved_configuration_resolves_to_itself(made: Path, tmp_path: Path) -> None:
    asked = {"space": "nasbench201", "strategy": "hyperband", "evaluator": f"table:{made}"}
    config = resolve(asked)
    assert config.settings["levels"] == [12.0, 200.0]
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())
    assert resolve({}, file=file) == config


def test_a_table_that_moved_is_said_on_resume(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "nb201_cifar.csv.gz").write_bytes((made / "nb201_cifar.csv.gz").read_bytes())
    out = tmp_path / "run"
    search(folder, out=str(out)).close()
    folder.rename(tmp_path / "moved")
    assert program(["resume", str(out), "--budget", "+400epochs", "--quiet"]) == 4


def test_a_table_of_part_of_a_space(shared_data: Any, tmp_path: Path) -> None:
    folder = shared_data("nasbench101_sample")
    run = search(folder, space="nasbench101", budget="2160epochs")
    known = {e.candidate.architecture for e in run.history if e.candidate is not None}
    assert all(e.ok for e in run.history)
    assert known
    space: Any = get_space("nasbench101")
    result = run.result
    assert result is not None
    said = result.extra["baseline"]
    assert (said["metric"], said["search_epochs"]) == ("error", 2160)
    assert "validation error" in said["sentence"]
    best = result.best
    assert best is not None
    assert best.figures["params"] == space.cost(best.candidate.architecture).params


def test_promotions_are_charged_as_asked(made: Path) -> None:
    costs = {}
    for charge in ("continued", "anew"):
        run = search(
            made,
            strategy="asha",
            budget="1500epochs",
            settings={"evaluator_settings.charge": charge, "final.random_arm": False},
        )
        searched = [e for e in run.history if e.phase == "search" and e.spent.epochs]
        costs[charge] = sorted({e.spent.epochs for e in searched})
    assert costs == {"continued": [12.0, 188.0], "anew": [12.0, 200.0]}
