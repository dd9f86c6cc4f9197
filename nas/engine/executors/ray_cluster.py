"""Reaching a Ray cluster, or starting one on this machine; what it has, and what that allows.

Everything that can be wrong with a cluster is found here, before any work starts.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nas.core.errors import ConfigError, NasError
from nas.core.version import VERSION
from nas.engine.errors import ClusterError
from nas.engine.executors.bench import one_line
from nas.engine.executors.ray_module import on_node, ray
from nas.engine.executors.ray_worker import look
from nas.engine.executors.threads import VARIABLES, fair_share

INSTALL: Final = "pip install 'nas-engine[ray]'"
ANSWER: Final = 5.0
"""Seconds that something at the address gets to answer."""

PROBE: Final = 120.0
"""Seconds that a node gets to start its first worker."""

OBJECTS: Final = 128 * 2**20
"""Bytes of the object store of a cluster of our own, through which only small things go."""

_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):([0-9]{1,5})")


@dataclass(frozen=True)
class Share:
    """What one worker takes of a cluster.

    Attributes:
        threads: CPU threads, and so many of Ray's CPUs.
        gpus: Part of a GPU.
        runnable: Workers of that size that find room at the same time.
    """

    threads: int
    gpus: float
    runnable: int


def check_ray(address: str | None) -> None:
    """Refuse what cannot work: Ray is not installed, or nothing answers at the address.

    Args:
        address: HOST:PORT of a cluster; None or empty for one of our own.

    Raises:
        ClusterError: So it is (exit code 4).
        ConfigError: The address cannot be read.
    """
    if importlib.util.find_spec("ray") is None:
        raise ClusterError("the executor 'ray' needs the package ray, which is missing", INSTALL)
    if address:
        _knock(address, *split_address(address))


def split_address(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        ConfigError: It is no HOST:PORT.
    """
    match = _ADDRESS.fullmatch(address)
    port = int(match[3]) if match else 0
    if match is None or not 0 < port < 65536:
        raise ConfigError(
            f"address {address!r} is no HOST:PORT",
            "give the address that `ray start --head` printed, e.g. 10.0.0.5:6379",
        )
    return match[1] or match[2], port


def _knock(address: str, host: str, port: int) -> None:
    """See whether a server that may be Ray's answers: they all speak HTTP/2."""
    hint = "is the cluster up? `ray start --head` prints its address"
    try:
        with socket.create_connection((host, port), timeout=ANSWER) as line:
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
                return  # it would have to be asked with the cluster's certificates
            line.settimeout(ANSWER)
            line.sendall(_HELLO)
            head = line.recv(9)
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise ClusterError(f"no Ray cluster answers at {address}: {reason}", hint) from None
    if len(head) < 9 or head[3] != 4:  # its first frame has to be its settings
        raise ClusterError(f"what answers at {address} is no Ray cluster", hint)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts a handler of its own in the place of whoever handles SIGTERM."""
    try:
        before = signal.getsignal(signal.SIGTERM)
        yield
    finally:
        with contextlib.suppress(ValueError):  # not in the main thread: then Ray could not either
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextlib.contextmanager
def signals_as_they_are() -> Iterator[None]:
    """What a signal's handler raises while Ray waits comes out as itself.

    Ray's compiled code makes a `SystemError` of what is no `Exception`.
    """
    try:
        yield
    except SystemError as error:
        hidden = error.__cause__ or error.__context__
        if hidden is None or isinstance(hidden, Exception):
            raise
        raise hidden from None


def connect(address: str, workers: int, gpus: int, threads: int | None) -> Callable[[], None]:
    """Join the cluster at `address`, start one for this process alone, or use the one there is.

    Args:
        address: HOST:PORT, or empty.
        workers: Workers that a cluster of our own must have room for.
        gpus: Its GPUs.
        threads: CPU threads of each worker; None for a fair share.

    Returns:
        What undoes it.

    Raises:
        ClusterError, ConfigError: It is not there, or refuses.
    """
    check_ray(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "8")  # seconds, of 20, to be let in
    module = ray()
    if module.is_initialized():  # by the caller, whose it remains
        return _nothing
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address:
        options["address"] = address
    else:
        options.update(
            address="local",
            num_cpus=workers * (threads or fair_share(workers)),
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=OBJECTS,
        )
    with _own_signals():
        try:
            module.init(**options)
        except NasError:
            raise
        except Exception as error:  # Ray has no common class for its refusals
            raise _refusal(address, error) from error
    return _leave


def _refusal(address: str, error: Exception) -> ClusterError:
    text = one_line(str(error))
    if not address:
        return ClusterError(f"Ray cannot be started here: {text}", "see its logs, or use processes")
    return ClusterError(
        f"the Ray cluster at {address} does not let this process in: {text}",
        "this machine must be one of its nodes (`ray start --address=...`), with the same versions"
        " of Python and Ray, RAY_AUTH_MODE and token",
    )


def _nothing() -> None:
    pass


def _leave() -> None:
    with _own_signals():
        ray().shutdown()


def alive_nodes() -> list[Mapping[str, Any]]:
    """The cluster's nodes that live."""
    return [node for node in ray().nodes() if node["Alive"]]


def ask_nodes(checkpoints: str, marker: str) -> bool:
    """See that every node can do our work; whether all of them share the run's folder.

    Args:
        checkpoints: The folder; empty if nothing is kept in it.
        marker: Name of the file by which a node sees that it is the same one.

    Raises:
        ClusterError: A node cannot start a worker, or has another version of the package.
    """
    remote = ray().remote(look)
    asked = [
        (
            node["NodeManagerHostname"],
            remote.options(
                num_cpus=0, max_retries=1, scheduling_strategy=on_node(node["NodeID"])
            ).remote(checkpoints, marker),
        )
        for node in alive_nodes()
    ]
    return all([_seen(name, reference) for name, reference in asked])  # each is heard


def _seen(name: str, reference: Any) -> bool:
    try:
        version, shares = ray().get(reference, timeout=PROBE)
    except ray().exceptions.NodeDiedError:
        return True  # it is none of the cluster's any more
    except Exception as error:
        reason = one_line(str(error).strip().split("\n")[-1])
        raise ClusterError(
            f"node {name!r} of the Ray cluster cannot do our work: {reason}",
            f"install nas-engine {VERSION} and its plug-ins on every node",
        ) from error
    if version != VERSION:
        raise ClusterError(
            f"node {name!r} of the Ray cluster has nas-engine {version}, not {VERSION}",
            "install the same version on every node",
        )
    return bool(shares)


def share(workers: int, per_device: int, gpu: bool, threads: int | None) -> Share:
    """What one of `workers` may take.

    Args:
        workers: Their number.
        per_device: Workers that share a GPU.
        gpu: They compute on GPUs.
        threads: Threads that each must have; None for as many as there are.

    Raises:
        ClusterError: There is not even room for one.
    """
    nodes = [node["Resources"] for node in alive_nodes()]
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    allowed = os.environ.get(VARIABLES[0], "")
    most = threads or (max(1, int(allowed)) if allowed.isdigit() else max(cpus, default=1))
    size = threads or fair_threads(cpus, workers, most)
    part = 1 / per_device if gpu else 0.0
    fits = [
        min(node // size, int(resources.get("GPU", 0) * per_device) if gpu else node)
        for node, resources in zip(cpus, nodes, strict=True)
    ]
    if not sum(fits):
        has = f"{sum(cpus)} CPUs and {sum(node.get('GPU', 0) for node in nodes):g} GPUs"
        wants = f"{size} CPU{'' if size == 1 else 's'}" + (f" and {part:g} GPU" if gpu else "")
        raise ClusterError(
            f"no node of the Ray cluster has room for a worker of {wants}: it has {has}",
            "use --device cpu, or add nodes",
        )
    return Share(size, part, sum(fits))


def fair_threads(cpus: Sequence[int], workers: int, most: int) -> int:
    """The most threads that each of `workers` can have at the same time; at least 1."""
    for threads in range(most, 1, -1):
        if sum(count // threads for count in cpus) >= workers:
            return threads
    return 1
