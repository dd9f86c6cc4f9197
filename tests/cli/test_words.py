"""Figures in words."""

from __future__ import annotations

import math

import pytest

from nas.cli import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (812, "812"), (62_000, "62 k"), (1_930_618, "1.93 M"), (3e9, "3 G"), (2e13, "20 T")],
)
def test_counts(value: float, text: str) -> None:
    assert words.count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (48, "48 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (3 * 86400 + 4 * 3600, "3 d 04 h"),
        (math.inf, "?"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_figures() -> None:
    values = {"error": 0.0278, "params": 33_400, "test_error": 0.031, "latency_ms": 1.2345}
    text = words.figures(values, ("error", "test_error", "params", "macs", "latency_ms"))
    assert text == "error 2.78 %, test error 3.10 %, params 33.4 k, latency_ms 1.23 ms"


def test_costs() -> None:
    assert words.cost({}) == "nothing"
    assert words.cost({"epochs": 1.0, "evaluations": 2, "seconds": 5}) == (
        "1 epoch, 2 evaluations, 5.0 s"
    )
    assert words.cost({"epochs": 12.55, "macs": 2e12}) == "12.6 epochs, 2 T multiply-adds"
