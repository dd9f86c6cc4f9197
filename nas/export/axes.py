"""Axes for the charts: nice ticks, linear or logarithmic, and numbers people can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nas.core.metrics import COUNTS, SHARES
from nas.export.canvas import Path, Shape, Text

LOG_FROM = 20.0  # a positive range wider than this factor is drawn logarithmically ...
LOG_TO = 1e15  # ... unless something in it is practically zero
LARGEST = 1e100  # numbers beyond it are treated as infinite, so that ranges cannot overflow
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_NAMES = {
    "params": "parameters",
    "macs": "multiply-adds",
    "error": "validation error",
    "test_error": "test error",
    "latency_ms": "latency (ms)",
    "memory_mb": "memory (MB)",
    "energy_j": "energy (J)",
}


def metric_name(metric: str) -> str:
    """A metric's name for an axis or a table's head."""
    return _NAMES.get(metric, metric.replace("_", " "))


def drawable(value: object) -> bool:
    """Whether something is a number that has a place on an axis."""
    return isinstance(value, int | float) and abs(value) <= LARGEST


def short(value: float, metric: str = "") -> str:
    """A figure as text: errors in percent, counts with a prefix, else three digits or so."""
    if not math.isfinite(value):
        return "\u2013"
    if metric in SHARES:
        return f"{100 * value:.2f}\u00a0%"
    for size, prefix in _PREFIXES if metric in COUNTS or abs(value) >= 1e5 else ():
        if abs(value) >= size:
            return f"{value / size:.3g}\u00a0{prefix}"
    if value == int(value) and abs(value) < 1e5:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def tick_text(value: float, metric: str = "") -> str:
    """The same, as short as possible."""
    if metric in SHARES:
        return f"{100 * value:.4g}\u00a0%"
    return short(value, metric)


@dataclass(frozen=True)
class Scale:
    """One axis: data range `low` to `high` on pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Pixel position of `value`."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About `count` round values within the range."""
        if self.log and self.high / self.low >= 10:
            return self._log_ticks(count)
        return linear_ticks(self.low, self.high, count)

    def _log_ticks(self, count: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            values = [d * 10.0**power for power in range(first, last + 1) for d in digits]
            kept = [v for v in values if self.low * 0.999 <= v <= self.high * 1.001]
            if len(kept) <= count + 2:
                return kept
        step = max(1, math.ceil(len(kept) / (count + 1)))
        return kept[::step]


def linear_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` multiples of 1, 2, 2.5 or 5 times a power of ten in [low, high]."""
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1.0, 2.0, 2.5, 5.0) if m * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def fit(
    values: Sequence[float],
    start: float,
    end: float,
    *,
    log: bool | None = None,
    zero: bool = False,
    margin: float = 0.06,
) -> Scale:
    """A scale around the drawable `values`, logarithmic by itself when they span decades.

    Args:
        values: The data.
        start: Pixel of the low end.
        end: Pixel of the high end.
        log: Force or forbid a logarithmic scale.
        zero: Include zero (never on a logarithmic scale).
        margin: Share of the range left free at both ends.
    """
    finite = [value for value in values if drawable(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if log is None:
        log = low > 0 and LOG_FROM < high / max(low, high / LARGEST) < LOG_TO
    if log and low > 0:
        factor = max(high / low, 1.2) ** margin
        return Scale(low / factor, high * factor, start, end, log=True)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    if high - low <= 1e-12 * max(abs(high), abs(low), 1e-300):
        spread = abs(high) * 0.1 or 1.0
        low, high = low - spread, high + spread
    room = (high - low) * margin
    return Scale(low - (0.0 if zero and low == 0 else room), high + room, start, end)


def x_axis(scale: Scale, y: float, top: float, name: str, metric: str = "") -> list[Shape]:
    """Ticks, light vertical lines and the name of a horizontal axis at height `y`."""
    shapes: list[Shape] = []
    for tick in scale.ticks():
        at = scale(tick)
        shapes.append(Path(((at, top), (at, y)), "hair", line=1))
        shapes.append(Text(at, y + 14, tick_text(tick, metric), 11, "muted", "middle"))
    shapes.append(Path(((scale.start, y), (scale.end, y)), "faint", line=1.2))
    shapes.append(Text((scale.start + scale.end) / 2, y + 34, name, 12, "ink", "middle"))
    return shapes


def y_axis(scale: Scale, x: float, right: float, name: str, metric: str = "") -> list[Shape]:
    """Ticks and light horizontal lines of a vertical axis at `x`; the name stands above it."""
    shapes: list[Shape] = []
    for tick in scale.ticks():
        at = scale(tick)
        shapes.append(Path(((x, at), (right, at)), "hair", line=1))
        shapes.append(Text(x - 8, at, tick_text(tick, metric), 11, "muted", "end"))
    shapes.append(Text(x - 8, scale.end - 16, name, 12, "ink", "start"))
    return shapes
