"""The program in this process, and a problem that is searched in milliseconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nas
from nas.cli.main import run
from nas.core.config import RunConfig
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.engine.budget import Budget
from nas.engine.events import Listener
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.run import Plan, Run
from nas.strategies import STRATEGIES
from nas.testing.toys import toy_evaluator
from search_spaces import get_space

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


def plan_of(config: RunConfig) -> Plan:
    """A search of the toy as the engine takes it."""
    strategy = STRATEGIES.get(config.strategy)(config.settings)
    problem = Problem(get_space(config.space), parse_objectives(config.objectives))
    stage = Stage(
        "search", lambda bound, rng, before: strategy.run(bound, rng), Budget.parse(config.budget)
    )
    return Plan(problem, (stage,), Setup(evaluator=toy_evaluator))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`nas.api` that searches toys with the real engine and evaluator of formulas."""

    def search(config: RunConfig, out: Path, listeners: Sequence[Listener] = (), **_: Any) -> Run:
        with Run.create(out, config) as run:
            run.execute(plan_of(config), tuple(listeners))
            return run

    def resume(
        folder: Path, budget: str | None = None, listeners: Sequence[Listener] = (), **_: Any
    ) -> Run:
        with Run.resume(folder, budget=budget) as run:
            run.execute(plan_of(run.config), tuple(listeners))
            return run

    module = ModuleType("nas.api")
    module.search, module.resume = search, resume  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nas.api", module)
    monkeypatch.setattr(nas, "api", module, raising=False)
    return module
