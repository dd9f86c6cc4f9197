"""Distances of features against independent formulas, and what must not change them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from numpy.typing import NDArray

from nas.core.errors import ConfigError
from nas.measure.gan import Moments, frechet_distance, inception_score, kid, mmd2

Array = NDArray[np.float64]
SHAPES = [(2000, 64), (300, 256), (100, 64), (50, 64)]


def features(n: int, d: int, seed: int, shift: float = 0.0) -> Array:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(d).normal(size=(d, d)) / math.sqrt(d)
    return np.asarray(np.abs(rng.normal(size=(n, d))) @ mix + shift)


def by_sqrtm(x: Array, y: Array) -> float:
    one, other = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(one @ other)
    gap = x.mean(0) - y.mean(0)
    return float(gap @ gap + np.trace(one) + np.trace(other) - 2 * np.trace(root).real)


def by_eigenvalues(x: Array, y: Array) -> float:
    """As torch-fidelity works it out: real roots of the eigenvalues of the product."""
    one, other = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    gap = x.mean(0) - y.mean(0)
    roots = np.sqrt(scipy.linalg.eigvals(one @ other).astype(complex)).real.sum()
    return float(gap @ gap + np.trace(one) + np.trace(other) - 2 * roots)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_distance_is_that_of_other_formulas(n: int, d: int) -> None:
    x, y = features(n, d, 1), 1.3 * features(n, d, 2, shift=0.2)
    found = frechet_distance(x, y)
    assert found == pytest.approx(by_eigenvalues(x, y), abs=1e-6)
    if n > d:  # the root of a singular product is not there
        assert found == pytest.approx(by_sqrtm(x, y), abs=1e-6)


@pytest.mark.parametrize("kept", [1, 2, 5])
def test_a_collapsed_set_has_its_distance(kept: int) -> None:
    x, points = features(300, 32, 1), features(kept, 32, 2)
    y = points[np.arange(300) % kept]
    assert frechet_distance(x, y) == pytest.approx(by_eigenvalues(x, y), abs=1e-6)


def test_gaussians_with_diagonal_covariances() -> None:
    rng = np.random.default_rng(0)
    stds, means = rng.uniform(0.1, 3, (2, 40)), rng.normal(size=(2, 40))
    sets = [Moments(11, m, 10 * np.diag(s**2)) for m, s in zip(means, stds, strict=True)]
    wanted = np.square(means[0] - means[1]).sum() + np.square(stds[0] - stds[1]).sum()
    assert frechet_distance(*sets) == pytest.approx(wanted, abs=1e-8)


def test_order_batches_and_rotations_change_nothing() -> None:
    x, y = features(400, 24, 1), features(500, 24, 2, shift=0.1)
    whole = frechet_distance(x, y)
    order = np.random.default_rng(3).permutation(len(y))
    rotation = scipy.linalg.qr(np.random.default_rng(4).normal(size=(24, 24)))[0]
    assert frechet_distance(x, y[order]) == pytest.approx(whole, abs=1e-9)
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(whole, abs=1e-9)
    for size in (1, 7, 499):
        batches = [y[start : start + size] for start in range(0, len(y), size)]
        assert frechet_distance(x, Moments.of_batches(batches)) == pytest.approx(whole, abs=1e-9)
    assert kid(x, y, size=100, seed=1).value == pytest.approx(
        kid(x @ rotation, y @ rotation, size=100, seed=1).value, abs=1e-9
    )


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_a_set_has_no_distance_from_itself(n: int, d: int) -> None:
    x = features(n, d, 1)
    assert abs(frechet_distance(x, x)) < 1e-5


def test_features_far_from_zero_lose_no_digits() -> None:
    x, y = features(400, 24, 1), features(500, 24, 2, shift=0.1)
    assert frechet_distance(x + 1e5, y + 1e5) == pytest.approx(frechet_distance(x, y), abs=1e-6)


def test_what_is_not_finite_is_infinitely_far() -> None:
    x, y = features(100, 8, 1), features(100, 8, 2)
    for wrong in (math.nan, math.inf):
        broken = y.copy()
        broken[17, 3] = wrong
        assert frechet_distance(x, broken) == math.inf
        assert kid(x, broken, size=50).value == math.inf
        assert inception_score(broken).value == -math.inf


def reference_mmd2(x: Array, y: Array) -> float:
    """Loops over pairs."""
    n, d = x.shape
    k: Any = lambda a, b: (float(a @ b) / d + 1.0) ** 3  # noqa: E731
    same = sum(k(s[i], s[j]) for s in (x, y) for i in range(n) for j in range(n) if i != j)
    across = sum(k(x[i], y[j]) for i in range(n) for j in range(n))
    return same / (n * (n - 1)) - 2 * across / n**2


def test_the_kernel_distance_is_that_of_its_pairs() -> None:
    x, y = features(40, 16, 1), features(40, 16, 2, shift=0.3)
    assert mmd2(x, y) == pytest.approx(reference_mmd2(x, y), abs=1e-9)
    rng = np.random.default_rng(5)
    values = []
    for _ in range(7):
        first = rng.choice(40, 20, replace=False)
        second = rng.choice(40, 20, replace=False)
        values.append(reference_mmd2(x[first], y[second]))
    found = kid(x, y, subsets=7, size=20, seed=5)
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    wanted = reference_variance(x, y) + np.var(values, ddof=1) / 7
    assert found.error == pytest.approx(math.sqrt(wanted), rel=1e-9)
    whole = kid(x, y, subsets=2, size=40)
    assert whole.error == pytest.approx(math.sqrt(reference_variance(x, y)), rel=1e-9)
    few = y[:23]
    found = kid(x, few, subsets=500, size=20)
    assert found.value == pytest.approx(unbiased(x, few), abs=4 * found.error / 10)
    assert found.error == pytest.approx(math.sqrt(reference_variance(x, few)), rel=0.02)
    assert math.isnan(kid(x[:3], y, size=2).error)


def unbiased(x: Array, y: Array) -> float:
    """Of two sets of any sizes."""
    k, n, m = (lambda a, b: (a @ b.T / a.shape[1] + 1.0) ** 3), len(x), len(y)
    mine, theirs = (k(s, s) - np.diag(np.diag(k(s, s))) for s in (x, y))
    same = mine.sum() / (n * (n - 1)) + theirs.sum() / (m * (m - 1))
    return float(same - 2 * k(x, y).mean())


def interaction(x: Array, y: Array | None = None) -> float:
    """Variance of what pairs say beside their members, by least squares, a column a member."""
    first = x if y is None else y
    pairs = [(i, j) for i in range(len(x)) for j in range(len(first)) if y is not None or i < j]
    design = np.zeros((len(pairs), len(x) + (0 if y is None else len(first))))
    for row, (i, j) in enumerate(pairs):
        design[row, i] += 1
        design[row, j + (0 if y is None else len(x))] += 1
    kernels = np.array([(x[i] @ first[j] / x.shape[1] + 1.0) ** 3 for i, j in pairs])
    left = kernels - design @ np.linalg.lstsq(design, kernels, rcond=None)[0]
    return float(left @ left / (len(pairs) - np.linalg.matrix_rank(design)))


def reference_variance(x: Array, y: Array) -> float:
    """By leaving features out one at a time, less once what is of pairs alone."""
    total = 0.0
    for own, statistic in ((x, lambda s: unbiased(s, y)), (y, lambda s: unbiased(x, s))):
        values = [statistic(np.delete(own, i, axis=0)) for i in range(len(own))]
        total += (len(own) - 1) * float(np.var(values))
    n, m = len(x), len(y)
    pairs = 2 * interaction(x) / (n * (n - 1)) + 2 * interaction(y) / (m * (m - 1))
    pairs += 4 * interaction(x, y) / (n * m)
    return max(total - pairs, pairs)


def test_the_kernel_distance_is_unbiased() -> None:
    values = [mmd2(features(60, 16, i), features(60, 16, 1000 + i)) for i in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(len(values))
    assert min(values) < 0


# Sizes are the judge's: 287 validation images of digits and 1,000 generated ones, subsets of half.
# Of equal distributions (shift 0) nothing but pairs tells: a sum of a few squares, so that an error
# is as uncertain as a variance of few values is, and the larger of two guesses is taken.
@pytest.mark.parametrize(
    ("sizes", "shift", "low", "high"),
    [
        ((200, 200), 1.0, 0.85, 1.15),
        ((200, 200), 0.5, 0.85, 1.15),
        ((287, 1000), 0.5, 0.85, 1.15),
        ((200, 200), 0.0, 0.85, 1.35),
        ((287, 1000), 0.0, 0.85, 1.35),
    ],
)
def test_its_error_is_how_far_other_samples_lie(
    sizes: tuple[int, int], shift: float, low: float, high: float
) -> None:
    errors, values = [], []
    for number in range(200):
        one, other = features(sizes[0], 8, number), features(sizes[1], 8, 1000 + number, shift)
        found = kid(one, other, subsets=20, size=min(sizes) // 2)
        errors.append(found.error)
        values.append(found.value)
    assert low < np.mean(errors) / np.std(values, ddof=1) < high


def test_the_score_is_that_of_its_definition() -> None:
    logits = 3 * np.random.default_rng(0).normal(size=(1003, 10))
    shares = scipy.special.softmax(logits, axis=1)
    scores = []
    for number in range(10):
        part = shares[number * 1003 // 10 : (number + 1) * 1003 // 10]
        pieces = part * np.log(part / part.mean(0))
        scores.append(math.exp(pieces.sum(1).mean()))
    found = inception_score(logits)
    assert found.value == pytest.approx(np.mean(scores), abs=1e-9)
    assert found.error == pytest.approx(np.std(scores, ddof=1) / math.sqrt(10), abs=1e-9)


def test_the_ends_of_the_score() -> None:
    sure = 1e4 * np.eye(10)[np.arange(1000) % 10]
    assert inception_score(sure).value == pytest.approx(10)
    assert inception_score(np.zeros((1000, 10))).value == pytest.approx(1)
    assert inception_score(1e4 * np.eye(10)[np.zeros(1000, int)]).value == pytest.approx(1)


def test_what_cannot_be_worked_out_is_refused() -> None:
    x = features(50, 8, 1)
    with pytest.raises(ConfigError, match="8 and 9 dimensions; use one extractor"):
        frechet_distance(x, features(50, 9, 1))
    with pytest.raises(ConfigError, match="shape"):
        frechet_distance(x[0], x)
    with pytest.raises(ConfigError, match="one feature has no covariance"):
        frechet_distance(x, x[:1])
    with pytest.raises(ConfigError, match="subsets of 1000 of 50 and 50 features; choose 2 to 50"):
        kid(x, x)
    with pytest.raises(ConfigError, match="10 splits of 5 logits"):
        inception_score(x[:5])
