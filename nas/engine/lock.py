"""One writer per run folder.

The lock is an advisory `flock`, which the kernel drops when its holder dies, however it
dies; the text in the file only says who it was.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from nas.core.errors import StoreError

NAME = "run.lock"
ORPHAN_WAIT = 5.0  # seconds to wait for the children of a dead holder to go, too


class RunLock:
    """Holds a run folder for this process until `release`.

    Args:
        folder: The run's folder; must exist.
        wait: Seconds to wait when the recorded holder is dead but a child it forked
            still keeps the lock open.

    Raises:
        StoreError: Another process has the run, or the folder cannot be written.
    """

    def __init__(self, folder: Path, wait: float = ORPHAN_WAIT) -> None:
        self.path = folder / NAME
        self.notice = ""
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(
                f"cannot write in {folder}: {error.strerror}", "choose another --out folder"
            ) from error
        try:
            self._acquire(folder, wait)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _acquire(self, folder: Path, wait: float) -> None:
        deadline = time.monotonic() + wait
        while not _flock(self._descriptor, folder):
            holder = _read(self.path)
            if _alive(holder) or time.monotonic() >= deadline:
                raise StoreError(
                    f"run {folder} is in use by process {holder.get('pid', '?')}"
                    f" on {holder.get('host', '?')}",
                    "wait for it, or stop it first",
                )
            time.sleep(0.05)
        before = _read(self.path)
        if before:
            self.notice = (
                f"process {before.get('pid', '?')} on {before.get('host', '?')} left this run"
                " without closing it; taken over"
            )
        self._write({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()})

    def _write(self, holder: dict[str, Any]) -> None:
        text = json.dumps(holder).encode() if holder else b""
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)
        except OSError as error:
            raise StoreError(
                f"cannot write {self.path}: {error.strerror}", "is the disk full?"
            ) from error

    def release(self) -> None:
        """Give the folder back; harmless when already given back."""
        if self._descriptor < 0:
            return
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError:  # the notice on the next start is then wrong, nothing else
            pass
        finally:
            os.close(self._descriptor)
            self._descriptor = -1


def holder(folder: Path) -> dict[str, Any] | None:
    """Who holds the run in `folder` now (pid, host, since), or None if nobody does."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(folder / NAME) or {"pid": None, "host": None}
    finally:
        os.close(descriptor)
    return None


def _flock(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN):
            return False
        raise StoreError(
            f"{folder} cannot be locked: {error.strerror}", "put runs on a local disk"
        ) from error
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text() or "{}")
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _alive(holder: dict[str, Any]) -> bool:
    """Whether the recorded holder may still live (always, on another host)."""
    pid = holder.get("pid")
    if not isinstance(pid, int) or holder.get("host") != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
