"""Cheap features of cells: what is in them, and on which paths.

After the idea of GRAF (Kadlecova et al., ICML 2024): few numbers that are the same for isomorphic
cells say more to a simple model, when few architectures are known, than a raw graph does to a
large one. Vertices between which nothing flows are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.encodings.base import Encoding, sample_of
from predictors.encodings.graphs import ABSENT, Graphs, Reader
from predictors.encodings.plain import OneHot
from predictors.encodings.unseen import unseen_columns
from predictors.labels import Floats
from predictors.statistics import Sizes

__all__ = ["Features"]

MANY: Final = 6
"""Features for each number of a one-hot encoding, above which they are not few."""


class Features(Encoding):
    """Features of each kind of cell, then the logarithms of parameters and multiply-accumulates.

    Of a cell, for each operation: how many there are; the most and the fewest on a path from
    input to output; how many read an input, how many feed the output; the logarithm of one plus
    the number of paths through any of them. For each ordered pair of operations: how often the
    second reads the first. And the number of vertices and edges, the lengths of the longest and
    the shortest path in operations, the logarithm of the number of paths, and the most edges into
    and out of one vertex. Constant features are left out.

    The size of the network is there if the space has `cost`. Choices that change none of all this
    (a width, a recipe) are appended one-hot. A space whose graphs cannot be read,
    or are all alike to these features, gets its one-hot encoding instead; so does, with its sizes,
    one whose graphs have so many operations (every width of a stage is another one) that these
    features are no longer few.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._sizes = Sizes(space)
        self._kept: NDArray[np.int64] = np.empty(0, np.int64)
        self._many = False
        sample = sample_of(space)
        try:
            self._read = Reader(space)
            self._many = self._seen(sample).shape[1] > MANY * space.tree.encoding_size
            if not self._many:
                self._unseen = unseen_columns(space, self._seen)
                self._kept = np.flatnonzero(np.ptp(self._every(sample), axis=0) > 0)
        except Exception:  # a person's own graph may be anything; a search must not end for that
            self._kept = np.empty(0, np.int64)
        self._instead = None if len(self._kept) else OneHot(space)

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Features ``(n, width)``."""
        if self._instead is not None:
            codes = self._instead.encode(architectures)
            return np.hstack([codes, self._logarithms(architectures)]) if self._many else codes
        return self._every(architectures)[:, self._kept]

    def _every(self, architectures: Sequence[Architecture]) -> Floats:
        seen = self._seen(architectures)
        if not len(self._unseen):
            return seen
        codes = np.array([self.space.encode(member) for member in architectures])
        return np.concatenate(
            [seen, codes.reshape(len(seen), self.space.tree.encoding_size)[:, self._unseen]], axis=1
        )

    def _seen(self, architectures: Sequence[Architecture]) -> Floats:
        graphs = self._read(architectures)
        parts = [_cell_features(graphs[cell], self._read) for cell in self._read.cells]
        return np.concatenate([*parts, self._logarithms(architectures)], axis=1)

    def _logarithms(self, architectures: Sequence[Architecture]) -> Floats:
        """Of sizes ``(n, 2)``, ``(n, 0)`` if nobody knows them."""
        if not self._sizes.known:
            return np.empty((len(architectures), 0))
        return np.log(np.maximum(self._sizes(architectures), 1.0))


def _cell_features(graphs: Graphs, read: Reader) -> Floats:
    count = len(graphs.edges)
    names = len(read.operations)
    is_op = graphs.operations[:, :, None] == np.arange(names)  # (n, V, ops)
    most, fewest = _along_paths(graphs, is_op)
    contracted = _between_operations(graphs)
    several = np.einsum("nuo,nuv,nvp->nop", is_op, contracted, is_op, optimize=True, dtype=float)
    reads = np.any(contracted & graphs.inputs[:, :, None], axis=1)
    feeds = np.any(contracted & graphs.outputs[:, None, :], axis=2)
    paths, through = _paths(graphs, is_op)
    only = _only(graphs, is_op)
    degrees = graphs.edges.sum(1), graphs.edges.sum(2)
    whole = [
        (graphs.operations != ABSENT).sum(1),
        graphs.edges.sum((1, 2)),
        np.log1p(paths),
        *(degree.max(1) for degree in degrees),
    ]
    return np.concatenate(
        [
            is_op.sum(1),
            most,
            fewest,
            (reads[:, :, None] & is_op).sum(1),
            (feeds[:, :, None] & is_op).sum(1),
            np.log1p(through),
            only,
            several.reshape(count, names * names),
            np.stack(whole, 1),
        ],
        axis=1,
    ).astype(np.float64)


def _along_paths(graphs: Graphs, is_op: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Most and fewest operations on a path from an input to the output.

    Returns:
        Two arrays ``(n, ops + 1)``: of each operation, and of any. 0 and one more than the
        vertices where there is no path at all.
    """
    size = graphs.operations.shape[1]
    weight = np.concatenate([is_op, is_op.any(2, keepdims=True)], 2).astype(np.float64)
    high = np.where(graphs.inputs[:, :, None], weight, -np.inf)
    low = np.where(graphs.inputs[:, :, None], weight, np.inf)
    for vertex in range(size):
        entering = graphs.edges[:, :, vertex, None]
        if not entering.any():
            continue
        best = np.where(entering, high, -np.inf).max(1) + weight[:, vertex]
        high[:, vertex] = np.maximum(high[:, vertex], best)
        least = np.where(entering, low, np.inf).min(1) + weight[:, vertex]
        low[:, vertex] = np.minimum(low[:, vertex], least)
    at_output = graphs.outputs[:, :, None]
    most = np.where(at_output, high, -np.inf).max(1)
    fewest = np.where(at_output, low, np.inf).min(1)
    return np.where(np.isfinite(most), most, 0.0), np.where(np.isfinite(fewest), fewest, size + 1.0)


def _only(graphs: Graphs, is_op: NDArray[np.bool_]) -> Floats:
    """Longest path through no operations but one or two given ones ``(n, subsets)``.

    One is added, so that 0 is no such path and 1 a direct one.
    """
    names = range(is_op.shape[2])
    subsets = [*combinations(names, 1), *combinations(names, 2)]
    if not subsets:
        return np.zeros((len(is_op), 0))
    some = np.asarray(is_op.any(2))
    other = np.stack([some & ~np.any(is_op[:, :, list(s)], axis=2) for s in subsets], 2)
    weight = np.where(other, -np.inf, some[:, :, None].astype(np.float64))
    far = np.where(graphs.inputs[:, :, None], weight, -np.inf)
    for vertex in range(is_op.shape[1]):
        entering = graphs.edges[:, :, vertex, None]
        if entering.any():
            best = np.where(entering, far, -np.inf).max(1) + weight[:, vertex]
            far[:, vertex] = np.maximum(far[:, vertex], best)
    longest = np.where(graphs.outputs[:, :, None], far, -np.inf).max(1) + 1
    return np.where(np.isfinite(longest), longest, 0.0)


def _between_operations(graphs: Graphs) -> NDArray[np.bool_]:
    """Which vertex reads which one directly, sums and the like looked through ``(n, V, V)``."""
    result = graphs.edges.copy()
    state = (graphs.operations == ABSENT) & ~graphs.inputs & ~graphs.outputs
    for vertex in range(result.shape[1]):
        if state[:, vertex].any():
            across = result[:, :, vertex, None] & result[:, None, vertex, :]
            result |= across & state[:, vertex, None, None]
    return result


def _paths(graphs: Graphs, is_op: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Number of paths from inputs to output ``(n,)``, and through each operation ``(n, ops)``."""
    edges = graphs.edges.astype(np.float64)
    forward = graphs.inputs.astype(np.float64)
    backward = graphs.outputs.astype(np.float64)
    for vertex in range(edges.shape[1]):
        forward[:, vertex] += (edges[:, :, vertex] * forward).sum(1)
    for vertex in reversed(range(edges.shape[1])):
        backward[:, vertex] += (edges[:, vertex, :] * backward).sum(1)
    total = (forward * graphs.outputs).sum(1)
    return total, ((forward * backward)[:, :, None] * is_op).sum(1)
