"""Layout of `store.sqlite`, and what may go wrong when it is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nas.core.errors import StoreError

APPLICATION: Final = 0x6E617331  # "nas1", in the file's header, so that a foreign file is known
VERSION: Final = 1

TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE work (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, before TEXT NOT NULL, payload TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE outcome (
    position INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, phase TEXT NOT NULL,
    status TEXT NOT NULL, figures TEXT NOT NULL, value TEXT NOT NULL, curve TEXT NOT NULL,
    error TEXT NOT NULL, changed INTEGER NOT NULL, epochs REAL NOT NULL,
    evaluations INTEGER NOT NULL, seconds REAL NOT NULL, macs REAL NOT NULL, elapsed REAL NOT NULL
);
CREATE TABLE log (
    ordinal INTEGER PRIMARY KEY, phase TEXT NOT NULL, sequence INTEGER NOT NULL,
    key TEXT NOT NULL, tags TEXT, UNIQUE (phase, sequence)
);
CREATE TABLE session (
    name TEXT PRIMARY KEY, state TEXT NOT NULL, file TEXT NOT NULL,
    size INTEGER NOT NULL, crc INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE remembered (
    phase TEXT NOT NULL, name TEXT NOT NULL, sequence INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (phase, name)
) WITHOUT ROWID;
CREATE TABLE event (
    position INTEGER PRIMARY KEY, phase TEXT NOT NULL, number INTEGER NOT NULL,
    name TEXT NOT NULL, payload TEXT NOT NULL, UNIQUE (phase, number)
);
"""


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into one line about the file.

    Raises:
        StoreError: SQLite raised something.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(*_explain(error, path)) from error


def _explain(error: sqlite3.Error, path: str) -> tuple[str, str]:
    text = str(error)
    if "full" in text:
        return f"no space left to write {path}", "free some, then resume the run"
    if "readonly" in text or "read-only" in text:
        return f"{path} is read-only", "check the permissions of its folder"
    if "unable to open" in text:
        return f"{path} cannot be opened", "check that its folder exists and may be written"
    if "not a database" in text:
        return f"{path} is not a run's store", "is it the right folder?"
    if "malformed" in text or "corrupt" in text:
        return f"{path} is corrupt: {text}", "restore it from a backup, or start a new run"
    if "locked" in text or "busy" in text:
        return f"{path} is locked by another process", "wait for it, or stop it first"
    return f"{path} cannot be used: {text}", "check the disk"


def create(connection: sqlite3.Connection) -> None:
    """Lay out an empty database."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES.strip().split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def check(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a file that is foreign, newer or damaged.

    Raises:
        StoreError: It is.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION:
        raise StoreError(f"{path} is not a run's store", "is it the right folder?")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StoreError(
            f"{path} has format {version}, this version reads up to {VERSION}", "update nas"
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        found = " ".join(str(verdict).split())
        raise StoreError(
            f"{path} is corrupt: {found}", "restore it from a backup, or start a new run"
        )
