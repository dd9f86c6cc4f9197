"""Which listeners a command that runs something gives to the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nas.cli.panel import LivePanel
from nas.cli.plain import JsonLines, PlainLines
from nas.cli.streams import Streams
from nas.engine.events import Event


@contextmanager
def listening(
    streams: Streams, phases: bool = True
) -> Iterator[tuple[Callable[[Event], None], ...]]:
    """Listeners that show progress: a panel on a terminal, plain lines elsewhere, JSON if asked.

    Args:
        streams: Where to.
        phases: Whether there is more than one phase, so that their names are worth a line.
    """
    listeners: list[Callable[[Event], None]] = []
    if streams.json:
        listeners.append(JsonLines(streams))
    if streams.quiet:
        yield tuple(listeners)
    elif streams.live:
        with LivePanel(streams.err) as panel:
            yield (*listeners, panel)
    else:
        yield (*listeners, PlainLines(streams, phases=phases))
