"""Workers and drivers killed at random: every evaluation ends exactly once all the same."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.engine.run import Run

SCRIPT = Path(__file__).with_name("storm_process.py")
ROOT = str(Path(__file__).resolve().parents[2])


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False


def start(folder: Path, executor: str, count: int, seconds: float) -> subprocess.Popen[str]:
    folder.parent.mkdir(exist_ok=True)
    path = os.pathsep.join((ROOT, str(SCRIPT.parent)))
    with (folder.parent / "stderr").open("a") as errors:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), executor, str(count), str(seconds), "-"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )


@contextlib.contextmanager
def killing(folder: Path, chance: random.Random, pause: float) -> Iterator[list[int]]:
    """Kill a working process every so often; the list is of those that were."""
    over = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        while not over.wait(chance.uniform(0, 2 * pause)):
            pids = [int(path.name.split("-")[1]) for path in folder.parent.glob("worker-*")]
            pids = [pid for pid in pids if pid not in killed and alive(pid)]
            if pids:
                victim = chance.choice(pids)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def log(folder: Path) -> list[str]:
    with Run.look(folder) as run:
        return sorted(
            json.dumps([e.work.to_dict(), e.status, e.figures, e.value, e.error], sort_keys=True)
            for e in run.history
        )


def storm(
    tmp_path: Path, executor: str, count: int, drivers: int, *, seconds: float, pause: float
) -> int:
    """A run under fire, compared with the same one left in peace; gives the workers killed."""
    quiet = tmp_path / "quiet" / "run"
    with start(quiet, "serial", count, 0.0) as process:
        assert process.wait(120) == 0
    folder = tmp_path / "storm" / "run"
    chance = random.Random(7)
    hits = 0
    dead: list[int] = []
    with killing(folder, chance, pause) as killed:
        for _ in range(drivers):
            with start(folder, executor, count, seconds) as process:
                assert process.stdout is not None
                process.stdout.readline()
                known = stored(folder)
                # Killed after some progress, so that the last one is not left with everything.
                share = (count - known) / (drivers + 1 - hits)
                wait_for_progress(process, folder, known + chance.uniform(0.2, 1.0) * share)
                process.send_signal(signal.SIGKILL)
                hits += process.wait(30) == -signal.SIGKILL
        with start(folder, executor, count, seconds) as process:
            assert process.wait(600) == 0, (folder.parent / "stderr").read_text()[-3000:]
        dead = list(killed)
    assert hits == drivers
    rows = log(folder)
    assert rows == log(quiet)
    works = [json.loads(row)[0] for row in rows]
    ended = Counter(json.dumps(w, sort_keys=True) for w in works if "candidate" in w)
    assert len(ended) == count
    assert set(ended.values()) == {1}
    end = time.monotonic() + 30
    while any(alive(int(p.name.split("-")[1])) for p in folder.parent.glob("worker-*")):
        assert time.monotonic() < end, "a worker outlives its driver"
        time.sleep(0.05)
    return len(dead)


def stored(folder: Path) -> int:
    try:
        with Run.look(folder) as run:
            return len(run.history)
    except Exception:  # it is not there yet
        return 0


def wait_for_progress(process: subprocess.Popen[str], folder: Path, wanted: float) -> None:
    end = time.monotonic() + 120
    while process.poll() is None and stored(folder) < wanted:
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)


def test_a_small_storm(tmp_path: Path) -> None:
    assert storm(tmp_path, "processes", 60, 2, seconds=0.03, pause=0.5) > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_evaluations_in_a_storm(tmp_path: Path) -> None:
    assert storm(tmp_path, "processes", 1000, 20, seconds=0.02, pause=0.4) >= 20


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("ray_environment")
def test_a_thousand_evaluations_in_a_storm_on_ray(tmp_path: Path) -> None:
    assert storm(tmp_path, "ray", 1000, 20, seconds=0.02, pause=1.0) >= 20
