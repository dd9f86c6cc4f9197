"""Ctrl-C and SIGTERM from outside: the run is saved, and resuming it gives the same result."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = "import sys; from nas.cli.main import run; sys.exit(run(sys.argv[1:]))"
PLUGIN = """
import time
from nas.evaluators import EVALUATORS
from nas.testing.toys import ToySpace, toy_evaluator
from search_spaces import SPACES

SPACES.add("toy", ToySpace, "a toy of 512 members")

@EVALUATORS.register("slow", "figures by formula, slowly")
def slow(candidate, budget, seed):
    time.sleep(0.05)
    return toy_evaluator(candidate, budget, seed)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(PLUGIN)
    file = tmp_path / "slow.yaml"
    file.write_text(
        "space: toy\nstrategy: random\nevaluator: slow\nplugins: [slow.py]\nexecutor: serial\n"
        "objectives: [error]\nbudget: 60evaluations\nsettings: {batch: 4, epochs: 4}\n"
    )
    return file


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_stop_and_go_on(tmp_path: Path, config: Path, number: int, code: int) -> None:
    search = ("search", "--config", config.name, "--json")
    process = start(tmp_path, *search, "--out", "run")
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += json.loads(line)["event"] == "outcome"
        if seen == 3:
            process.send_signal(number)
            break
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert json.loads(rest.splitlines()[-1])["status"] == "stopped"
    assert "Traceback" not in errors

    resumed = start(tmp_path, "resume", "run", "--json")
    undisturbed = start(tmp_path, *search, "--out", "whole")
    told = [process.communicate(timeout=120) for process in (resumed, undisturbed)]
    assert (resumed.returncode, undisturbed.returncode) == (0, 0), told
    results = [json.loads(out.splitlines()[-1]) for out, _ in told]
    assert results[0]["best"] == results[1]["best"]
    assert results[0]["front"] == results[1]["front"]
    assert results[0]["spent"]["evaluations"] == 60
