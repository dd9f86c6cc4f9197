"""Limits of the configuration reach the workers, and what watches over failures."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.core.architecture import Candidate
from nas.core.errors import CandidateError, ConfigError
from nas.engine.assemble import assemble
from nas.engine.errors import RunFailed
from nas.engine.folder import compare_configs
from nas.engine.resolve import resolve

ASKED: dict[str, Any] = {"space": "nasbench201", "strategy": "random", "budget": "6evaluations"}


def failing(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
    raise CandidateError("it diverged")


def test_limits_reach_the_workers() -> None:
    asked = {**ASKED, "executor": "processes"}
    limits = ["limits.timeout=90", "limits.memory_mb=4000", "limits.attempts=5"]
    setup = assemble(resolve(asked, assignments=limits)).setup
    assert (setup.timeout, setup.memory_mb, setup.attempts) == (90.0, 4000.0, 5)
    unlimited = assemble(resolve(ASKED)).setup
    assert (unlimited.timeout, unlimited.memory_mb, unlimited.attempts) == (None, None, 2)


@pytest.mark.parametrize(
    ("assignment", "part"),
    [
        ("limits.timeout=0", "limits.timeout"),
        ("limits.rate=2", "limits.rate"),
        ("limits.attempts=0", "limits.attempts"),
        ("limits.tiemout=9", "timeout"),
        ("limits.memory_mb=100", "--executor processes"),
    ],
)
def test_impossible_limits_are_refused(assignment: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        resolve({**ASKED, "executor": "serial"}, assignments=[assignment])


def test_failures_end_a_run_when_the_limits_say_so() -> None:
    with pytest.raises(RunFailed, match="first 2 evaluations all failed"):
        nas.search(**ASKED, evaluator=failing, settings={"limits.first": 2})
    run = nas.search(**ASKED, evaluator=failing, settings={"limits": {"first": 7, "rate": 1.0}})
    assert [entry.status for entry in run.history] == ["failed"] * 6


def test_limits_may_change_between_a_run_and_its_resumption() -> None:
    old = resolve(ASKED).model_dump(mode="json")
    new = resolve(ASKED, assignments=["limits.timeout=5"]).model_dump(mode="json")
    compare_configs(old, new)
    with pytest.raises(ConfigError, match="seed"):
        compare_configs(old, {**new, "seed": 1})
