"""Paired comparisons with confidence intervals, said in plain words whichever way they fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nas.core.metrics import SHARES

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """Mean paired difference of two arms, first minus second, with its confidence interval.

    Attributes:
        first: Mean of the first arm.
        second: Mean of the second arm.
        difference: Mean of the paired differences.
        low: Lower end of the interval; minus infinity for a single pair.
        high: Upper end.
        pairs: How many pairs.
        confidence: Of the interval.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    pairs: int
    confidence: float = CONFIDENCE

    @property
    def verdict(self) -> str:
        """Whether the interval excludes zero: `lower`, `higher` or `undecided`."""
        if self.high < 0:
            return "lower"
        if self.low > 0:
            return "higher"
        return "undecided"


def paired(
    first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE
) -> Comparison:
    """Student's t interval of the mean of `first[i] - second[i]`.

    Raises:
        ValueError: The arms are empty or of different lengths.
    """
    if not first or len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} figures do not pair")
    from scipy import stats

    count = len(first)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = math.fsum(differences) / count
    # A few equal differences, as figures in coarse steps easily have, say nothing of their spread.
    half = math.inf
    if count > 1 and (not alike(differences) or alike([*differences, 0.0])):
        variance = math.fsum((d - mean) ** 2 for d in differences) / (count - 1)
        quantile = float(stats.t.ppf(0.5 + confidence / 2, count - 1))
        half = quantile * math.sqrt(variance / count)
    return Comparison(
        math.fsum(first) / count,
        math.fsum(second) / count,
        mean,
        mean - half,
        mean + half,
        count,
        confidence,
    )


def alike(values: Sequence[float]) -> bool:
    """Whether values differ by no more than rounding, in units of the largest, or of 1e-9."""
    scale = max(max(map(abs, values)), 1.0)
    return max(values) - min(values) <= 1e-9 * scale


def mean_interval(
    values: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Mean of a sample and both ends of Student's t interval of it; equal ends for one value.

    Raises:
        ValueError: There is no value.
    """
    if not values:
        raise ValueError("no values, no mean")
    from scipy import stats

    count = len(values)
    mean = math.fsum(values) / count
    if count == 1 or alike(values):
        return mean, mean, mean
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * math.sqrt(variance / count)
    return mean, mean - half, mean + half


def sentence(result: Comparison, found: str, other: str, metric: str = "test_error") -> str:
    """One sentence on two means of a figure, less being better, e.g. for the end of a run.

    Args:
        result: The comparison.
        found: What the first arm is called.
        other: What the second is.
        metric: The figure; shares are said in percent.
    """
    share = metric in SHARES
    sign, unit = ("%", " points") if share else ("", "")

    def said(value: float, form: str = "") -> str:
        return f"{100 * value:{form}.2f}" if share else f"{value:{form}.4g}"

    figures = f"{said(result.first)}{sign} against {said(result.second)}{sign}"
    figures += f" {metric.replace('_', ' ')}"
    if not math.isfinite(result.low):
        why = "one pair" if result.pairs == 1 else f"{result.pairs} equal differences"
        return f"{found} has {figures} of {other}, from {why}: no statement can be made."
    interval = f"{said(result.low, '+')} to {said(result.high, '+')}"
    level = f"{100 * result.confidence:.0f}% interval {interval}, {result.pairs} pairs"
    words = {
        "lower": f"{found} is better than {other}",
        "higher": f"{found} is WORSE than {other}",
        "undecided": f"{found} and {other} cannot be told apart",
    }[result.verdict]
    return f"{words}: {figures}, difference {said(result.difference, '+')}{unit} ({level})."
