"""The Frechet distance of two sets of features, in float64 and without `sqrtm`.

Heusel et al., NeurIPS 2017: the squared 2-Wasserstein distance of the two Gaussians that have the
sets' means and covariances. The matrix root is by eigenvalues of symmetric matrices only, so it
is real where there are fewer features than dimensions, or all of them are equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.core.errors import ConfigError

__all__ = ["Moments", "as_features", "distances", "frechet_distance"]

Array: TypeAlias = NDArray[np.float64]


def as_features(values: ArrayLike, least: int = 2) -> Array:
    """An array of features (n, d) in float64; what is not finite stays so.

    Raises:
        ConfigError: It has another shape, or fewer than `least` rows.
    """
    array: Array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) < least or not array.shape[1]:
        raise ConfigError(
            f"features have the shape {array.shape}", f"expected (n, d) with n of {least} or more"
        )
    return array


@dataclass(frozen=True)
class Moments:
    """Mean and scatter of a set of features; two of them add up to that of both sets.

    Attributes:
        count: Features, n.
        mean: (d,).
        scatter: (d, d), the sum of outer products of what differs from the mean.
    """

    count: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, values: ArrayLike) -> Moments:
        """Of an array (n, d), centred before it is multiplied: large means cost no digits.

        Raises:
            ConfigError: It has another shape.
        """
        array = as_features(values, least=1)
        with np.errstate(invalid="ignore", over="ignore"):
            mean = array.mean(0)
            centred = array - mean
            return cls(len(array), mean, centred.T @ centred)

    @classmethod
    def of_batches(cls, batches: Iterable[ArrayLike]) -> Moments:
        """Of arrays (n, d) that come one after another (Chan et al., 1979).

        Raises:
            ConfigError: There is none.
        """
        whole: Moments | None = None
        for batch in batches:
            part = cls.of(batch)
            whole = part if whole is None else whole + part
        if whole is None:
            raise ConfigError("there are no features", "give at least one batch")
        return whole

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        spread = np.outer(gap, gap) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + spread)

    @property
    def covariance(self) -> Array:
        """(d, d), unbiased: divided by n - 1.

        Raises:
            ConfigError: There is one feature only.
        """
        if self.count < 2:
            raise ConfigError("one feature has no covariance", "give two or more")
        return self.scatter / (self.count - 1)


def frechet_distance(first: ArrayLike | Moments, second: ArrayLike | Moments) -> float:
    """Distance of two sets of features.

    Args:
        first: Features (n, d), or their moments; so many and more times n as d is many for a
            figure that means something (its bias falls as 1/n).
        second: Likewise, of the same d.

    Returns:
        The distance; infinite if a feature is not finite. Of equal sets rounding may leave it a
        little below 0.

    Raises:
        ConfigError: Shapes do not fit.
    """
    one, other = (m if isinstance(m, Moments) else Moments.of(m) for m in (first, second))
    if one.mean.shape != other.mean.shape:
        raise ConfigError(
            f"features have {len(one.mean)} and {len(other.mean)} dimensions",
            "use one extractor for both",
        )
    found = distances(
        (one.mean[None], one.covariance[None]), (other.mean[None], other.covariance[None])
    )
    return float(found[0])


def distances(first: tuple[Array, Array], second: tuple[Array, Array]) -> Array:
    """Distances of many pairs of Gaussians at once; infinite where one is not finite.

    Args:
        first: Means (k, d) and covariances (k, d, d).
        second: Likewise.
    """
    (mean1, cov1), (mean2, cov2) = first, second
    parts: tuple[NDArray[Any], ...] = (mean1, mean2, cov1, cov2)
    good = np.all([np.isfinite(p).all(axis=tuple(range(1, p.ndim))) for p in parts], axis=0)
    found = np.full(len(mean1), math.inf)
    if good.any():
        mean1, mean2, cov1, cov2 = (p[good] for p in parts)
        values, vectors = np.linalg.eigh(cov1)
        root = (vectors * np.sqrt(np.clip(values, 0, None))[:, None]) @ vectors.swapaxes(1, 2)
        cross = np.linalg.eigvalsh(root @ cov2 @ root)
        overlap = np.sqrt(np.clip(cross, 0, None)).sum(1)
        spread = np.trace(cov1, axis1=1, axis2=2) + np.trace(cov2, axis1=1, axis2=2)
        found[good] = np.square(mean1 - mean2).sum(1) + spread - 2 * overlap
    return found
