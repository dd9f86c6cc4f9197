"""The executor `ray` on a real cluster of two nodes, one of which is lost; and killed drivers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nas.engine.run import Run

SCRIPT = Path(__file__).with_name("storm_process.py")
ROOT = Path(__file__).resolve().parents[2]
COUNT = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("ray_environment"),
]


@dataclass
class Nodes:
    """A cluster: its address, and the process groups of its nodes, the head first."""

    address: str
    nodes: list[subprocess.Popen[bytes]]

    def lose(self) -> None:
        """Kill the second node and all that runs on it."""
        os.killpg(self.nodes[1].pid, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def environment() -> dict[str, str]:
    path = os.pathsep.join((str(ROOT), str(SCRIPT.parent)))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def node(*flags: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block"]
    limits = ["--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats"]
    return subprocess.Popen(
        [*command, *limits, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,  # so that it can be ended with all its processes
    )


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 120) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes on this machine, made by `ray start`."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    place = Path("/tmp") / f"nas-ray-{os.getpid()}-{port}"  # sockets' paths must be short
    head = node("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={place}")
    nodes = [head]
    try:
        wait_until(lambda: answers(port), "the head does not start")
        nodes.append(node(f"--address={address}"))
        wait_until(lambda: living(address) == 2, "the second node does not come")
        yield Nodes(address, nodes)
    finally:
        for process in reversed(nodes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(place, ignore_errors=True)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def living(address: str) -> int:
    """Nodes that live, asked by a process of its own: this one joins no cluster."""
    code = (
        "import sys, ray; ray.init(address=sys.argv[1], logging_level='error');"
        " print(sum(node['Alive'] for node in ray.nodes()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, address],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    return int(done.stdout.strip().split("\n")[-1]) if done.returncode == 0 else 0


def search(folder: Path, executor: str, address: str = "-", seconds: float = 0.1) -> Any:
    folder.parent.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), str(folder), executor, str(COUNT), str(seconds)]
    with (folder.parent / "stderr").open("a") as errors:
        return subprocess.Popen(
            [*command, address], stdout=subprocess.DEVNULL, stderr=errors, env=environment()
        )


def log(folder: Path) -> list[Mapping[str, Any]]:
    with Run.look(folder) as run:
        rows = [[e.work.to_dict(), e.status, e.figures, e.value] for e in run.history]
    return sorted(rows, key=str)


def stored(folder: Path) -> int:
    try:
        with Run.look(folder) as run:
            return len(run.history)
    except Exception:  # it is not there yet
        return 0


def test_a_lost_node_costs_nothing_and_a_killed_driver_goes_on(
    cluster: Nodes, tmp_path: Path
) -> None:
    quiet = tmp_path / "quiet" / "run"
    assert search(quiet, "serial", seconds=0).wait(100) == 0
    folder = tmp_path / "ray" / "run"
    driver = search(folder, "ray", cluster.address)
    wait_until(lambda: stored(folder) > COUNT / 6 or driver.poll() is not None, "nothing is done")
    driver.send_signal(signal.SIGKILL)
    assert driver.wait(20) == -signal.SIGKILL
    driver = search(folder, "ray", cluster.address)
    wait_until(lambda: stored(folder) > COUNT / 2 or driver.poll() is not None, "nothing is done")
    assert driver.poll() is None
    cluster.lose()
    assert driver.wait(200) == 0, (folder.parent / "stderr").read_text()[-3000:]
    assert log(folder) == log(quiet)
    assert living(cluster.address) == 1


def test_the_command_searches_on_a_cluster(cluster: Nodes, tmp_path: Path) -> None:
    (tmp_path / "figures.py").write_text(
        "from nas.testing.toys import ToySpace, toy_figures\n"
        "from nas.evaluators import EVALUATORS\n"
        "from search_spaces import SPACES\n"
        "SPACES.register('toy', 'small')(ToySpace)\n"
        "@EVALUATORS.register('formula', 'by formula')\n"
        "def formula(candidate, budget, seed):\n"
        "    return toy_figures(candidate, budget, seed)\n"
    )
    command = [sys.executable, "-c", "from nas.cli.main import main; main()"]
    command += ["search", "--space", "toy"]
    command += ["--strategy", "random", "--budget", "12evaluations", "--plugin", "figures.py"]
    command += ["--evaluator", "formula", "--executor", "ray", "--workers", "2", "--device", "cpu"]
    command += ["--address", cluster.address, "--objective", "error", "--out", "run", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().split("\n")[-1])["status"] == "done"
    assert stored(tmp_path / "run") == 12
