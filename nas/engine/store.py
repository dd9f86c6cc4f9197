"""The durable memory of a run: SQLite in WAL mode, one transaction per outcome.

`outcome` holds everything that was ever paid for, found by key; `log` says in which
order a phase asked for it, which is what a replay follows. A commit costs a fraction of
a millisecond (`synchronous=NORMAL`: safe against a killed process; after a power cut the
last few outcomes may be missing, the file is whole). Only commits that let go of an old
checkpoint wait for the disk. No operation's cost grows with the history.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.core.errors import StoreError
from nas.core.work import Call, Evaluate, Spent, Work
from nas.engine import schema
from nas.engine.records import Checkpoint, Entry, Paid, Place, dump, load_work
from nas.engine.rows import COLUMNS, entry_of, insert, paid_of, tags_of
from nas.engine.schema import translated

MEMORY = ":memory:"


class Store:
    """A run's outcomes, log, sessions, remembered values and events.

    Args:
        path: The file, or ":memory:".
        create: Make a new one; the file must not exist yet.
        readonly: Look only; another process may be writing.

    Raises:
        StoreError: The file is missing, there already, foreign, newer, corrupt, or cannot be
            written. Every method may raise it, too.
    """

    def __init__(self, path: Path | str, *, create: bool = False, readonly: bool = False) -> None:
        self.path = str(path)
        in_memory = self.path == MEMORY
        create = create or in_memory
        if not in_memory and Path(path).exists() is create:
            state = "is there already" if create else "does not exist"
            raise StoreError(f"{path} {state}", "check the run's folder")
        with translated(self.path):
            self._db = _connect(self.path, readonly)
        try:
            with translated(self.path):
                if create:
                    _configure(self._db)
                    schema.create(self._db)
                else:
                    schema.check(self._db, self.path)
                    if not readonly:
                        _configure(self._db)
                row = self._db.execute("SELECT max(ordinal) FROM log").fetchone()
        except BaseException:
            self._db.close()
            raise
        self._ordinal = -1 if row[0] is None else int(row[0])

    def close(self) -> None:
        """Let go of the file; harmless when repeated."""
        with translated(self.path):
            self._db.close()

    def settle(self) -> None:
        """Bring all that stands in the journal into the file.

        The file can be copied alone then, and is not written again when the connection, which may
        outlive the run, is let go of. What a reader still looks at stays in the journal: nobody is
        waited for.
        """
        with translated(self.path):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _one(self, query: str, *values: Any) -> Any:
        with translated(self.path):
            return self._db.execute(query, values).fetchone()

    def _all(self, query: str, *values: Any) -> Iterator[Any]:
        with translated(self.path):
            yield from self._db.execute(query, values)

    # -- outcomes and the log ------------------------------------------------------------

    def find(self, key: str) -> Paid | None:
        """What was paid for under `key`."""
        row = self._one(
            f"SELECT {COLUMNS} FROM outcome o JOIN work w USING (key) WHERE o.key = ?", key
        )
        return None if row is None else paid_of(row)

    def place(self, phase: str, sequence: int) -> Place | None:
        """The log's line for the `sequence`-th work of `phase`."""
        row = self._one(
            "SELECT ordinal, key FROM log WHERE phase = ? AND sequence = ?", phase, sequence
        )
        return None if row is None else Place(phase, sequence, row[0], row[1])

    def record(
        self,
        phase: str,
        sequence: int,
        work: Work,
        paid: Paid,
        *,
        new: bool = True,
        checkpoint: Checkpoint | None = None,
    ) -> Place:
        """Write one line of the log and, if `new`, the outcome it tells of: one transaction.

        Args:
            phase: Part of the run that asks.
            sequence: Number of the work in the phase.
            work: The work as it was asked for; its tags may differ from the stored one's.
            paid: The outcome.
            new: False if it is stored already and is only used again.
            checkpoint: The session's file that becomes its committed state with this.

        Returns:
            The line, with its place in the order of completion.
        """
        place = Place(phase, sequence, self._ordinal + 1, paid.key)
        tags = None
        if isinstance(work, Evaluate):
            tags = tags_of(work)
        if checkpoint is not None:
            self._sync("FULL")
        try:
            with self._transaction() as db:
                if new:
                    insert(db, paid)
                db.execute(
                    "INSERT INTO log VALUES (?, ?, ?, ?, ?)",
                    (place.ordinal, phase, sequence, paid.key, tags),
                )
                if checkpoint is not None:
                    c = checkpoint
                    db.execute(
                        "INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?)",
                        (c.session, c.state, c.file, c.size, c.crc),
                    )
        finally:
            if checkpoint is not None:
                self._sync("NORMAL")
        self._ordinal = place.ordinal
        return place

    def _sync(self, level: str) -> None:
        with translated(self.path):
            self._db.execute(f"PRAGMA synchronous = {level}")

    def diverge(self, phase: str, sequence: int) -> None:
        """Another work is asked for at `sequence` than the log says.

        That line is forgotten, and so is what was remembered after it; what was paid for stays
        findable.
        """
        with self._transaction() as db:
            db.execute("DELETE FROM log WHERE phase = ? AND sequence = ?", (phase, sequence))
            _forget(db, phase, sequence)

    def position(self) -> int:
        """Number of the last outcome, 0 if there is none."""
        row = self._one("SELECT max(position) FROM outcome")
        return int(row[0] or 0)

    def cut(self, phase: str, sequence: int) -> int:
        """Forget the log of `phase` from `sequence` on; what was paid for stays findable."""
        with self._transaction() as db:
            done = db.execute(
                "DELETE FROM log WHERE phase = ? AND sequence >= ?", (phase, sequence)
            )
        return done.rowcount

    def begin_anew(self, phase: str) -> None:
        """Forget the log of a phase and what it remembered; what was paid for stays findable."""
        with self._transaction() as db:
            db.execute("DELETE FROM log WHERE phase = ?", (phase,))
            _forget(db, phase, -1)

    def forget_failed(self) -> int:
        """Forget all failed evaluations, so that they are tried again; returns their number."""
        failed = "SELECT key FROM outcome WHERE status = 'failed'"
        first = f"SELECT phase, min(sequence) FROM log WHERE key IN ({failed}) GROUP BY phase"
        with self._transaction() as db:
            for phase, sequence in db.execute(first).fetchall():
                _forget(db, phase, sequence)
            db.execute(f"DELETE FROM log WHERE key IN ({failed})")
            return db.execute("DELETE FROM outcome WHERE status = 'failed'").rowcount

    def history(self) -> Iterator[Entry]:
        """Everything asked, in order of completion, then what only abandoned lines paid for.

        A work that was asked again under other tags appears again, at no cost; one that was
        asked again under the same tags does not.
        """
        seen: set[tuple[str, str | None]] = set()
        known: set[str] = set()
        query = (
            f"SELECT {COLUMNS}, l.phase, l.tags, l.ordinal FROM log l"
            " JOIN outcome o USING (key) JOIN work w USING (key) ORDER BY l.ordinal"
        )
        for row in self._all(query):
            *body, phase, tags, ordinal = row
            paid = paid_of(body)
            if (paid.key, tags) in seen:
                continue
            yield entry_of(paid, phase, tags, ordinal, repeated=paid.key in known)
            seen.add((paid.key, tags))
            known.add(paid.key)
        query = (
            f"SELECT {COLUMNS} FROM outcome o JOIN work w USING (key)"
            " WHERE o.key NOT IN (SELECT key FROM log) ORDER BY o.position"
        )
        for row in self._all(query):
            paid = paid_of(row)
            yield entry_of(paid, paid.phase, None, -1, repeated=False)

    def spent(self) -> Spent:
        """Everything ever paid for in this run."""
        row = self._one(
            "SELECT total(epochs), coalesce(sum(evaluations), 0), total(seconds), total(macs)"
            " FROM outcome"
        )
        return Spent(row[0], row[1], row[2], row[3])

    def counts(self) -> dict[str, int]:
        """Number of evaluations by status, and of calls as "calls"."""
        query = (
            "SELECT CASE w.kind WHEN 'call' THEN 'calls' ELSE o.status END, count(*)"
            " FROM outcome o JOIN work w USING (key) GROUP BY 1"
        )
        return {"ok": 0, "failed": 0, "calls": 0, **dict(self._all(query))}

    def elapsed(self) -> float:
        """Seconds the run had been active when the last outcome came."""
        row = self._one("SELECT elapsed FROM outcome ORDER BY position DESC LIMIT 1")
        return 0.0 if row is None else float(row[0])

    # -- sessions ------------------------------------------------------------------------

    def checkpoint(self, session: str) -> Checkpoint | None:
        """The committed state of a session."""
        row = self._one("SELECT name, state, file, size, crc FROM session WHERE name = ?", session)
        return None if row is None else Checkpoint(*row)

    def checkpoints(self) -> list[Checkpoint]:
        """The committed state of every session."""
        query = "SELECT name, state, file, size, crc FROM session ORDER BY name"
        return [Checkpoint(*row) for row in self._all(query)]

    def calls_up_to(self, state: str, start: str) -> list[tuple[str, Call]]:
        """The calls that lead a session from the state `start` to `state`, with their keys.

        Raises:
            StoreError: The chain of stored calls has a gap.
        """
        chain: list[tuple[str, Call]] = []
        while state != start:
            row = self._one("SELECT before, payload FROM work WHERE key = ?", state)
            work = None if row is None else load_work(row[1])
            if not isinstance(work, Call):
                raise StoreError(f"{self.path} lacks the call {state}", "start a new run")
            chain.append((state, work))
            state = row[0]
        return chain[::-1]

    # -- small things --------------------------------------------------------------------

    def read(self, name: str, default: Any = None) -> Any:
        """A named JSON value of the run."""
        row = self._one("SELECT value FROM meta WHERE name = ?", name)
        return default if row is None else json.loads(row[0])

    def write(self, name: str, value: Any) -> None:
        """Set a named JSON value; None removes it."""
        with self._transaction() as db:
            if value is None:
                db.execute("DELETE FROM meta WHERE name = ?", (name,))
            else:
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, dump(value)))

    def remembered(self, phase: str, name: str) -> tuple[bool, Any]:
        """Whether `name` is remembered, and its value."""
        row = self._one("SELECT value FROM remembered WHERE phase = ? AND name = ?", phase, name)
        return (False, None) if row is None else (True, json.loads(row[0]))

    def remember(self, phase: str, name: str, value: Any, sequence: int = 0) -> Any:
        """Keep a JSON-able value; returns it as a replay will read it.

        Args:
            phase: Part of the run.
            name: Unique in the phase.
            value: What to keep.
            sequence: Works the phase had asked for by then: what the value may depend on.
        """
        text = dump(value)
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO remembered VALUES (?, ?, ?, ?)",
                (phase, name, sequence, text),
            )
        return json.loads(text)

    def announce(self, phase: str, number: int, name: str, payload: Any) -> bool:
        """Keep the `number`-th event of a phase; False if a replay only tells it again."""
        text = dump(payload)
        old = self._one(
            "SELECT name, payload FROM event WHERE phase = ? AND number = ?", phase, number
        )
        if old == (name, text):
            return False
        with self._transaction() as db:
            db.execute("DELETE FROM event WHERE phase = ? AND number >= ?", (phase, number))
            db.execute(
                "INSERT INTO event (phase, number, name, payload) VALUES (?, ?, ?, ?)",
                (phase, number, name, text),
            )
        return True

    def events(self) -> Iterator[tuple[str, str, Any]]:
        """Phase, name and payload of every announced event, in order."""
        for phase, name, text in self._all(
            "SELECT phase, name, payload FROM event ORDER BY position"
        ):
            yield phase, name, json.loads(text)


def _forget(db: sqlite3.Connection, phase: str, sequence: int) -> None:
    """Drop remembered values that may depend on the work at `sequence`."""
    db.execute("DELETE FROM remembered WHERE phase = ? AND sequence > ?", (phase, sequence))


def _connect(path: str, readonly: bool) -> sqlite3.Connection:
    if not readonly:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    place = Path(path).resolve().as_uri()
    connection = sqlite3.connect(
        f"{place}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # WAL needs a shared-memory file beside it; a folder that cannot be written has no writer.
        connection.close()
        return sqlite3.connect(
            f"{place}?immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _configure(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA busy_timeout = 5000")
