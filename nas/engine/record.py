"""run.json: what a run is and how far it is, for people and for other programs."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from nas.core.config import RunConfig
from nas.core.work import Spent
from nas.engine.events import Event, WorkDone
from nas.engine.folder import RECORD, read_json, write_json
from nas.engine.store import Store

EVERY: Final = 5.0
"""Seconds between updates while works come in."""

APART: Final = "apart"
"""Where the store keeps the names of phases whose cost is told apart."""

DISTRIBUTIONS: Final = ("nas-engine", "torch", "numpy", "scikit-learn")


def active_seconds(store: Store) -> float:
    """Seconds the run has been active, over all its processes; what "spent" means for a run."""
    return float(max(store.elapsed(), store.read("elapsed", 0.0)))


def set_apart(store: Store, phases: Iterable[str]) -> None:
    """Note the phases whose cost is no part of what the run has spent; see `costs`."""
    store.write(APART, sorted(phases) or None)


def costs(store: Store) -> tuple[Spent, Spent]:
    """What the run has spent, and what is told apart from it.

    A work that several phases asked for was paid by the first of them.
    """
    apart = frozenset(store.read(APART, ()))
    if not apart:
        return store.spent(), Spent()
    spent = beside = Spent()
    for entry in store.history():
        if entry.phase in apart:
            beside = beside + entry.spent
        else:
            spent = spent + entry.spent
    return spent, beside


def costs_told(store: Store) -> dict[str, Any]:
    """The costs as run.json has them."""
    spent, beside = costs(store)
    return {
        "spent": {**spent.to_dict(), "seconds": active_seconds(store)},
        "comparison_spent": beside.to_dict() if beside != Spent() else None,
    }


def write_record(
    folder: Path,
    config: RunConfig,
    store: Store,
    status: str,
    reason: str,
    result: Mapping[str, Any] | None = None,
) -> None:
    """Replace run.json.

    Args:
        folder: The run's.
        config: The run's, with the budget as it is now.
        store: Counts what was spent.
        status: "created", "running", "done", "stopped" or "failed".
        reason: Why, in one line.
        result: What came out, once the run has ended; the one before is kept without it.

    Raises:
        StoreError: It cannot be written.
    """
    before = read_json(folder / RECORD)
    now = time.time()
    write_json(
        folder / RECORD,
        {
            "format": 1,
            "status": status,
            "reason": reason,
            "seed": config.seed,
            "device": config.device,
            "budget": config.budget,
            **costs_told(store),
            "counts": store.counts(),
            "command": before.get("command") or shlex.join(sys.argv),
            "created": before.get("created") or now,
            "updated": now,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "versions": versions(),
            "result": before.get("result") if result is None else result,
        },
    )


class Recorder:
    """A listener that keeps run.json current while outcomes come in.

    Args:
        folder: The run's.
        config: The run's.
        store: The run's.
    """

    def __init__(self, folder: Path, config: RunConfig, store: Store) -> None:
        self._folder = folder
        self._config = config
        self._store = store
        self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Write, if it is time."""
        now = time.monotonic()
        if isinstance(event, WorkDone) and now - self._last >= EVERY:
            self._last = now
            write_record(self._folder, self._config, self._store, "running", "")


def versions() -> dict[str, str]:
    """Versions of what the figures may depend on, without importing any of it."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
