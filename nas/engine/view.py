"""What can be asked of a run, whoever executes it."""

from __future__ import annotations

from typing import Any

from nas.core.front import Front
from nas.core.objective import parse_objectives
from nas.core.work import Evaluate
from nas.engine import folder as files
from nas.engine.lock import holder
from nas.engine.opening import Opened
from nas.engine.record import active_seconds, costs_told
from nas.engine.records import Entry
from nas.engine.results import front_of, judged, rank


def history(run: Opened) -> list[Entry]:
    """Every work and its outcome, in the order of completion."""
    return list(run.store.history())


def failures(run: Opened) -> list[str]:
    """Why evaluations failed, one line each, in the order in which they did."""
    return [e.error for e in history(run) if not e.ok and isinstance(e.work, Evaluate)]


def counted(run: Opened) -> list[Entry]:
    """The evaluations that the result is about, one for each candidate."""
    aside = set(run.store.read("aside", []))
    phases = [name for name in run.store.read("phases", ["search"]) if name not in aside]
    return judged(history(run), run.found, phases)


def best(run: Opened) -> Entry | None:
    """The best entry that the result is about, None if there is none."""
    objectives = parse_objectives(run.config.objectives)
    return min(counted(run), key=lambda entry: rank(entry, objectives), default=None)


def front(run: Opened) -> tuple[Front, list[Entry]]:
    """The front as the core's, and as entries in the same order."""
    return front_of(counted(run), parse_objectives(run.config.objectives))


def status(run: Opened) -> dict[str, Any]:
    """What `nas status` shows: the content of run.json, made current, JSON-able."""
    if run.folder is None:
        return {"status": "in memory", "counts": run.store.counts()}
    record = files.read_json(run.folder / files.RECORD)
    running = run.lock is None and holder(run.folder)
    if record.get("status") in ("running", "created") and run.lock is None and not running:
        record["status"] = "interrupted"  # it died without a word
    record |= costs_told(run.store)
    record["counts"] = run.store.counts()
    record["run"] = str(run.folder)
    record["elapsed"] = active_seconds(run.store)
    return record
