"""Seeded, stratified choices of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.core.errors import DataError
from nas.training.data.raw import Labels

Indices = NDArray[np.int64]


def proportional(sizes: NDArray[np.int64], total: int, keep: int = 0) -> NDArray[np.int64]:
    """Share `total` images among classes in proportion to their sizes (largest remainders).

    Every class that has an image gets one where `total` allows it; `keep` images of every
    class stay behind unless it has no more than that.

    Args:
        sizes: Images of each class.
        total: How many are wanted; fewer are given if `keep` asks for it.
        keep: Images of each class not to be given away.

    Returns:
        How many of each class.
    """
    most = np.maximum(sizes - keep, np.minimum(sizes, 1))
    total = min(total, int(most.sum()))
    exact = sizes * (total / max(1, int(sizes.sum())))
    counts: Indices = np.minimum(np.floor(exact).astype(np.int64), most)
    if total >= np.count_nonzero(sizes):
        counts = np.maximum(counts, np.minimum(sizes, 1))
    while counts.sum() < total:
        counts[int(np.argmax(np.where(counts < most, exact - counts, -np.inf)))] += 1
    while counts.sum() > total:
        counts[int(np.argmax(np.where(counts > 1, counts - exact, -np.inf)))] -= 1
    return counts


def take(labels: Labels, total: int, seed: int, keep: int = 0) -> tuple[Indices, Indices]:
    """Draw `total` indices, stratified.

    Args:
        labels: (n,), the class of each image.
        total: How many to draw.
        seed: Of the draw.
        keep: Images of each class not to draw (see `proportional`).

    Returns:
        The indices drawn and the others, both in a random order, so that every part of a split
        is a mix of classes.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    sizes = np.bincount(labels)
    counts = proportional(sizes, total, keep)
    # The rank of an image among those of its class, in the random order.
    by_class = np.argsort(labels[order], kind="stable")
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(starts, sizes)
    chosen = rank < counts[labels[order]]
    # Shuffled again: the classes that run out first would be missing at the end of one part.
    return rng.permutation(order[chosen]), rng.permutation(order[~chosen])


def check_sizes(labels: Labels, classes: tuple[str, ...], splits: int, what: str) -> None:
    """Check that every class has an image for each of the splits to be made of it.

    Raises:
        DataError: One has fewer.
    """
    sizes = np.bincount(labels, minlength=len(classes))
    smallest = int(np.argmin(sizes))
    if sizes[smallest] < splits:
        raise DataError(
            f"class {classes[smallest]!r} of {what} has {sizes[smallest]} image(s) "
            f"for {splits} splits",
            f"give every class {splits} or more, or remove it",
        )
