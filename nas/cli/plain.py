"""Progress as plain lines, for pipes, logs and dumb terminals; and as JSON Lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from nas.cli import words
from nas.cli.streams import Streams
from nas.cli.watching import Watch, decision
from nas.engine.events import Event

SCHEMA: Final = 1
"""Version of the JSON Lines stream; a reader that knows it may ignore unknown keys."""

INTERVAL: Final = 10.0  # seconds between lines of mere progress
PATIENCE: Final = 6  # intervals before a line is said again that says nothing new
PROGRESS: Final = frozenset({"outcome", "call", "progress"})


class PlainLines:
    """A listener that says what matters at once, and how far things are now and then.

    Args:
        streams: Where to.
        interval: Seconds between lines of mere progress.
        clock: Seconds, for tests.
        phases: Whether to say when a phase begins.
    """

    def __init__(
        self,
        streams: Streams,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
        phases: bool = True,
    ) -> None:
        self.watch = Watch()
        self._streams = streams
        self._interval = interval
        self._clock = clock
        self._last = clock()
        self._phases = phases
        self._alarm = ""
        self._told = ""

    def __call__(self, event: Event) -> None:
        """Take note of an event, and print a line if it is time."""
        data = event.to_dict()
        self.watch.take(data)
        news = self._news(data)
        if news:
            self._say(news)
        elif data["event"] in PROGRESS and not data.get("replayed"):
            self._now_and_then()

    def _news(self, data: Mapping[str, Any]) -> str:
        """What is worth a line at once; empty for all else."""
        kind = data["event"]
        if kind == "phase" and self._phases:
            return f"{self.watch.phase} begins"
        if kind == "notice" and not data.get("replayed"):
            return str(data["text"])
        if kind == "stopping":
            return "stopping; the run is being saved (again to stop at once)"
        if kind == "decision" and not data.get("replayed"):
            return f"decided: {decision(data)}"
        if kind == "watch" and self.watch.alarm != self._alarm:
            self._alarm = self.watch.alarm
            return f"alarm: {self._alarm}" if self._alarm else ""
        return ""

    def _now_and_then(self) -> None:
        """How far things are, if the last line is old enough, and older if nothing is new."""
        age = self._clock() - self._last
        if age < self._interval:
            return
        text = self._progress()
        if text != self._told or age >= PATIENCE * self._interval:
            self._told = text
            self._say(text)

    def _progress(self) -> str:
        watch = self.watch
        parts = [watch.phase]
        if watch.share is not None:
            parts[0] += f" {100 * watch.share:.0f} %"
        left = watch.seconds_left
        if left is not None:
            parts.append(f"about {words.duration(left)} left")
        if watch.done:
            parts.append(f"{words.number(sum(watch.done.values()), 'network')} tried")
        if any(watch.spent.values()):
            parts.append(f"spent {words.cost(watch.spent)}")
        if watch.best is not None:
            parts.append(f"best {words.figures(watch.best[0], watch.shown(watch.best[0])[:3])}")
        elif watch.scalars:
            shown = list(watch.scalars.items())[:3]
            parts.append(", ".join(f"{name} {value:.4g}" for name, value in shown))
        return "; ".join(parts)

    def _say(self, text: str) -> None:
        self._last = self._clock()
        self._streams.note(text)


class JsonLines:
    """A listener that writes every event as a line of JSON on stdout.

    The last line is the result, which the command writes itself, so that nothing follows it.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def __call__(self, event: Event) -> None:
        """Write an event."""
        data = event.to_dict()
        if data["event"] != "result":
            self._streams.record({"schema": SCHEMA, **data})
