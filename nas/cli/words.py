"""Figures in words: short, with units, the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nas.core.metrics import COUNTS, SHARES


def count(value: float) -> str:
    """`1.93 M`, `620 k`, `812`."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """`0.4 s`, `48 s`, `3 min 20 s`, `2 h 05 min`, `3 d 04 h`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def percent(share: float) -> str:
    """`2.78 %` for 0.0278."""
    return f"{100 * share:.2f} %"


def figure(metric: str, value: float) -> str:
    """A figure as a person reads it."""
    if metric in SHARES:
        return percent(value)
    if metric in COUNTS:
        return count(value)
    if metric == "seconds":
        return duration(value)
    if metric == "latency_ms":
        return f"{value:.3g} ms"
    return f"{value:.4g}"


def label(metric: str) -> str:
    """A metric as a column's title."""
    return {"test_error": "test error", "macs": "multiply-adds"}.get(metric, metric)


def settings(values: Mapping[str, Any]) -> str:
    """`learning_rate 0.05, optimizer sgd` by name, what lies deeper as `a.b`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        deeper = value if isinstance(value, Mapping) else None
        flat |= {name: value} if deeper is None else {f"{name}.{k}": v for k, v in deeper.items()}
    return ", ".join(f"{name} {value}" for name, value in sorted(flat.items()))


def figures(values: Mapping[str, float], names: Sequence[str]) -> str:
    """`error 2.78 %, params 33.4 k` of those that are there."""
    return ", ".join(
        f"{label(name)} {figure(name, values[name])}" for name in names if name in values
    )


def number(amount: float, noun: str) -> str:
    """`1 epoch`, `12.5 epochs`."""
    return f"{amount:g} {noun}{'' if amount == 1 else 's'}"


def cost(spent: Mapping[str, Any]) -> str:
    """`61 epochs, 40 evaluations, 3 min 20 s` of the parts of a `Spent`."""
    parts = []
    if spent.get("epochs"):
        parts.append(number(round(float(spent["epochs"]), 1), "epoch"))
    if spent.get("evaluations"):
        parts.append(number(int(spent["evaluations"]), "evaluation"))
    if spent.get("macs"):
        parts.append(f"{count(float(spent['macs']))} multiply-adds")
    if spent.get("seconds"):
        parts.append(duration(float(spent["seconds"])))
    return ", ".join(parts) or "nothing"


def scale(values: Mapping[str, Any]) -> str:
    """`channels 16, layers 8`."""
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "default"
