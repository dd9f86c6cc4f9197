"""Comparisons of searches for something else than a small error."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from uuid import uuid4

import pytest

from nas.bench.account import Named, Truth, account
from nas.bench.arms import with_goal
from nas.bench.files import draw
from nas.bench.trace import Trace
from nas.cli.main import run as cli
from nas.export.canvas import Text

PLUGIN = """
from nas.core.protocols import Reply
from nas.core.work import Spent
from nas.evaluators import EVALUATORS
from nas.testing.toys import ToySpace, toy_figures
from search_spaces import SPACES


@SPACES.register("NAME", "a toy")
class Space(ToySpace):
    evaluator = "NAME"

    def __init__(self):
        super().__init__("NAME")


@EVALUATORS.register("NAME", "a distance")
class Evaluator:
    reports, goal, in_full = ("distance", "params", "quality"), "distance", True

    def __init__(self, spec): ...

    def evaluate(self, work, context):
        figures = toy_figures(work.candidate, work.budget, work.seed or 0)
        distance = 5 * figures["error"]
        given = {"distance": distance, "quality": 9 - distance, "params": figures["params"]}
        if work.split == "test":
            given["test_distance"] = distance + 1
        return Reply(given, spent=Spent(epochs=1.0))
"""


@pytest.fixture
def distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plug-in of a space, of the same name, whose evaluator reports distances."""
    name = f"toy{uuid4().hex[:8]}"
    plugin = tmp_path / f"{name}.py"
    plugin.write_text(PLUGIN.replace("NAME", name))
    monkeypatch.chdir(tmp_path)
    return plugin


def compared(plugin: Path, *more: str) -> list[str]:
    command = ["bench", plugin.stem, "--strategies", "random,local-search", "--seeds", "2"]
    return [*command, "--budget", "6evaluations", "--plugin", str(plugin), "--out", "out", *more]


def test_the_evaluator_says_what_is_compared(
    distances: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(compared(distances)) == 0
    head, row = capsys.readouterr().out.splitlines()[:2]
    assert "distance [95 %]" in head
    assert "test distance [95 %]" in head
    assert "error" not in head
    (found, *_) = csv.DictReader(Path("out/searches.csv").read_text().splitlines())
    assert float(found["test_distance"]) == pytest.approx(float(found["distance"]) + 1)
    assert cli(compared(distances, "--json", "--quiet")) == 0
    (arm, _) = json.loads(capsys.readouterr().out)["arms"]
    assert {"distance", "distance_low", "test_distance", "test_distance_high"} <= arm.keys()
    assert not any("error" in name for name in arm)
    assert f"{arm['distance']:.4g} [" in row  # as it is, not in percent
    assert f"{arm['test_distance']:.4g} [" in row
    assert "test_distance" in Path("out/curves.csv").read_text()


def test_what_is_maximised_is_said_as_it_is(
    distances: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(compared(distances, "--objective", "quality:max", "--json", "--quiet")) == 0
    (arm, _) = json.loads(capsys.readouterr().out)["arms"]
    assert arm["quality"] == pytest.approx(9 - (arm["test_distance"] - 1))
    assert arm["quality_low"] <= arm["quality"] <= arm["quality_high"]
    assert arm["regret"] >= 0
    best = json.loads(Path("out/account.json").read_text())["best"]
    assert arm["regret"] == pytest.approx(best - arm["quality"])


def test_the_goal_is_the_objective_unless_one_is_given(distances: Path) -> None:
    asked = {"space": distances.stem, "plugins": (str(distances),)}
    assert with_goal(asked)["objectives"] == ("distance:min",)
    assert with_goal({**asked, "objectives": ("params",)})["objectives"] == ("params",)
    assert with_goal({**asked, "evaluator": "train"})["objectives"] == ("error:min",)
    assert with_goal({**asked, "evaluator": "module:function"})["objectives"] == ("error:min",)
    assert with_goal({}) == {}


@pytest.mark.parametrize(
    ("named", "title"),
    [
        (Named(), "Validation regret"),
        (Named("distance", "test_distance"), "Regret, distance"),
    ],
)
def test_curves_and_columns_have_the_figure_s_name(named: Named, title: str) -> None:
    common = {"seconds": 1.0, "tests": {}, "key": "k", "budgets": [1.0, 1.0], "ids": ["x", "y"]}
    traces = [
        Trace(arm="a", seed=s, spent=[1.0, 2.0], anew=[1.0, 2.0], costs=[[3.0, 2.5]], **common)  # type: ignore[arg-type]
        for s in range(2)
    ]
    truth = Truth(1.0, exact=True, named=named)
    picture = draw({"a": traces}, truth, ["spent"])
    assert title in {shape.text for shape in picture.shapes if isinstance(shape, Text)}
    (line,) = account({"a": traces}, truth)
    assert {named.metric, named.tested} <= line.to_dict(named).keys()
    assert Named("seconds").column == "answer_seconds"  # there is such a column
