"""Outcomes as rows of the store, and back."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

from nas.core.canonical import plain
from nas.core.work import Evaluate, Spent
from nas.engine.records import Entry, Paid, dump, kind_of, load, load_work

COLUMNS: Final = (
    "o.key, w.payload, o.status, o.figures, o.value, o.curve, o.error, o.epochs, o.evaluations,"
    " o.seconds, o.macs, w.before, o.changed, o.phase, o.elapsed"
)
"""What `paid_of` reads, of the tables `outcome o` and `work w`."""


def insert(db: sqlite3.Connection, paid: Paid) -> None:
    """Write an outcome and, if it is new, its work."""
    db.execute(
        "INSERT OR IGNORE INTO work VALUES (?, ?, ?, ?)",
        (paid.key, kind_of(paid.work), paid.before, dump(paid.work.to_dict())),
    )
    db.execute(
        "INSERT INTO outcome (key, phase, status, figures, value, curve, error, changed, epochs,"
        " evaluations, seconds, macs, elapsed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            paid.key,
            paid.phase,
            paid.status,
            dump(paid.figures),
            dump(paid.value),
            dump(paid.curve),
            paid.error,
            paid.changed,
            paid.spent.epochs,
            paid.spent.evaluations,
            paid.spent.seconds,
            paid.spent.macs,
            paid.elapsed,
        ),
    )


def paid_of(row: Any) -> Paid:
    """The outcome of a row of `COLUMNS`."""
    (key, payload, status, figures, value, curve, error, *rest) = row
    (epochs, evaluations, seconds, macs, before, changed, phase, elapsed) = rest
    return Paid(
        key=key,
        work=load_work(payload),
        status=status,
        figures=load(figures),
        value=load(value),
        curve=load(curve),
        error=error,
        spent=Spent(epochs, evaluations, seconds, macs),
        before=before,
        changed=bool(changed),
        phase=phase,
        elapsed=elapsed,
    )


def tags_of(work: Evaluate) -> str:
    """The labels of an evaluation as text."""
    return dump(plain(work.tags)) if work.tags else "{}"


def entry_of(paid: Paid, phase: str, tags: str | None, ordinal: int, *, repeated: bool) -> Entry:
    """The entry of the history for one line of the log."""
    work = paid.work
    if isinstance(work, Evaluate) and tags is not None and tags_of(work) != tags:
        work = Evaluate(work.candidate, work.budget, work.seed, work.split, json.loads(tags))
    return Entry(
        work=work,
        status=paid.status,
        figures=paid.figures,
        value=paid.value,
        curve=paid.curve,
        error=paid.error,
        spent=Spent() if repeated else paid.spent,
        phase=phase,
        ordinal=ordinal,
    )
