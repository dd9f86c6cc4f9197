"""Files that are whole or as they were: the one place that writes under another name first."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new name beside `path` to be filled: renamed to it on success, removed on failure.

    A reader sees the old file or the new one, also after a power cut. The new name is hidden,
    no other process uses it, and it keeps the suffix, which some writers look at. Whatever the
    writer makes of it, those may read it who may read any new file.

    Raises:
        OSError: The disk is full or the folder cannot be written; `path` is then untouched.
    """
    new = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    new.touch()
    mode = stat.S_IMODE(new.stat().st_mode)
    try:
        yield new
        if stat.S_IMODE(new.stat().st_mode) != mode:  # some writers keep theirs to themselves
            new.chmod(mode)
        to_disk(new)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # the file is there; some file systems cannot flush a folder
        to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Have the system write out what it keeps of a file, or of a folder's names.

    Raises:
        OSError: It cannot.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
