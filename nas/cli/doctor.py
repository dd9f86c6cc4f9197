"""`nas doctor`: versions, devices, data and disk, and what is missing."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import typer

from nas.cli.options import Json
from nas.cli.streams import Streams
from nas.core.version import VERSION

REQUIRED: Final = (
    "torch",
    "numpy",
    "networkx",
    "scikit-learn",
    "pymoo",
    "tensorboard",
    "pydantic",
    "PyYAML",
    "typer",
    "rich",
    "safetensors",
)
OPTIONAL: Final = {
    "onnx": "nas-engine[export]",
    "onnxscript": "nas-engine[export]",
    "onnxruntime": "nas-engine[export]",
    "ray": "nas-engine[ray]",
}
LITTLE_DISK: Final = 2e9  # bytes


def command(json: Json = False) -> None:
    """Say which versions, devices and data there are, and what is missing."""
    streams = Streams(json=json)
    found = examine()
    if streams.json:
        streams.document(found)
    else:
        _print(found, streams)
    raise typer.Exit(4 if found["missing"] else 0)


def examine() -> dict[str, Any]:
    """Everything a bug report should have."""
    versions = {name: _installed(name) for name in REQUIRED}
    extras = {name: _installed(name) for name in OPTIONAL}
    missing = [f"{name}: pip install {name}" for name, found in versions.items() if not found]
    devices: list[str] = []
    if versions["torch"]:
        try:
            devices = _devices()
        except Exception as error:  # a broken build of torch fails in many ways
            missing.append(f"torch cannot be imported: {type(error).__name__}: {error}")
    notes = [
        f"{name} is not there: pip install '{OPTIONAL[name]}'"
        for name, found in extras.items()
        if not found
    ]
    free = shutil.disk_usage(Path.cwd()).free
    if free < LITTLE_DISK:
        notes.append(f"little disk space: {free / 1e9:.1f} GB")
    return {
        "nas": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_gb": _memory(),
        "disk_free_gb": round(free / 1e9, 1),
        "versions": versions | extras,
        "devices": devices,
        "data": _data(),
        "missing": missing,
        "notes": notes,
    }


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _devices() -> list[str]:
    torch = importlib.import_module("torch")
    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = properties.total_memory / 2**30
            devices.append(f"cuda:{index} ({properties.name}, {memory:.0f} GiB)")
    return devices


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _data() -> dict[str, str]:
    root = Path(os.environ.get("NAS_DATA") or "data")
    cifar = [place for place in (root / "cifar10", root) if _has_cifar(place)]
    hint = f"not in {root} (set NAS_DATA, or say cifar10:FOLDER)"
    return {"digits": "built in", "cifar10": str(cifar[0]) if cifar else hint}


def _has_cifar(place: Path) -> bool:
    return any(
        (folder / name).exists()
        for folder in (place, place / "cifar-10-batches-py")
        for name in ("data_batch_1", "train_index.npz")
    )


def _print(found: dict[str, Any], streams: Streams) -> None:
    rows = {
        "nas": found["nas"],
        "python": f"{found['python']} on {found['platform']}",
        "machine": f"{found['cpus']} CPUs, {found['memory_gb']} GB memory, "
        f"{found['disk_free_gb']} GB free here",
        "devices": ", ".join(found["devices"]) or "none",
    }
    for name, text in rows.items():
        streams.line(f"{name:<14} {text}")
    for name, version in found["versions"].items():
        streams.line(f"{name:<14} {version or 'not installed'}")
    for name, where in found["data"].items():
        streams.line(f"data {name:<9} {where}")
    for text in found["notes"]:
        streams.line(f"note           {text}")
    for text in found["missing"]:
        streams.line(f"MISSING        {text}")
    if not found["missing"]:
        streams.line("all that is needed is there")
