"""Ending work in this very thread that takes too long and does not ask whether it may go on."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

from nas.core.errors import Interrupted

AGAIN: Final = 1.0
"""Seconds between alarms that are not heeded."""


@contextlib.contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise `Interrupted` in the body after so many seconds.

    Python code and system calls are interrupted; a library's call that never comes back is not:
    that takes another process. Only the main thread can be interrupted; elsewhere, and where
    there is no SIGALRM, nothing happens.

    Args:
        seconds: None for no limit.
    """
    main = threading.main_thread()
    if seconds is None or not hasattr(signal, "pthread_kill"):
        yield
        return
    if threading.current_thread() is not main or main.ident is None:
        yield
        return
    thread, end = main.ident, time.monotonic() + seconds
    over = threading.Event()

    def ring() -> None:
        pause = seconds
        while not over.wait(pause):  # again, as training code may catch what it should not
            signal.pthread_kill(thread, signal.SIGALRM)
            pause = AGAIN

    before: Any = signal.getsignal(signal.SIGALRM)

    def handle(number: int, frame: FrameType | None) -> None:
        if time.monotonic() >= end and not over.is_set():
            raise Interrupted
        if callable(before):  # somebody else's alarm
            before(number, frame)

    signal.signal(signal.SIGALRM, handle)
    clock = threading.Thread(target=ring, daemon=True)
    clock.start()
    try:
        yield
    finally:
        over.set()
        clock.join()
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
