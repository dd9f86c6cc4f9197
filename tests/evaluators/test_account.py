"""What evaluators say of themselves, and what a run makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

import nas
from nas.core.config import RunConfig, Settings, build_settings
from nas.core.errors import ConfigError, PluginError
from nas.core.protocols import Context, Reply
from nas.core.work import Evaluate, Spent
from nas.engine.resolve import resolve
from nas.evaluators import EVALUATORS, account_of
from nas.testing.toys import ToySpace
from search_spaces import SPACES

Register = Callable[..., str]


class Fid:
    """Figures by formula: a distance, and the same on test data."""

    goal = "fid"
    in_full = True

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._config = build_settings(RunConfig, spec)

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        fid = 1.0 + float(work.candidate.architecture.id[0] == "a") + 0.01 * (work.seed or 0)
        figures = {"fid": fid, "params": 2.0}
        if work.split == "test":
            figures |= self.tested(fid)
        return Reply(figures, spent=Spent(epochs=1.0, macs=100.0))

    def tested(self, fid: float) -> dict[str, float]:
        return {"test_fid": fid + 0.5}


@pytest.fixture
def register() -> Iterator[Register]:
    """`register(kind)` puts a class into the table for one test; its name there."""
    names: list[str] = []
    lent = "toy" not in SPACES
    if lent:
        SPACES.add("toy", ToySpace, "a toy")

    def add(kind: Any) -> str:
        names.append(f"of-a-test-{len(names)}")
        EVALUATORS.add(names[-1], kind, "for a test")
        return names[-1]

    yield add
    for name in names:
        EVALUATORS._rows.pop(name)
    if lent:
        SPACES._rows.pop("toy")


def run(name: str, **more: Any) -> Any:
    settings = {"final": {"seeds": 2, "random_limit": 3}, **more.pop("settings", {})}
    return nas.search(
        space="toy",
        strategy="regularized-evolution",
        evaluator=name,
        budget="5evaluations",
        settings=settings,
        **more,
    )


def test_what_is_not_said_is_the_classifiers() -> None:
    assert account_of("train").goal == "error"
    assert account_of("train").tested == "test_error"
    assert account_of("table:somewhere").in_full is False
    assert account_of("json:dumps").given() is None
    with pytest.raises(PluginError, match="did you mean train"):
        account_of("trian")


def test_a_goal_of_its_own_is_searched_for_whatever_else_is_reported(register: Register) -> None:
    result = run(register(Fid)).result.to_dict()
    assert result["objectives"] == ["fid:min"]
    assert result["baseline"]["metric"] == "test_fid"
    assert "test fid" in result["baseline"]["sentence"]


def test_the_test_split_cannot_be_tuned_on(register: Register) -> None:
    class Careless(Fid):
        reports = ("fid", "test_fid")

    with pytest.raises(ConfigError, match="'test_fid' would tune on the test split; use fid"):
        resolve(
            {"space": "nasbench201", "evaluator": register(Careless), "objectives": ("test_fid",)}
        )


def test_a_full_training_without_its_test_figure_is_a_failure_that_is_told(
    register: Register, tmp_path: Path
) -> None:
    class Forgetful(Fid):
        def tested(self, fid: float) -> dict[str, float]:
            return {}

    done = run(register(Forgetful), out=tmp_path / "run")
    result = done.result.to_dict()
    assert result["baseline"] is None
    assert result["failed"] > 0
    assert "not 'test_fid'" in result["first_failure"]
    assert (tmp_path / "run" / "report.html").is_file()


def test_settings_of_its_own_are_checked(register: Register) -> None:
    class Own(Settings):
        samples: int = Field(100, ge=1)

    class Sampling(Fid):
        Settings = Own

    name = register(Sampling)
    asked = {"space": "nasbench201", "evaluator": name, "strategy": "random"}
    assert resolve(asked).evaluator_settings == {"samples": 100}
    given = resolve({**asked, "evaluator_settings": {"samples": 7}})
    assert given.evaluator_settings == {"samples": 7}
    with pytest.raises(ConfigError, match="'samples' is 0"):
        resolve({**asked, "evaluator_settings": {"samples": 0}})
    with pytest.raises(ConfigError, match="has no setting 'samples'"):
        resolve({**asked, "evaluator": register(Fid), "evaluator_settings": {"samples": 1}})


def test_what_is_wrong_with_a_plug_in_is_said_of_it(register: Register) -> None:
    class Text(Fid):
        reports = "fid"

    class Nothing(Fid):
        goal = None  # type: ignore[assignment]

    class Broken(Fid):
        @staticmethod
        def check_recipe(config: RunConfig) -> None:
            raise ValueError("oops")

    for kind, words in ((Text, "reports 'fid'"), (Nothing, "goal None"), (Broken, "oops")):
        name = register(kind)
        with pytest.raises(PluginError, match=words) as caught:
            resolve({"space": "nasbench201", "strategy": "random", "evaluator": name})
        assert name in str(caught.value)


def test_a_report_is_written_though_the_evaluator_has_moved(
    register: Register, tmp_path: Path
) -> None:
    from nas.api import write_report

    name = register(Fid)
    run(name, out=tmp_path / "run")
    row = EVALUATORS._rows.pop(name)
    try:
        page = write_report(tmp_path / "run").read_text()
    finally:
        EVALUATORS._rows[name] = row
    assert "fid" in page
    json.loads((tmp_path / "run" / "front.json").read_text())
