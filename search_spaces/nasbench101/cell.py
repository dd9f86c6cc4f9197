"""Cells of NAS-Bench-101 as plain data: pruning, the benchmark's hash, isomorphism; no torch here.

Vertices are numbered in an order in which edges go upwards; 0 is the cell's input, the last one its
output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import md5
from typing import Any, Final

import numpy as np

__all__ = [
    "EDGES",
    "INNER",
    "LARGEST_EDGES",
    "OPERATIONS",
    "VERTICES",
    "Cell",
    "connects",
    "count_members",
    "keys_of",
    "neighbor_codes",
]

OPERATIONS: Final = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""What an inner vertex may compute, in the order of the benchmark's digits."""

VERTICES: Final = 7
LARGEST_EDGES: Final = 9
INNER: Final = tuple(range(1, VERTICES - 1))

EDGES: Final = tuple((a, b) for a in range(VERTICES) for b in range(a + 1, VERTICES))
"""The 21 possible edges; number i is bit i of a cell's mask."""

_OUTPUT: Final = VERTICES - 1


@dataclass(frozen=True)
class Cell:
    """A cell whose every vertex lies on a path from input to output.

    Attributes:
        matrix: Upper-triangular adjacency, rows of 0 and 1.
        ops: Number of the operation of each inner vertex, see `OPERATIONS`.
    """

    matrix: tuple[tuple[int, ...], ...]
    ops: tuple[int, ...]

    @classmethod
    def pruned(cls, matrix: Sequence[Sequence[int]], ops: Sequence[int]) -> Cell | None:
        """The part of a graph that matters; None if its output does not depend on its input."""
        count = len(matrix)
        forward, backward = {0}, {count - 1}
        for v in range(1, count):
            if any(matrix[u][v] and u in forward for u in range(v)):
                forward.add(v)
        for v in range(count - 2, -1, -1):
            if any(matrix[v][w] and w in backward for w in range(v + 1, count)):
                backward.add(v)
        kept = sorted(forward & backward)
        if kept[:1] != [0] or kept[-1] != count - 1:
            return None
        rows = tuple(tuple(int(matrix[u][v]) for v in kept) for u in kept)
        return cls(rows, tuple(int(ops[v - 1]) for v in kept[1:-1]))

    @property
    def size(self) -> int:
        """Number of vertices, 2 to 7."""
        return len(self.matrix)

    @property
    def hash(self) -> str:
        """The benchmark's hash of a module (Ying et al. 2019): equal for isomorphic cells.

        Vertices start from degrees and operation, and are hashed with their neighbours' hashes as
        many times as there are vertices.
        """
        count, matrix = self.size, self.matrix
        before = [[u for u in range(v) if matrix[u][v]] for v in range(count)]
        after = [[w for w in range(v + 1, count) if matrix[v][w]] for v in range(count)]
        labels = (-1, *self.ops, -2)
        now = [_digest(str((len(after[v]), len(before[v]), labels[v]))) for v in range(count)]
        for _ in range(count):
            now = [
                _digest(
                    "".join(sorted([now[u] for u in before[v]]))
                    + "|"
                    + "".join(sorted([now[w] for w in after[v]]))
                    + "|"
                    + now[v]
                )
                for v in range(count)
            ]
        return _digest(str(sorted(now)))

    def canonical(self) -> Cell:
        """The smallest of all isomorphic cells: the one by which the benchmark represents them.

        Smallest are the digits of the adjacency read backwards, the last column first and each
        from its end, and then those of the operations. Exact: every numbering in which edges go
        upwards is tried, at most 120.
        """
        return min(map(self._renumbered, self._orders()), key=lambda c: (c._digits, c.ops))

    @property
    def _digits(self) -> list[int]:
        return [self.matrix[u][v] for v in range(self.size - 1, 0, -1) for u in range(v)[::-1]]

    def _orders(self) -> Iterator[tuple[int, ...]]:
        """Every order of the vertices in which each comes after all that it reads."""
        last = self.size - 1
        needs = [{u for u in range(v) if self.matrix[u][v]} for v in range(last)]

        def grow(order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
            if len(order) == last:
                yield (*order, last)
                return
            placed = set(order)
            for v in range(1, last):
                if v not in placed and needs[v] <= placed:
                    yield from grow((*order, v))

        return grow((0,))

    def _renumbered(self, order: Sequence[int]) -> Cell:
        rows = tuple(tuple(self.matrix[u][v] for v in order) for u in order)
        return Cell(rows, tuple(self.ops[v - 1] for v in order[1:-1]))


@lru_cache(maxsize=200_000)
def _digest(text: str) -> str:
    # The labels of few steps repeat in most cells. No secret is kept by it, so MD5 will do.
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def connects(mask: int) -> bool:
    """Whether a path leads from input to output."""
    reached = 1
    for bit, (source, target) in enumerate(EDGES):  # sources ascend, so one pass is enough
        if mask >> bit & 1 and reached >> source & 1:
            reached |= 1 << target
    return reached >> _OUTPUT & 1 == 1


def count_members() -> int:
    """Sets of 1 to 9 edges that join input and output, times the operations of all vertices."""
    masks = np.arange(1 << len(EDGES), dtype=np.uint32)
    degree = np.zeros(len(masks), np.uint8)
    reached = np.zeros((VERTICES, len(masks)), bool)
    reached[0] = True
    for bit, (source, target) in enumerate(EDGES):
        there = (masks >> np.uint32(bit) & np.uint32(1)).astype(bool)
        degree += there
        reached[target] |= there & reached[source]
    members = reached[_OUTPUT] & (degree <= LARGEST_EDGES)
    labels: int = len(OPERATIONS) ** len(INNER)
    return int(np.count_nonzero(members)) * labels


# -- many cells at once ---------------------------------------------------------------------------

Codes = np.ndarray[Any, np.dtype[np.int64]]
"""Cells as rows ``(n, 6)``: the mask of edges, then the operations of vertices 1 to 5."""

_BITS: Final = np.arange(len(EDGES))
_FROM: Final = np.array([a for a, _ in EDGES])
_TO: Final = np.array([b for _, b in EDGES])


def keys_of(codes: Codes) -> Codes:
    """A 64-bit key of each cell ``(n,)``: equal for isomorphic cells, 0 for those that do not join.

    The benchmark's hash with sums of mixed integers instead of sorted digests, so that thousands
    of cells are hashed at once. It tells the same cells apart (but for a chance of about 1e-8
    that any two of a million collide).
    """
    count = len(codes)
    # Cells lie along the last axis, which makes every step below one long run through memory.
    graph = np.zeros((VERTICES, VERTICES, count), bool)
    graph[_FROM, _TO] = (codes[:, :1] >> _BITS & 1).astype(bool).T
    forward = np.zeros((VERTICES, count), bool)
    backward = np.zeros_like(forward)
    forward[0] = backward[_OUTPUT] = True
    for v in range(1, VERTICES):
        forward[v] = (graph[:v, v] & forward[:v]).any(axis=0)
    for v in range(VERTICES - 2, -1, -1):
        backward[v] = (graph[v, v + 1 :] & backward[v + 1 :]).any(axis=0)
    kept = forward & backward
    links = (graph & kept[:, None] & kept[None]).astype(np.uint64)
    labels = np.ones((VERTICES, count), np.uint64)
    labels[1:_OUTPUT] = codes[:, 1:].T + 3
    labels[_OUTPUT] = 2
    alive = kept.astype(np.uint64)
    now = _mixed(labels) * alive
    for _ in range(VERTICES):
        told = _mixed(now)
        before = (links * told[:, None]).sum(axis=0)
        after = (links * told[None]).sum(axis=1)
        now = _mixed(now + _mixed(before + _ONE) + _mixed(after + _TWO) * _THREE) * alive
    total = _mixed((_mixed(now) * alive).sum(axis=0)) >> np.uint64(1)
    return np.where(kept[_OUTPUT], total, 0).astype(np.int64)


_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)


def _mixed(values: Any) -> Any:
    """Scatters 64-bit numbers (the finalizer of SplitMix64, Steele et al., OOPSLA 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


def neighbor_codes(mask: int, ops: Sequence[int]) -> Codes:
    """Codes one step away: an edge exchanged, left out or added, or one operation changed."""
    inside = [1 << int(bit) for bit in _BITS if mask >> int(bit) & 1]
    outside = [1 << int(bit) for bit in _BITS if not mask >> int(bit) & 1]
    masks = [mask - old + new for old in inside for new in outside]
    masks += [mask - old for old in inside if len(inside) > 1]
    masks += [mask + new for new in outside if len(inside) < LARGEST_EDGES]
    codes = np.empty((len(masks) + len(ops) * (len(OPERATIONS) - 1), 1 + len(ops)), np.int64)
    codes[:, 0] = mask
    codes[: len(masks), 0] = masks
    codes[:, 1:] = ops
    row = len(masks)
    for place, own in enumerate(ops):
        for other in range(len(OPERATIONS)):
            if other != own:
                codes[row, 1 + place] = other
                row += 1
    return codes


def matrix_of(mask: int) -> tuple[tuple[int, ...], ...]:
    """The adjacency of all seven vertices."""
    rows = [[0] * VERTICES for _ in range(VERTICES)]
    for bit, (source, target) in enumerate(EDGES):
        rows[source][target] = mask >> bit & 1
    return tuple(map(tuple, rows))


def mask_of(matrix: Mapping[int, Any] | Sequence[Sequence[int]]) -> int:
    """The mask of an adjacency whose last vertex becomes number 6, the output."""
    last = len(matrix) - 1
    mask = 0
    for bit, (source, target) in enumerate(EDGES):
        at = last if target == _OUTPUT else target
        if source < last and at <= last and (target == _OUTPUT or target < last):
            mask |= int(matrix[source][at]) << bit
    return mask
