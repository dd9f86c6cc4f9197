"""The faces between the engine and what works near the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nas.core.work import Evaluate, Spent


def _never() -> bool:
    return False


def _silent(event: str, payload: Mapping[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Context:
    """What a worker gives to evaluators and sessions.

    Attributes:
        device: A torch device string, resolved: "cpu", "cuda:0".
        seed: The seed of this work (evaluations) or of the session.
        scratch: An existing folder for mid-training checkpoints of this work, or None for none.
        should_stop: True once the run is to stop; long loops then raise `Interrupted`.
        emit: `emit(event, payload)` tells monitors of progress; never stored, may be lost.
    """

    device: str = "cpu"
    seed: int = 0
    scratch: Path | None = None
    should_stop: Callable[[], bool] = _never
    emit: Callable[[str, Mapping[str, Any]], None] = _silent


@dataclass(frozen=True)
class Reply:
    """What an evaluator or a session's method gives back (see `nas.core.work.Outcome`)."""

    figures: Mapping[str, float] = field(default_factory=dict)
    value: Any = None
    curve: Mapping[str, list[float]] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)


@runtime_checkable
class Evaluator(Protocol):
    """Works out candidates' figures."""

    reports: tuple[str, ...]
    """Names of the figures it gives."""

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        """Figures of the candidate.

        Raises:
            CandidateError: The candidate failed (recorded; the search goes on).
            Interrupted: The context asked to stop (not recorded).
        """
        ...


@runtime_checkable
class Session(Protocol):
    """Something stateful that lives with the device, such as a supernet being trained."""

    readonly: frozenset[str]
    """Methods that change no state: no checkpoint is written after them."""

    def call(self, method: str, arguments: Mapping[str, Any], context: Context) -> Reply:
        """Do one step; `context.seed` is derived from the run's seed and the call's number."""
        ...

    def save(self, path: Path) -> None:
        """Write the whole state to `path`, a file."""
        ...

    def load(self, path: Path) -> None:
        """Become what `save` wrote; the next calls answer as if there had been no interruption.

        To the last bit, as far as the device computes the same twice.
        """
        ...


SessionFactory = Callable[[Mapping[str, Any], Context], Session]
"""Makes a session from a run's JSON-able specification (a dumped `nas.core.config.RunConfig`)."""
