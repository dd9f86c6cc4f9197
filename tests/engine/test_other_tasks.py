"""What a run of another task leaves and says: its own figures, and nothing of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from torch import nn

from nas import api
from nas.cli.main import run as cli
from nas.core.config import RunConfig
from nas.core.protocols import Context, Reply
from nas.core.work import Evaluate, Spent
from nas.engine.events import Notice
from nas.engine.report_data import data_note
from nas.evaluators import EVALUATORS, WEIGHTS, Inputs
from nas.testing.toys import ToySpace, toy_figures
from nas.training import save_weights
from search_spaces import SPACES


class Drawing:
    """Of networks that take four numbers."""

    reports: ClassVar = ("distance", "params")
    goal, in_full = "distance", True

    def __init__(self, spec: Mapping[str, Any]) -> None: ...

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        told = toy_figures(work.candidate, work.budget, 0)
        figures = {"distance": 5 * told["error"], "params": told["params"]}
        if work.split == "test":
            figures["test_distance"] = figures["distance"]
            if context.scratch is not None:
                save_weights(nn.Linear(4, 2), context.scratch / WEIGHTS, {})
        return Reply(figures, spent=Spent(epochs=1.0, macs=1.0))


class Telling(Drawing):
    @staticmethod
    def inputs(config: RunConfig) -> Inputs:
        return Inputs((4,), 2)


def drawn(evaluator: type[Drawing], out: Path) -> list[str]:
    """Search with an evaluator; what was noticed."""
    name = f"toy{uuid4().hex[:8]}"

    class Space(ToySpace):
        def network(self, *arguments: Any, **scale: Any) -> nn.Module:
            return nn.Linear(4, 2)

    SPACES.register(name, "a toy")(lambda: Space(name))
    EVALUATORS.register(name, "distances")(evaluator)
    notices: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    api.search(
        space=name,
        strategy="random",
        evaluator=name,
        budget="3evaluations",
        settings={"final": {"seeds": 1, "random_limit": 1}},
        listeners=(listen,),
        out=out,
    )
    return notices


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder and the notices of a run whose evaluator has no `inputs`."""
    folder = tmp_path_factory.mktemp("silent") / "run"
    return folder, drawn(Drawing, folder)


def test_without_inputs_the_forms_are_left_out_at_once(silent: tuple[Path, list[str]]) -> None:
    folder, notices = silent
    (notice,) = [text for text in notices if "left out" in text]
    assert notice == (
        "best/model.py and model.onnx were left out: "
        "its evaluator does not say what its networks take (inputs)"
    )
    there = {path.name for path in (folder / "best").iterdir()}
    assert there == {"architecture.json", "cells.svg", WEIGHTS}


def test_with_inputs_they_are_tried(tmp_path: Path) -> None:
    notices = drawn(Telling, tmp_path / "run")
    assert not any("(inputs)" in text for text in notices)
    assert (tmp_path / "run" / "best" / "model.onnx").is_file()


def test_nothing_is_said_of_digits(
    silent: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = silent
    page = (folder / "report.html").read_text()
    assert "Distance against cost" in page
    assert "1,797" not in page
    assert "data <b>" not in page
    capsys.readouterr()
    assert cli(["status", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "random on toy" in said
    assert "data" not in said


def test_of_our_trainings_the_data_are_named() -> None:
    config = RunConfig(space="nasbench201", strategy="random", data="digits")
    assert "1,797 digits" in data_note(config)
    assert data_note(config.model_copy(update={"evaluator": "module:function"})) == ""
