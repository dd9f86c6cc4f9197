"""Final states of trainings in a scratch folder, from which longer ones of the same go on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["forget_states", "state_file"]

_STATE: Final = "state-"


def state_file(
    folder: Path | None, epochs: float | None, *, must_exist: bool = False
) -> Path | None:
    """Where the state after so many epochs lies, from which a longer training goes on."""
    if folder is None or epochs is None:
        return None
    path = folder / f"{_STATE}{max(1, round(epochs))}.pt"
    return path if path.exists() or not must_exist else None


def forget_states(folder: Path | None, below: float) -> None:
    """Remove the states of shorter trainings than `below` epochs.

    The one that was just continued stays: the outcome is not stored yet, and a run killed before
    it is would have to train it anew.
    """
    for path in folder.glob(f"{_STATE}*.pt") if folder is not None else ():
        if int(path.stem.removeprefix(_STATE)) < round(below):
            path.unlink(missing_ok=True)
