"""Ctrl-C and SIGTERM: the first asks the run to stop, the second stops it at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

CODES: Final = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Aborted(BaseException):
    """A second signal came: leave now. Not an `Exception`, so that no training code eats it."""


class Stop:
    """Whether and since when the run is asked to stop.

    Args:
        grace: Seconds that running work gets to reach its end before it is interrupted.
        noticed: Called once, by whoever asks first after the request: not by the signal's
            handler, which may have come in the middle of anything.
    """

    def __init__(self, grace: float = 30.0, noticed: Callable[[Stop], None] | None = None) -> None:
        self.grace = grace
        self.signal = 0
        self._noticed = noticed
        self._since: float | None = None

    @property
    def requested(self) -> bool:
        """No more work may be started."""
        if self._since is None:
            return False
        if self._noticed is not None:
            noticed, self._noticed = self._noticed, None
            noticed(self)
        return True

    @property
    def overdue(self) -> bool:
        """The grace is over: running work is to raise `Interrupted`."""
        since = self._since
        return self.requested and since is not None and time.monotonic() - since >= self.grace

    def request(self, number: int = signal.SIGINT) -> None:
        """Ask the run to stop, as a first signal does."""
        if self._since is None:
            self._since = time.monotonic()
            self.signal = int(number)


class Signals:
    """While entered, in the main thread, signals go to `stop`.

    Elsewhere signals cannot be handled and are left alone.

    Args:
        stop: Told of the first signal.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}
        self._count = 0

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in CODES:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        self._stop.request(number)
        if self._count == 2:
            raise Aborted
        if self._count > 2:  # something swallowed the second one
            os._exit(CODES[signal.Signals(number)])
