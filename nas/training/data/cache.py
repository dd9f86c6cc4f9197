"""Decoded arrays kept in a folder, so that pictures are decoded once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nas.training.data.raw import Images
from nas.training.files import write_atomically


def cached(folder: Path, key: str, decode: Callable[[], Images]) -> Images:
    """The array that `decode` gives, read from `folder` if it is there.

    A file that cannot be read is made anew; a folder that cannot be written is done without.

    Args:
        folder: Where arrays are kept; made if need be.
        key: File name without ending; must change with the content.
        decode: Makes the array.
    """
    path = folder / f"{key}.npy"
    try:
        with path.open("rb") as file:
            kept = np.load(file, allow_pickle=False)
        if kept.dtype == np.uint8 and kept.ndim == 4:
            return kept  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError):
        pass
    array = decode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda name: _write(name, array))
    except OSError:
        pass
    return array


def _write(path: Path, array: Images) -> None:
    with path.open("wb") as file:  # given a name, NumPy would add its own ending
        np.save(file, array, allow_pickle=False)
