"""What is wrong with a Ray cluster is said in one line, soon, and before any work starts."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import nas
from nas.cli.main import app, run
from nas.core.config import RunConfig
from nas.core.errors import ConfigError, UnsupportedError
from nas.engine.errors import ClusterError
from nas.engine.executors import ray_cluster
from nas.engine.executors.base import Setup
from nas.engine.executors.parcels import pack, unpack
from nas.engine.executors.ray import RayExecutor
from nas.engine.executors.ray_cluster import fair_threads, split_address
from nas.engine.placement import allow_sharing, check_executor
from nas.engine.resolve import resolve
from nas.strategies.random import Random
from nas.testing.replay import Trial
from nas.testing.toys import toy_problem

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra 'ray' is not installed"
)
ASKED: dict[str, Any] = {"space": "nasbench201", "strategy": "random", "executor": "ray"}


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def web() -> Iterator[str]:
    """The address of a web server."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def closed() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@needs_ray
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("closed", "no Ray cluster answers at 127.0.0.1:.*: Connection refused"),
        ("silent", "no Ray cluster answers at 127.0.0.1:.*: no answer"),
        ("web", "what answers at 127.0.0.1:.* is no Ray cluster"),
    ],
)
def test_an_address_where_no_cluster_answers(
    where: str, words: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(where)
    begun = time.monotonic()
    with pytest.raises(ClusterError, match=words) as caught:
        resolve({**ASKED, "address": address})
    assert time.monotonic() - begun < 8
    assert caught.value.exit_code == 4


@needs_ray
def test_the_command_ends_with_one_line_and_code_4(
    closed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["search", "--space", "nasbench201", "--strategy", "random"]
    code = run([*command, "--executor", "ray", "--address", closed, "--out", str(out)])
    err = capsys.readouterr().err.strip()
    assert code == 4
    assert len(err.splitlines()) == 1
    assert "no Ray cluster answers at" in err
    assert not out.exists()


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=r"pip install 'nas-engine\[ray\]'") as caught:
        resolve(ASKED)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("address", ["", "here", "host:", ":6379", "host:0", "host:70000", "a b:1"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match="no HOST:PORT"):
        split_address(address)


def test_addresses() -> None:
    assert split_address("10.0.0.5:6379") == ("10.0.0.5", 6379)
    assert split_address("head.cluster-1.local:6379") == ("head.cluster-1.local", 6379)
    assert split_address("[::1]:6379") == ("::1", 6379)


def config(**asked: Any) -> RunConfig:
    return RunConfig(space="nasbench201", strategy="random", **asked)


def test_what_does_not_fit_together() -> None:
    with pytest.raises(ConfigError, match="add --executor ray"):
        check_executor(config(executor="processes", address="a:1"))
    with pytest.raises(ConfigError, match="did you mean ray"):
        check_executor(config(executor="rai"))
    with pytest.raises(
        ConfigError, match=r"4 workers for the one CUDA device 'cuda'.*per_device=4"
    ):
        check_executor(config(executor="processes", workers=4, device="cuda"))
    with pytest.raises(UnsupportedError, match="CUDA_VISIBLE_DEVICES"):
        check_executor(config(executor="ray", device="cuda:1"))
    with pytest.raises(ConfigError, match="workers"):
        resolve({**ASKED, "executor": "processes", "workers": 0})
    check_executor(config(executor="processes", workers=4, device="auto"))
    check_executor(config(executor="serial", workers=4, device="cuda"))
    shared = {"per_device": 4}
    check_executor(config(executor="processes", workers=4, device="cuda", limits=shared))


def test_a_presets_workers_may_share_the_device_that_was_asked_for() -> None:
    preset = {"workers": 2, "executor": "processes"}
    assert allow_sharing(preset, {"device": "cuda"})["limits"] == {"per_device": 2}
    assert "limits" not in allow_sharing(preset, {"device": "cpu"})
    assert "limits" not in allow_sharing(preset, {"device": "cuda", "workers": 4})
    own = {"device": "cuda", "limits": {"per_device": 1}}
    assert allow_sharing(preset, own)["limits"] == {"per_device": 1}


@given(st.lists(st.integers(0, 40), max_size=5), st.integers(1, 30), st.integers(1, 40))
def test_threads_are_as_many_as_all_workers_can_have(
    cpus: list[int], workers: int, most: int
) -> None:
    def room(threads: int) -> int:
        return sum(count // threads for count in cpus)

    threads = fair_threads(cpus, workers, most)
    assert 1 <= threads <= most
    assert threads == 1 or room(threads) >= workers
    assert all(room(more) < workers for more in range(threads + 1, most + 1))


def test_parcels_arrive_whole_and_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "a" / "scratch" / "x").mkdir(parents=True)
    (tmp_path / "a" / "scratch" / "x" / "state").write_bytes(b"\0\1")
    (tmp_path / "a" / "file").write_bytes(b"2")
    whole = pack(tmp_path / "a", tmp_path / "a" / "scratch")
    assert whole == {"scratch/x/state": b"\0\1"}
    assert pack(tmp_path / "a", tmp_path / "a" / "file") == {"file": b"2"}
    assert pack(tmp_path / "a", tmp_path / "a" / "nothing") == {}
    unpack(tmp_path / "b", whole)
    assert pack(tmp_path / "b", tmp_path / "b") == whole
    for path in ("../out", "/tmp/out", "a/../../out"):
        with pytest.raises(ValueError, match="leads out"):
            unpack(tmp_path / "b", {path: b""})
    assert not (tmp_path / "out").exists()


def test_the_option_is_explained() -> None:
    for command in ("search", "resume"):
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        assert "--address" in text


@needs_ray
def test_a_cluster_of_our_own_comes_and_goes(ray_environment: Any, tmp_path: Path) -> None:
    import ray

    if ray.is_initialized():
        pytest.skip("this process has joined a cluster")
    before = signal.getsignal(signal.SIGTERM)
    pids = []

    class Listening(RayExecutor):
        """Looks at what was started."""

        def submit(self, job: Any) -> None:
            assert signal.getsignal(signal.SIGTERM) is before
            pids.append(ray.nodes()[0]["NodeID"])
            super().submit(job)

    setup = Setup(evaluator="nas.testing.toys:toy_evaluator")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves its processes to the end
        trial = Trial(
            Random({"batch": 4}),
            toy_problem(),
            setup,
            "4evaluations",
            executor=lambda: Listening(1),
        )
        assert len(trial.begin(tmp_path).outcomes) == 4
        gc.collect()
    assert len(pids) == 4
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is before
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert ray_cluster.INSTALL.startswith("pip install")


@needs_ray
def test_a_run_goes_on_elsewhere_only_where_somebody_answers(closed: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked: dict[str, Any] = {
        "space": "nasbench201",
        "strategy": "random",
        "budget": "2evaluations",
        "evaluator": quick,
    }
    nas.search(out=out, **asked)
    with pytest.raises(ClusterError, match="answers at"):
        nas.resume(out, address=closed, evaluator=quick)
    nas.resume(out, evaluator=quick)


def quick(candidate: Any, budget: float | None, seed: int) -> dict[str, float]:
    return {"error": 0.5}
