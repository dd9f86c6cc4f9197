"""Energy of a forward pass, by the counters of the device at hand.

Of an NVIDIA device it is NVML's counter, by the package `nvidia-ml-py`; of a processor that of
RAPL, which Linux shows (to root, by default) for each package. Both count all that the device
does, idle power and other work included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch

from nas.core.errors import UnsupportedError
from nas.measure.device import passing, wait
from nas.measure.figures import Subject
from nas.measure.settings import EnergySettings
from nas.training.device import resolve

__all__ = ["check_energy", "energy_j"]

Counter = Callable[[], float]
"""Joules since some moment; it never falls."""

POWERCAP: Final = Path("/sys/class/powercap")
MICRO: Final = 1e-6
MILLI: Final = 1e-3


def energy_j(subject: Subject, settings: EnergySettings) -> float:
    """Joules of a forward pass of a batch, in evaluation mode and float32.

    The mean of all passes within `seconds`: counters tick tens of times a second.

    Raises:
        UnsupportedError: The device reports no energy.
    """
    device = torch.device(subject.device)
    counter = _counter(device)
    images = torch.zeros((settings.batch, *subject.data.input_shape), device=device)
    with passing(subject.network, images, settings.threads) as run:
        run()
        wait(device)
        passes, began, end = 0, counter(), time.perf_counter() + settings.seconds
        while time.perf_counter() < end or not passes:
            run()
            passes += 1
            wait(device)
        return (counter() - began) / passes


def check_energy(device: str) -> None:
    """Refuse a device that reports no energy.

    Args:
        device: As of `RunConfig`.

    Raises:
        UnsupportedError: It does not.
    """
    _counter(torch.device(resolve(device)))()


def _counter(device: torch.device) -> Counter:
    return _nvml(device) if device.type == "cuda" else _rapl(POWERCAP, device)


def _rapl(folder: Path, device: torch.device) -> Counter:
    """Of all packages of the processor, kept from falling where a counter begins anew."""
    packages = [path for path in sorted(folder.glob("intel-rapl:*")) if path.name.count(":") == 1]
    if device.type != "cpu" or not packages:
        raise UnsupportedError(
            f"energy_j: the device {device.type!r} reports no energy here",
            "it is had of NVIDIA devices, and of processors where Linux shows RAPL",
        )
    try:
        ranges = [_number(path / "max_energy_range_uj") for path in packages]
        last = [_number(path / "energy_uj") for path in packages]
    except (OSError, ValueError):
        raise UnsupportedError(
            f"energy_j: {packages[0] / 'energy_uj'} cannot be read", "let this user read it"
        ) from None
    total = [0.0]

    def read() -> float:
        now = [_number(path / "energy_uj") for path in packages]
        total[0] += MICRO * sum(_risen(a, b, r) for a, b, r in zip(last, now, ranges, strict=True))
        last[:] = now
        return total[0]

    return read


def _risen(before: int, now: int, most: int) -> int:
    return now - before if now >= before else now + most - before


def _number(path: Path) -> int:
    return int(path.read_text())


def _nvml(device: torch.device) -> Counter:
    try:
        nvml: Any = import_module("pynvml")
    except ImportError:
        raise UnsupportedError(
            "energy_j of a CUDA device needs the package nvidia-ml-py",
            "install the extra: nas-engine[energy]",
        ) from None
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{_uuid(device)}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        raise UnsupportedError(
            f"energy_j: {device} reports no energy ({error})", "leave this objective out"
        ) from None
    return lambda: MILLI * float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))


def _uuid(device: torch.device) -> str:
    return str(torch.cuda.get_device_properties(device).uuid)
