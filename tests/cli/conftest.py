"""The program in this process, and a problem that is searched in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from nas import api
from nas.cli.main import run

TOY = """
from nas.evaluators import EVALUATORS
from nas.testing.toys import ToySpace, toy_evaluator
from search_spaces import SPACES

SPACES.add("toy", ToySpace, "a toy of 512 members")
EVALUATORS.add("toy", toy_evaluator, "figures by formula")
"""


@dataclass(frozen=True)
class Said:
    """What a command left: exit code and both streams."""

    code: int
    out: str
    err: str


Program = Callable[..., Said]


@pytest.fixture(autouse=True)
def _quiet_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No colours or widths from the developer's shell, and nothing written into the tree."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "NAS_DEBUG", "NAS_DATA", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    """`program("list", "spaces")` runs the command in this process."""

    def invoke(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(list(arguments))
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return invoke


@pytest.fixture(scope="session")
def toy_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for `--plugin` that registers the space and the evaluator "toy"."""
    file = tmp_path_factory.mktemp("plugin") / "toy.py"
    file.write_text(TOY)
    return file


@pytest.fixture(scope="session")
def toy_config(tmp_path_factory: pytest.TempPathFactory, toy_plugin: Path) -> Path:
    """A file for `--config`: random search of the toy, no final trainings."""
    file = tmp_path_factory.mktemp("config") / "toy.yaml"
    file.write_text(
        f"space: toy\nstrategy: random\nevaluator: toy\nplugins: ['{toy_plugin}']\n"
        "objectives: ['error:min', 'params:min']\nbudget: 12evaluations\n"
        "settings: {batch: 4, epochs: 4}\n"
    )
    return file


@pytest.fixture
def engine() -> ModuleType:
    """`nas.api`, in which a test may replace what it wants to fail."""
    return api
