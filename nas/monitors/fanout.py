"""Several monitors as one; a broken one is put aside and the run goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from nas.monitors import Event, Monitor

_LOG = logging.getLogger(__name__)


class FanOut:
    """Tells each monitor of every event.

    Watching must never end a search: a monitor that raises is closed, reported
    once through logging, and told nothing more.

    Args:
        monitors: The monitors.
    """

    def __init__(self, monitors: Iterable[Monitor]) -> None:
        self._monitors = list(monitors)

    def handle(self, event: Event) -> None:
        """Pass the event on."""
        for monitor in list(self._monitors):
            try:
                monitor.handle(event)
            except Exception as error:
                self._monitors.remove(monitor)
                _LOG.warning(
                    "monitor %s stopped at event %r: %s: %s",
                    type(monitor).__name__,
                    event.get("event"),
                    type(error).__name__,
                    error,
                )
                self._close(monitor)

    def close(self) -> None:
        """Close all monitors that are left."""
        while self._monitors:
            self._close(self._monitors.pop())

    def _close(self, monitor: Monitor) -> None:
        try:
            monitor.close()
        except Exception as error:
            _LOG.warning("monitor %s did not close: %s", type(monitor).__name__, error)

    def __enter__(self) -> FanOut:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
