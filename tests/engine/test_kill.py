"""SIGKILL, Ctrl-C and SIGTERM, sent to real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.engine.run import Run

SCRIPT = Path(__file__).with_name("search_process.py")
ROOT = str(Path(__file__).resolve().parents[2])
Process = subprocess.Popen[str]


def start(folder: Path, executor: str, strategy: str, seconds: float, *flags: str) -> Process:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), executor, strategy, str(seconds), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"},
    )


def finish(process: Process, timeout: float = 90) -> tuple[int, list[str]]:
    out, err = process.communicate(timeout=timeout)
    assert "Traceback" not in err, err
    return process.returncode, out.splitlines()


def log(folder: Path, *, ordered: bool) -> list[str]:
    with Run.look(folder) as run:
        rows = [
            json.dumps(
                [e.work.to_dict(), e.status, e.figures, e.value, e.spent.epochs], sort_keys=True
            )
            for e in run.history
        ]
        return rows if ordered else sorted(rows)


EVERYWHERE = ["serial", "processes", pytest.param("ray", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def _ready(request: pytest.FixtureRequest) -> None:
    call = getattr(request.node, "callspec", None)
    if call is not None and call.params.get("executor") == "ray":
        request.getfixturevalue("ray_environment")


def wait_for(condition: Callable[[], Any], timeout: float = 30) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False


def workers(folder: Path) -> list[int]:
    return [int(path.name.split("-")[1]) for path in folder.parent.glob("worker-*")]


def kill_and_resume(tmp_path: Path, executor: str, strategy: str, kills: int, seed: int) -> None:
    whole = tmp_path / "whole" / "run"
    process = start(whole, executor, strategy, 0.02)
    assert process.stdout is not None
    process.stdout.readline()
    begun = time.monotonic()
    code, lines = finish(process)
    assert code == 0
    lasted = time.monotonic() - begun
    chance = random.Random(seed)
    folder = tmp_path / "killed" / "run"
    hits = 0
    for _ in range(kills):
        process = start(folder, executor, strategy, 0.02)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, lasted / max(2, kills / 3)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        hits += process.returncode == -signal.SIGKILL
    assert hits > 0
    code, again = finish(start(folder, executor, strategy, 0.02))
    assert code == 0
    assert json.loads(again[-2]) == json.loads(lines[-2])
    ordered = executor == "serial"
    assert log(folder, ordered=ordered) == log(whole, ordered=ordered)
    wait_for(lambda: not any(alive(pid) for pid in workers(folder)))
    left = sorted(path.name.split("-")[0] for path in folder.glob("checkpoints/*.session"))
    assert left == ([] if strategy == "random" else ["critic", "generator"])


@pytest.mark.parametrize(
    ("executor", "strategy"), [("serial", "alternating"), ("processes", "batches")]
)
def test_killed_twice_it_ends_as_if_undisturbed(
    tmp_path: Path, executor: str, strategy: str
) -> None:
    kill_and_resume(tmp_path, executor, strategy, 2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "strategy"),
    [
        ("serial", "alternating"),
        ("serial", "batches"),
        ("serial", "random"),
        ("processes", "batches"),
        ("processes", "random"),
        ("ray", "batches"),
    ],
)
def test_killed_twenty_times_it_ends_as_if_undisturbed(
    tmp_path: Path, executor: str, strategy: str
) -> None:
    kill_and_resume(tmp_path, executor, strategy, 5 if executor == "ray" else 20, seed=2)


@pytest.mark.parametrize("executor", EVERYWHERE)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_running_work_end(
    tmp_path: Path, executor: str, number: int, code: int
) -> None:
    folder = tmp_path / "run"
    process = start(folder, executor, "random", 0.3)
    wait_for(lambda: workers(folder))
    process.send_signal(number)
    returned, lines = finish(process)
    assert returned == code
    assert lines[-1] == f"nas resume {folder}"
    with Run.look(folder) as run:
        assert run.status()["status"] == "stopped"
        stored = len(run.history)
        assert 1 <= stored < 40
    code, lines = finish(start(folder, executor, "random", 0.001))
    assert code == 0
    with Run.look(folder) as run:
        assert run.status()["status"] == "done"
        assert len(run.history) == 40


@pytest.mark.parametrize("executor", EVERYWHERE)
def test_after_the_grace_work_is_interrupted_and_not_recorded(
    tmp_path: Path, executor: str
) -> None:
    folder = tmp_path / "run"
    process = start(folder, executor, "random", 60, "hasty")
    wait_for(lambda: workers(folder))
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    code, _ = finish(process)
    assert code == 130
    assert time.monotonic() - begun < 8
    with Run.look(folder) as run:
        assert run.history == []


@pytest.mark.parametrize("executor", EVERYWHERE)
def test_the_second_signal_stops_at_once(tmp_path: Path, executor: str) -> None:
    folder = tmp_path / "run"
    process = start(folder, executor, "random", 60, "deaf")
    wait_for(lambda: workers(folder))
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    code, _ = finish(process)
    assert code == 130
    assert time.monotonic() - begun < 8
    wait_for(lambda: not any(alive(pid) for pid in workers(folder)), 10)
    with Run.look(folder) as run:
        assert run.status()["status"] == "stopped"


def test_workers_die_with_a_killed_parent_and_the_run_is_called_interrupted(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    process = start(folder, "processes", "random", 60, "deaf")
    wait_for(lambda: len(workers(folder)) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(alive(pid) for pid in workers(folder)), 10)
    with Run.look(folder) as run:
        assert run.status()["status"] == "interrupted"
