"""Another package adds one small file of each kind, and the command line has them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.api import evaluate
from nas.core.architecture import Candidate, Recipe
from nas.core.config import read_yaml
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.engine.executors.base import Setup
from nas.strategies import STRATEGIES
from nas.testing.replay import Trial, check_replay
from search_spaces import SPACES
from tests.plugins.visiting.executor import LIST
from tests.plugins.visiting.joint import Joint
from tests.plugins.visiting.measure import JOULES_A_MAC, JOULES_A_WEIGHT

VISITING = Path(__file__).parent / "visiting"
SCRIPT = "import sys; from nas.cli.main import run; sys.exit(run(sys.argv[1:]))"

POINTS = """
[nas.search_spaces]
visiting-stack = visiting.space:Stack
visiting-joint = visiting.joint:Joint
visiting-pairs = visiting.evaluator:Pairs
[nas.strategies]
visiting-climb = visiting.strategy:Climb
[nas.optimizers]
visiting-extragradient = visiting.optimizer:MEMBER
[nas.predictors]
visiting-nearest = visiting.predictor:Nearest
[nas.evaluators]
visiting-gan = visiting.evaluator:GanEvaluator
[nas.measures]
visiting_energy_j = visiting.measure:energy
[nas.executors]
visiting-listing = visiting.executor:Listing
"""

QUICK = (
    "data_settings.limit=60",
    "recipe.epochs=1",
    "recipe.batch_size=16",
    "final.seeds=1",
    "final.epochs=1",
    "final.random_limit=2",
    "final.random_epochs=1",
)
ALONE = (*QUICK, "final.random_arm=false")
TINY = ("network.channels=4", "network.layers=1", "final.scales=[{channels: 4, layers: 1}]")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages that holds the visiting one."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(VISITING, folder / "visiting", ignore=shutil.ignore_patterns("__pycache__"))
    about = folder / "visiting-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: visiting\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    return folder


@pytest.fixture
def nas(site: Path, tmp_path: Path) -> Any:
    """`nas("list", "spaces")` runs the command in an empty folder; what it wrote to stdout."""

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def search(nas: Any, *arguments: str, sets: tuple[str, ...] = QUICK) -> dict[str, Any]:
    """The last line of a search in the folder `run`."""
    given = [part for text in sets for part in ("--set", text)]
    lines = nas("search", *arguments, *given, "--out", "run", "--json").splitlines()
    result: dict[str, Any] = json.loads(lines[-1])
    assert result["event"] == "result"
    assert result["status"] == "done"
    return result


def works(folder: Path, phase: str) -> list[dict[str, Any]]:
    """The evaluations of a phase, as the store has them."""
    with sqlite3.connect(folder / "store.sqlite") as store:
        rows = store.execute(
            "select payload from work join log using (key) where log.phase = ?", (phase,)
        ).fetchall()
    return [json.loads(row[0]) for row in rows]


def test_all_kinds_are_listed(nas: Any) -> None:
    for kind in ("spaces", "strategies", "optimizers", "predictors", "executors", "measures"):
        assert "visiting" in nas("list", kind)


def test_a_space(nas: Any, tmp_path: Path) -> None:
    """Its network says not what it was made from, so it cannot stand alone; all else is there."""
    assert "networks build" in nas("check", "visiting-stack")
    result = search(
        nas,
        *("--space", "visiting-stack", "--strategy", "regularized-evolution"),
        *("--budget", "2evaluations", "--executor", "serial"),
    )
    assert result["best"]["architecture"]["space"] == "visiting-stack"
    assert result["baseline"]["sentence"]
    best = tmp_path / "run" / "best"
    assert {p.name for p in best.iterdir()} >= {
        "architecture.json",
        "weights.safetensors",
        "cells.svg",
    }
    assert not (best / "model.py").exists()
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert "conv_" in nas("show", "run")


def test_a_strategy_and_an_executor(
    nas: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = tmp_path / "done.txt"
    monkeypatch.setenv(LIST, str(done))
    result = search(
        nas,
        *("--space", "nasbench201", "--strategy", "visiting-climb", "--budget", "3evaluations"),
        *("--executor", "visiting-listing"),
        sets=(*ALONE, *TINY),
    )
    assert result["spent"]["evaluations"] >= 3
    config = read_yaml(tmp_path / "run" / "config.yaml")
    assert (config["strategy"], config["executor"]) == ("visiting-climb", "visiting-listing")
    with sqlite3.connect(tmp_path / "run" / "store.sqlite") as store:
        keys = {key for (key,) in store.execute("select key from work")}
    assert len(keys) >= 3
    assert set(done.read_text().split()) == keys


@pytest.mark.slow
def test_an_optimizer_that_asks_for_two_gradients_a_step(nas: Any) -> None:
    """The trainer knows nothing of it, and counts what it asked for."""
    given = ("epochs=1", "batch_size=16", "data_settings.limit=60", *TINY[:2])
    text = nas(
        *("train", "nasbench201:resnet", "--set", "optimizer=visiting-extragradient", "--json"),
        *(part for setting in given for part in ("--set", setting)),
    )
    figures = json.loads(text.splitlines()[-1])["figures"]
    assert figures["gradient_evaluations"] == 2 * ceil(60 / 16)


@pytest.mark.parametrize("strategy", ["bananas", pytest.param("rank-nosh", marks=pytest.mark.slow)])
def test_a_predictor(nas: Any, strategy: str) -> None:
    small = {
        "bananas": ("initial=2", "pool=8"),
        "rank-nosh": (
            "levels=[1.0, 2.0]",
            "candidates=6",
            "first=2",
            "batch=1",
            "whole=10",
            "pool=10",
        ),
    }[strategy]
    result = search(
        nas,
        *("--space", "nasbench201", "--strategy", strategy, "--budget", "5evaluations"),
        *("--executor", "serial"),
        sets=(*ALONE, *TINY, "predictor=visiting-nearest", *small),
    )
    assert result["best"] is not None


def test_an_evaluator_of_two_networks_and_figures_that_are_no_accuracy(
    nas: Any, tmp_path: Path
) -> None:
    """All that the engine does for classifiers it does for these, the comparison included."""
    sets = ("final.seeds=3", "final.epochs=4", "final.random_limit=4", "final.random_epochs=1")
    result = search(
        nas,
        *("--space", "visiting-pairs", "--strategy", "regularized-evolution"),
        *("--budget", "6evaluations"),
        sets=(*sets, "recipe.learning_rate=0.05"),
    )
    assert read_yaml(tmp_path / "run" / "config.yaml")["evaluator"] == "visiting-gan"
    assert result["objectives"] == ["distance:min"]
    assert {"distance", "test_distance"} <= set(result["best"]["figures"])
    assert result["baseline"]["metric"] == "test_distance"
    assert "test distance" in result["baseline"]["sentence"]
    assert "%" not in result["baseline"]["sentence"].split("(")[0]
    assert (tmp_path / "run" / "best" / "model.py").is_file()
    assert (tmp_path / "run" / "best" / "weights.safetensors").is_file()
    assert "distance" in nas("show", "run")
    assert "depends on what visiting-gan" in nas("show", "run/best/architecture.json")
    written = json.loads(nas("export", "run", "--to", "onnx", "--out", "gan.onnx", "--json"))
    assert written["difference"] < 1e-6
    trained = nas("train", "run", "--epochs", "4")
    assert "test_distance" in trained
    assert "error" not in trained
    by_hand = nas("train", "run", "--epochs", "4", "--set", "learning_rate=0.01", "--json")
    again = json.loads(by_hand.splitlines()[-1])
    assert again["recipe"] == {"learning_rate": 0.01}
    assert set(again["figures"]) == {"distance", "test_distance", "params"}
    assert "no 'momentum'" in nas(
        *("search", "--space", "visiting-pairs", "--set", "recipe.momentum=1", "--dry-run"), code=2
    )


def test_a_figure(nas: Any, tmp_path: Path) -> None:
    result = search(
        nas,
        *("--space", "nasbench201", "--strategy", "nsga2", "--budget", "4evaluations"),
        *("--objective", "error", "--objective", "visiting_energy_j:min"),
        sets=(*ALONE, *TINY, "population=2"),
    )
    figures = [point["figures"] for point in result["front"]]
    assert figures
    assert [f["visiting_energy_j"] for f in figures] == pytest.approx(
        [f["macs"] * JOULES_A_MAC + f["params"] * JOULES_A_WEIGHT for f in figures]
    )
    assert all(0 < f["visiting_energy_j"] < 1 for f in figures)
    assert "visiting_energy_j" in nas("show", "run")


def test_a_recipe_that_is_searched_together_with_its_architecture(nas: Any, tmp_path: Path) -> None:
    """What is found keeps its recipe, in full trainings, too."""
    result = search(
        nas,
        *("--space", "visiting-joint", "--strategy", "regularized-evolution"),
        *("--budget", "4evaluations", "--executor", "serial"),
        sets=(*ALONE, *TINY, "population=2", "tournament=2"),
    )
    best = result["best"]
    assert best["architecture"]["space"] == "nasbench201"
    assert set(best["recipe"]) == {"learning_rate", "label_smoothing"}
    tried = works(tmp_path / "run", "search")
    assert len({json.dumps(w["candidate"]["recipe"]) for w in tried}) > 1
    final = works(tmp_path / "run", "final")
    assert all(set(w["candidate"]["recipe"]) == set(best["recipe"]) for w in final)
    assert "learning_rate" in nas("show", "run")
    page = (tmp_path / "run" / "report.html").read_text()
    told = f"label_smoothing {best['recipe']['label_smoothing']}, learning_rate "
    assert f"Trained with {told}{best['recipe']['learning_rate']}." in page
    assert f"<td>{told}{best['recipe']['learning_rate']}</td>" in page
    with (tmp_path / "run" / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert str(best["recipe"]["learning_rate"]) in [row["recipe.learning_rate"] for row in rows]


def test_a_member_is_trained_by_its_own_recipe(nas: Any, tmp_path: Path) -> None:
    """Unless another is asked for; what a preset says is not asked for."""
    joint = Joint()
    member = joint.sample(np.random.default_rng(0))
    own = joint.candidate(member).recipe
    assert own is not None
    (tmp_path / "member.json").write_text(json.dumps(member.to_dict()))
    given = ("data_settings.limit=60", "network.channels=4", "network.layers=1", "epochs=1")

    def recipe(*sets: str) -> dict[str, Any]:
        more = (part for text in (*given, *sets) for part in ("--set", text))
        lines = nas("train", "member.json", *more, "--json").splitlines()
        told: dict[str, Any] = json.loads(lines[-1])["recipe"]
        return told

    assert own.settings.items() <= recipe().items()
    assert recipe("learning_rate=0.2")["learning_rate"] == 0.2


def test_a_member_is_evaluated_by_its_own_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SPACES, "_rows", dict(SPACES._rows))
    SPACES.add("visiting-joint", Joint, "for this test only")
    member = Joint().sample(np.random.default_rng(0))
    candidate = Joint().candidate(member)
    assert candidate.recipe is not None

    def rate(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
        assert candidate.recipe is not None
        return {"error": candidate.recipe.settings["learning_rate"]}

    entry = evaluate(member, evaluator=rate)
    assert entry.candidate == candidate
    assert entry.figures["error"] == candidate.recipe.settings["learning_rate"]
    asked = evaluate(member, {"learning_rate": 0.2}, evaluator=rate).candidate
    assert asked.architecture == candidate.architecture
    assert asked.recipe == Recipe({**candidate.recipe.settings, "learning_rate": 0.2})


SMALL: dict[str, dict[str, Any]] = {
    "random": {},
    "regularized-evolution": {"population": 2, "tournament": 2},
    "local-search": {},
    "nsga2": {"population": 2},
    "asha": {},
    "hyperband": {},
    "bananas": {"initial": 2, "pool": 8},
    "rank-nosh": {"levels": [1.0, 2.0], "candidates": 6, "first": 2, "batch": 1, "pool": 10},
}


@pytest.mark.parametrize("strategy", SMALL)
def test_every_strategy_that_samples_works_on_a_joint_space(strategy: str) -> None:
    """Each proposes candidates with recipes, none twice, and mutates either part."""
    joint = Joint()

    def figures(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
        member = joint.member(candidate)
        assert joint.candidate(member) == candidate
        return {"error": 0.1 + joint.encode(member).mean() / (1 + (budget or 0.0)), "params": 1.0}

    problem = Problem(joint, parse_objectives(("error", "params")))
    trial = Trial(
        STRATEGIES.get(strategy)(SMALL[strategy]),
        problem,
        Setup(evaluator=figures),
        "14evaluations",
    )
    assert check_replay(trial, [(event,) for event in range(2, 42, 5)])
