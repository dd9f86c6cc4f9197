"""Files that are whole or absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.core import files
from nas.core.errors import ExportError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new name that takes the place of `path` (see `nas.core.files`), whose folder is made.

    Raises:
        ExportError: The folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as new:
            yield new
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(
            f"cannot write {str(path)!r}: {reason}", "choose a folder that can be written"
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write atomically.

    Raises:
        ExportError: The folder cannot be written, or the disk is full.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically, with line feeds.

    Raises:
        ExportError: The folder cannot be written, or the disk is full.
    """
    write_bytes(path, content.encode())
