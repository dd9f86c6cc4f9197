"""Trainings that go on where shorter ones of the same ended, by states in a scratch folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.core.protocols import Context
from nas.core.work import Evaluate

__all__ = ["Leg"]

_STATE: Final = "state-"


@dataclass(frozen=True)
class Leg:
    """What a work asks of a training: the part from `since` to its budget.

    Attributes:
        seed: Of the whole training.
        epochs: At which this part ends.
        horizon: Epochs of the whole training, None if it ends here.
        labels: What its progress is told with.
        begins: File of the state that it goes on from; None if there is none, as on another machine
            or in a cleaned folder, and the training starts anew.
        ends: File to keep the state in, None if nobody goes on from there.
    """

    seed: int
    epochs: int
    horizon: int | None
    labels: Mapping[str, Any]
    begins: Path | None
    ends: Path | None
    _folder: Path | None
    _since: float | None

    @classmethod
    def of(cls, work: Evaluate, context: Context, epochs: int) -> Leg:
        """That of a work.

        Args:
            work: Its budget, seed and horizon are in epochs, rounded, at least one.
            context: Whose scratch folder has the states.
            epochs: Of a work without a budget: the recipe's.
        """
        horizon = None if work.horizon is None else max(1, round(work.horizon))
        folder = context.scratch
        begins = _state(folder, work.since)
        return cls(
            seed=context.seed if work.seed is None else work.seed,
            epochs=epochs if work.budget is None else max(1, round(work.budget)),
            horizon=horizon,
            labels={
                "candidate": work.candidate.id,
                "budget": work.budget,
                "seed": work.seed,
                "split": work.split,
            },
            begins=begins if begins is not None and begins.exists() else None,
            ends=_state(folder, work.budget) if horizon else None,
            _folder=folder,
            _since=work.since,
        )

    def forget(self) -> None:
        """Remove the states of shorter trainings than the one that this went on from.

        That one stays: the outcome is not stored yet, and a run killed before it is would have to
        train it anew.
        """
        if self._since is None or self._folder is None:
            return
        for path in self._folder.glob(f"{_STATE}*.pt"):
            if int(path.stem.removeprefix(_STATE)) < round(self._since):
                path.unlink(missing_ok=True)


def _state(folder: Path | None, epochs: float | None) -> Path | None:
    if folder is None or epochs is None:
        return None
    return folder / f"{_STATE}{max(1, round(epochs))}.pt"
