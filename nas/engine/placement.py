"""Where work is to be done: what of executor, workers, devices and address fits together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.core.config import RunConfig, merge
from nas.core.errors import ConfigError, UnsupportedError
from nas.engine.executors import EXECUTORS


def allow_sharing(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's values under those that were given.

    Where a preset chose the number of workers, it is not held against a person's choice: with the
    executor `serial` there is one, and on a CUDA device that was asked for they share it.
    """
    values = merge(dict(defaults), dict(given))
    if given.get("executor") == "serial" and "workers" not in given:
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
    EXECUTORS.summary(name)  # raises, with close matches
    if config.limits.memory_mb is not None and name == "serial":
        raise ConfigError(
            "limits.memory_mb is set, but the executor 'serial' cannot limit memory",
            "use --executor processes",
        )
    if address is not None and name != "ray":
        raise ConfigError(
            f"address {address!r} is set, but the executor is {name!r}", "add --executor ray"
        )
    if name != "serial":
        _check_sharing(config)
    if name == "ray":
        from nas.engine.executors.ray_cluster import check_ray

        check_ray(address)


def _check_sharing(config: RunConfig) -> None:
    device, workers, share = config.device, config.workers, config.limits.per_device
    if not device.startswith("cuda"):
        return
    if config.executor == "ray" and device not in ("cuda", "cuda:0"):
        raise UnsupportedError(
            f"device {device!r}: Ray gives its workers their devices",
            "use --device cuda, and CUDA_VISIBLE_DEVICES to choose",
        )
    if config.address is None and workers > share:
        raise ConfigError(
            f"{workers} workers for the one CUDA device {device!r}",
            f"use --workers {share}, --device auto for all devices, or let them share it:"
            f" --set limits.per_device={workers}",
        )
