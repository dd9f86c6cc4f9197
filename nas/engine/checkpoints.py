"""Sessions' files: written under a new name, made durable, committed, then the old one removed."""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from nas.core.canonical import content_id
from nas.core.errors import StoreError
from nas.core.files import to_disk
from nas.core.work import Call, Work
from nas.engine.records import Checkpoint

SUFFIX: Final = ".session"
_BLOCK: Final = 1 << 20


class CheckpointError(Exception):
    """A committed file is missing, cut short or changed; the session must be worked out anew."""


def new_name(session: str, key: str) -> str:
    """A file name that no earlier or concurrent process has used."""
    safe = re.sub(r"[^A-Za-z0-9]+", "_", session)[:40]
    return f"{safe}-{key[-8:]}-{os.getpid()}-{time.time_ns():x}{SUFFIX}"


def scratch_folder(checkpoints: Path, work: Work) -> Path:
    """Where a work's mid-training checkpoints lie; one for all budgets of an evaluation.

    A longer training may so build on a shorter one of the same candidate and seed.
    """
    if isinstance(work, Call):
        name = content_id(["session", work.session])
    else:
        name = content_id([work.candidate.id, work.seed, work.split])
    return checkpoints / "scratch" / name


def seal(path: Path) -> tuple[int, int]:
    """Flush a finished file and its folder to the disk; gives its size and CRC-32.

    Raises:
        StoreError: It cannot be read or flushed.
    """
    try:
        with path.open("rb") as file:
            size, crc = _sum(file)
            os.fsync(file.fileno())
        to_disk(path.parent)
    except OSError as error:
        raise StoreError(
            f"checkpoint {path} cannot be written: {error.strerror}", "is the disk full?"
        ) from error
    return size, crc


def check_file(path: Path, checkpoint: Checkpoint) -> None:
    """Compare a file with what was committed.

    Raises:
        CheckpointError: It is missing, of another size, or of another content.
    """
    try:
        with path.open("rb") as file:
            size, crc = _sum(file)
    except OSError as error:
        raise CheckpointError(f"its checkpoint cannot be opened: {error.strerror}") from error
    if size != checkpoint.size:
        raise CheckpointError(f"its checkpoint has {size} bytes instead of {checkpoint.size}")
    if crc != checkpoint.crc:
        raise CheckpointError("its checkpoint was changed since it was written")


def clean(folder: Path, keep: Iterable[Checkpoint]) -> int:
    """Remove session files that no commit names; returns their number."""
    names = {checkpoint.file for checkpoint in keep}
    removed = 0
    for path in folder.glob(f"*{SUFFIX}"):
        if path.name not in names:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _sum(file: object) -> tuple[int, int]:
    size = crc = 0
    while block := file.read(_BLOCK):  # type: ignore[attr-defined]
        size += len(block)
        crc = zlib.crc32(block, crc)
    return size, crc
