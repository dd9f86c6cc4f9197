"""Files that are whole or not there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new file beside `path`, bring it to the disk and rename it.

    Raises:
        OSError: The disk is full or the folder cannot be written; `path` is then untouched.
    """
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        write(new)
        _to_disk(new)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _to_disk(path.parent)


def _to_disk(name: Path) -> None:
    handle = os.open(name, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain data so that a crash leaves the old file or the new one.

    Raises:
        OSError: It could not be written.
    """

    def write(name: Path) -> None:
        try:
            torch.save(state, name)
        except RuntimeError as error:  # how its writer reports a full disk
            raise OSError(str(error)) from error

    write_atomically(path, write)


def load_state(path: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, on the host; None if it is missing, cut or something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can raise nearly anything
        return None
    return state if isinstance(state, dict) else None
