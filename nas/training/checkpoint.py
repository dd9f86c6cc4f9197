"""Mid-training checkpoints of one training."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from nas.training.files import load_state, save_state

FORMAT: Final = 3


class Checkpoints:
    """Where a training's state is kept while it runs.

    Args:
        folder: For the file, or None for no checkpoints.
        identity: Of the training; a file of another is passed over.
        seconds: Least time between two writings.
        notice: Told in one line of what was passed over or could not be written.
    """

    def __init__(
        self, folder: Path | None, identity: str, seconds: float, notice: Callable[[str], None]
    ) -> None:
        self._path = None if folder is None else folder / f"fit-{identity}.pt"
        self._identity = identity
        self._seconds = seconds
        self._notice = notice
        self._written = time.monotonic()

    def due(self) -> bool:
        """Whether the last writing is long enough ago."""
        return self._path is not None and time.monotonic() - self._written >= self._seconds

    def write(self, state: dict[str, Any]) -> None:
        """Write `state`; training is worth more than its checkpoint, so failing is a notice."""
        if self._path is not None:
            self.keep(self._path, state)
            self._written = time.monotonic()

    def keep(self, path: Path, state: dict[str, Any]) -> None:
        """Write `state` to a file of one's own choice."""
        try:
            save_state(path, {**state, "format": FORMAT, "identity": self._identity})
        except OSError as error:
            self._notice(f"checkpoint {path.name} could not be written: {error}")

    def read(self, epochs: int, path: Path | None = None) -> dict[str, Any] | None:
        """The state in `path` (by default the own file), if it is of this training.

        Args:
            epochs: How far this training goes; a state beyond that is of no use.
            path: Another file than the own.
        """
        own = path is None
        path = path or self._path
        if path is None or (own and not path.exists()):
            return None
        state = load_state(path)
        if state is None:
            self._notice(f"checkpoint {path.name} is missing or damaged; training starts anew")
        elif state.get("format") != FORMAT or state.get("identity") != self._identity:
            self._notice(f"checkpoint {path.name} is of another training; this one starts anew")
        elif state["epoch"] > epochs:
            self._notice(f"checkpoint {path.name} is beyond {epochs} epochs; training starts anew")
        else:
            return state
        return None

    def remove(self) -> None:
        """Forget the own file: the training is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
