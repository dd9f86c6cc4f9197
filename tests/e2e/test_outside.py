"""What a person's own script and own mistakes meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.core.errors import ConfigError, DataError, PluginError
from nas.engine.errors import RunFailed

UNGUARDED = """
import nas
import numpy as np
from search_spaces import get_space

architecture = get_space("nasbench201").sample(np.random.default_rng(0))
one = nas.evaluate(architecture, data="digits", epochs=1, scale={"channels": 4, "layers": 1},
                   data_settings={"limit": 40})
tiny = {"channels": 4, "layers": 1}
run = nas.search(space="nasbench201", strategy="random", data="digits", budget="1evaluations",
                 settings={"epochs": 1, "network": tiny, "data_settings": {"limit": 40},
                           "final": {"scales": [tiny], "seeds": 1, "epochs": 1}})
print(one.status, run.best.status, run.config.executor)
"""


def test_a_script_needs_no_guard() -> None:
    """Other processes would import the script, and a script from a pipe cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-"],
        input=UNGUARDED,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ok", "ok", "serial"]


def test_executor_and_workers_can_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be sent"):
        nas.search(
            space="nasbench201",
            strategy="random",
            evaluator=lambda candidate, budget, seed: {"error": 0.5},
            budget="1evaluations",
            workers=2,
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["json:nothing", "nowhere_at_all:figures"])
def test_a_function_that_is_not_there_leaves_no_folder(tmp_path: Path, place: str) -> None:
    with pytest.raises(PluginError):
        nas.search(
            space="nasbench201",
            strategy="random",
            evaluator=place,
            budget="1evaluations",
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def test_a_function_is_asked_for_the_error_alone() -> None:
    run = nas.search(
        space="nasbench201",
        strategy="random",
        evaluator=lambda candidate, budget, seed: {"error": 0.5},
        budget="3evaluations",
    )
    assert run.config.objectives == ("error:min",)
    assert len(run.front) == 1


def test_a_function_that_is_silent_about_an_objective_is_told() -> None:
    with pytest.raises(RunFailed, match="gave accuracy, not 'error'"):
        nas.search(
            space="nasbench201",
            strategy="random",
            evaluator=lambda candidate, budget, seed: {"accuracy": 0.5},
            budget="8evaluations",
        )


@pytest.mark.parametrize("label", [-1, 10**9])
def test_wrong_data_leaves_no_run_behind(tmp_path: Path, label: int) -> None:
    labels = np.arange(40) % 2
    labels[3] = label
    images = np.zeros((40, 8, 8), np.uint8)
    np.savez(tmp_path / "data.npz", x=images, y=labels)
    out = tmp_path / "run"
    with pytest.raises(DataError, match=f"hold the label {label}"):
        nas.search(space="nasbench201", data=f"npz:{tmp_path / 'data.npz'}", out=out)
    assert not out.exists()


def test_a_result_always_says_something_of_the_baseline() -> None:
    run = nas.search(
        space="nasbench201",
        strategy="random",
        evaluator=lambda candidate, budget, seed: {"error": 0.5},
        budget="1evaluations",
    )
    assert run.result is not None
    assert run.result.to_dict()["baseline"] is None
    json.dumps(run.result.to_dict())
