"""Files that travel between a driver and nodes that do not share its folder."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from nas.core.files import replacing

Parcel: TypeAlias = dict[str, bytes]
"""Contents by path relative to the folder of checkpoints, with slashes."""


def pack(folder: Path, part: Path) -> Parcel:
    """The files in `part`, a file or a folder inside `folder`; nothing if it is not there."""
    files = [part] if part.is_file() else sorted(part.rglob("*")) if part.is_dir() else []
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in files if file.is_file()
    }


def unpack(folder: Path, parcel: Parcel) -> None:
    """Write a parcel's files; each appears whole or not at all.

    Raises:
        ValueError: A path leads out of the folder.
    """
    for name, content in parcel.items():
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise ValueError(f"{name!r} leads out of the folder")
        path = folder / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            new.write_bytes(content)


def remove(part: Path) -> None:
    """Remove a folder and all that is in it."""
    shutil.rmtree(part, ignore_errors=True)
