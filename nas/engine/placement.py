"""Where work is to be done: what of executor, workers, devices and address fits together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.core.config import RunConfig, merge
from nas.core.errors import ConfigError, UnsupportedError
from nas.engine.executors import EXECUTORS, Executor


def in_process(executor: Any) -> bool:
    """Whether the executor of that name works in the caller's process; False for an unknown one."""
    return executor in EXECUTORS and _says(EXECUTORS.get(executor), "in_process")


def allow_sharing(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's values under those that were given.

    Where a preset chose the number of workers, it is not held against a person's choice: an
    executor in this process has one, and on a CUDA device that was asked for they share it.
    """
    values = merge(dict(defaults), dict(given))
    if in_process(given.get("executor")) and "workers" not in given:
        values["workers"] = 1  # a preset's number is of its own executor
    limits = values.get("limits")
    if not str(values.get("device")).startswith("cuda") or "workers" in given:
        return values
    if limits is None or (isinstance(limits, Mapping) and "per_device" not in limits):
        values["limits"] = {**(limits or {}), "per_device": values.get("workers", 1)}
    return values


def check_executor(config: RunConfig) -> None:
    """Refuse an executor that cannot do what is asked of it; the network is asked last.

    Raises:
        ConfigError: It is unknown, or does not fit the limits, the devices or the address.
        ClusterError: Ray is not installed, or nothing answers at the address.
    """
    name, address = config.executor, config.address
    kind = EXECUTORS.get(name)  # raises, with close matches
    alone, clustered = _says(kind, "in_process"), _says(kind, "clustered")
    if config.limits.memory_mb is not None and alone:
        raise ConfigError(
            f"limits.memory_mb is set, but the executor {name!r} cannot limit memory",
            "use --executor processes",
        )
    if address is not None and not clustered:
        raise ConfigError(
            f"address {address!r} is set, but the executor is {name!r}", "add --executor ray"
        )
    if not alone:
        _check_sharing(config, clustered)
    if (check := getattr(kind, "check", None)) is not None:
        check(address)


def _says(kind: type[Executor], what: str) -> bool:
    return bool(getattr(kind, what, False))


def _check_sharing(config: RunConfig, clustered: bool) -> None:
    device, workers, share = config.device, config.workers, config.limits.per_device
    if not device.startswith("cuda"):
        return
    if clustered and device not in ("cuda", "cuda:0"):
        raise UnsupportedError(
            f"device {device!r}: {config.executor} gives its workers their devices",
            "use --device cuda, and CUDA_VISIBLE_DEVICES to choose",
        )
    if config.address is None and workers > share:
        raise ConfigError(
            f"{workers} workers for the one CUDA device {device!r}",
            f"use --workers {share}, --device auto for all devices, or let them share it:"
            f" --set limits.per_device={workers}",
        )
