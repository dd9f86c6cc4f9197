"""Decoded arrays kept in a folder, so that pictures are decoded once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from nas.training.data.raw import Images
from nas.training.files import write_atomically


def cached(root: Path, key: str, decode: Callable[[], Images]) -> Images:
    """The array that `decode` gives, read from a cache if it is there.

    It is kept in `root/cache`, or in the user's own cache folder (`$XDG_CACHE_HOME/nas`) if
    `root` cannot be written. A file that cannot be read is made anew; where nothing can be
    written the array is decoded every time.

    Args:
        root: The data root.
        key: File name without ending; must change with the content.
        decode: Makes the array.
    """
    places = [folder / f"{key}.npy" for folder in _folders(root)]
    for path in places:
        kept = _read(path)
        if kept is not None:
            return kept
    array = decode()
    for path in places:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda name: _write(name, array))
        except OSError:
            continue
        break
    return array


def _folders(root: Path) -> Iterator[Path]:
    yield root / "cache"
    own = os.environ.get("XDG_CACHE_HOME")
    yield (Path(own) if own else Path.home() / ".cache") / "nas"


def _read(path: Path) -> Images | None:
    try:
        with path.open("rb") as file:
            kept = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return kept if kept.dtype == np.uint8 and kept.ndim == 4 else None


def _write(path: Path, array: Images) -> None:
    with path.open("wb") as file:  # given a name, NumPy would add its own ending
        np.save(file, array, allow_pickle=False)
