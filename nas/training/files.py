"""Files that are whole or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nas.core.files import replacing


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new file that takes the place of `path` (see `nas.core.files`).

    Raises:
        OSError: The disk is full or the folder cannot be written; `path` is then untouched.
    """
    with replacing(path) as new:
        write(new)


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
