"""A run's folder: what is in it, and how its small files are written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nas.core.errors import ConfigError, StoreError
from nas.core.files import replacing
from nas.engine.lock import NAME as LOCK

STORE: Final = "store.sqlite"
CONFIG: Final = "config.yaml"
RECORD: Final = "run.json"
CHECKPOINTS: Final = "checkpoints"
OURS: Final = (
    STORE,
    CONFIG,
    RECORD,
    CHECKPOINTS,
    "tb",
    "best",
    "front.json",
    "front.csv",
    "front.png",
    "report.html",
)
"""What a run leaves; a folder that holds any of it is not given to another run."""

SPACE_NEEDED: Final = 16 * 2**20
"""Bytes that must be free before a run begins."""


def present_in(out: Path) -> set[str]:
    """Names of what an output folder holds already; refused if nothing can be written there.

    Raises:
        StoreError: It is a file, or may not be written.
    """
    try:
        if out.exists() and not out.is_dir():
            raise StoreError(f"output folder {str(out)!r} is a file", "choose another --out")
        present = {entry.name for entry in out.iterdir()} if out.exists() else set()
    except OSError as error:
        raise StoreError(
            f"output folder {str(out)!r} cannot be used: {error.strerror}", "choose another --out"
        ) from None
    _check_writable(out)
    return present


def _check_writable(out: Path) -> None:
    place = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not place.is_dir():
        raise StoreError(f"{str(place)!r} is a file, not a folder", "choose another --out")
    read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    if read_only or not os.access(place, os.W_OK | os.X_OK):
        reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise StoreError(f"cannot write in {str(place)!r}: {reason}", "choose another --out")


def claim(folder: Path) -> None:
    """Make the folder of a new run.

    Raises:
        StoreError: It holds another run, cannot be written, or the disk is all but full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = [name for name in OURS if (folder / name).exists()]
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise unwritable(folder, error) from error
    if held:
        raise StoreError(
            f"{folder} holds another run ({held[0]} is there)",
            f"go on with it by `nas resume {folder}`, or choose another --out folder",
        )
    if free < SPACE_NEEDED:
        raise StoreError(
            f"{folder} is on a disk with {free // 2**20} MB left",
            f"expected at least {SPACE_NEEDED // 2**20} MB",
        )


def disclaim(folder: Path) -> None:
    """Take away what a run left in a folder that was `claim`ed, and the folder if it is empty."""
    for name in OURS:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(OSError):
            (folder / f"{STORE}{suffix}").unlink()
    with contextlib.suppress(OSError):
        (folder / LOCK).unlink()
        folder.rmdir()


def require(folder: Path) -> None:
    """Check that `folder` holds a run.

    Raises:
        StoreError: It does not.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder} is no folder", "expected a run's folder, such as runs/NAME")
    for name in (CONFIG, STORE):
        if not (folder / name).is_file():
            raise StoreError(f"{folder} holds no run ({name} is missing)", "is the path right?")


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old one or the new one.

    Raises:
        StoreError: It cannot be written.
    """
    try:
        with replacing(path) as new:
            new.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: Path, value: Any) -> None:
    """Replace a file by the JSON text of `value` in one step."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file; empty if it is missing or no such thing."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def unwritable(path: Path, error: OSError) -> StoreError:
    """The one line for an operating system's refusal to write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"no space left to write {path}", "free some, then resume the run")
    reason = error.strerror or str(error)
    return StoreError(f"cannot write {path}: {reason}", "choose another --out folder")


MOVABLE: Final = frozenset({"executor", "workers", "address", "device", "budget", "limits"})
"""Settings that may change between a run and its resumption."""


def compare_configs(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> None:
    """Refuse a configuration that would make another run of it.

    Raises:
        ConfigError: They differ; names the first key in which they do.
    """
    for key in [*old, *(key for key in new if key not in old)]:
        place = f"{path}{key}"
        if place in MOVABLE:
            continue
        mine, theirs = old.get(key), new.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            compare_configs(mine, theirs, f"{place}.")
        elif mine != theirs:
            raise ConfigError(
                f"{place} is {theirs!r}, but the run was begun with {mine!r}",
                "resume without it, or begin a new run",
            )
