"""Paired intervals against SciPy, and what is said of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nas.measure.comparison import mean_interval, paired, sentence


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("count", [2, 3, 12])
def test_the_interval_is_that_of_the_paired_t_test(count: int, confidence: float) -> None:
    rng = np.random.default_rng(count)
    first = rng.normal(0.10, 0.02, count)
    second = first + rng.normal(0.01, 0.01, count)
    found = paired(first.tolist(), second.tolist(), confidence)
    wanted = stats.ttest_rel(first, second).confidence_interval(confidence)
    assert found.low == pytest.approx(wanted.low, rel=1e-9)
    assert found.high == pytest.approx(wanted.high, rel=1e-9)
    assert found.difference == pytest.approx(float(np.mean(first - second)))
    assert (found.first, found.second) == pytest.approx((first.mean(), second.mean()))
    assert (found.pairs, found.confidence) == (count, confidence)
    significant = stats.ttest_rel(first, second).pvalue < 1 - confidence
    assert (found.verdict != "undecided") is bool(significant)


def test_the_interval_covers_the_truth_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        first = rng.normal(0.1, 0.02, 4)
        found = paired(first.tolist(), (first + rng.normal(0.01, 0.01, 4)).tolist(), 0.9)
        covered += found.low <= -0.01 <= found.high
    assert 870 <= covered <= 930


def test_better_worse_undecided() -> None:
    better = paired([0.10, 0.11, 0.12], [0.14, 0.151, 0.16])
    assert better.verdict == "lower"
    text = sentence(better, "the found architecture", "random search")
    assert text.startswith("the found architecture is better than random search: 11.00% against")
    assert "difference -4.0" in text
    assert "95% interval -4." in text
    assert "3 pairs" in text
    worse = paired([0.14, 0.151, 0.16], [0.10, 0.11, 0.12])
    assert worse.verdict == "higher"
    assert "is WORSE than random search" in sentence(
        worse, "the found architecture", "random search"
    )
    even = paired([0.10, 0.12], [0.12, 0.10])
    assert even.verdict == "undecided"
    assert "cannot be told apart" in sentence(even, "the found architecture", "random search")


def test_equal_arms_are_undecided() -> None:
    same = paired([0.1, 0.2], [0.1, 0.2])
    assert (same.low, same.high, same.verdict) == (0.0, 0.0, "undecided")


def test_differences_that_are_equal_but_for_rounding_say_nothing() -> None:
    first, second = [0.9, 0.9166666666666666], [0.9166666666666666, 0.9333333333333333]
    assert len({a - b for a, b in zip(first, second, strict=True)}) == 2
    found = paired(first, second)
    assert found.verdict == "undecided"
    assert math.isinf(found.high)
    assert mean_interval([0.1 + 0.2, 0.3]) == pytest.approx((0.3, 0.3, 0.3), abs=1e-15)


def test_one_pair_says_nothing() -> None:
    one = paired([0.1], [0.9])
    assert math.isinf(one.low)
    assert math.isinf(one.high)
    assert one.verdict == "undecided"
    text = sentence(one, "the found architecture", "random search")
    assert "10.00% against 90.00%" in text
    assert text.endswith("from one pair: no statement can be made.")


@pytest.mark.parametrize(("first", "second"), [([], []), ([0.1], [0.1, 0.2])])
def test_what_does_not_pair_is_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="do not pair"):
        paired(first, second)
