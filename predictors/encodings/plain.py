"""Encodings that write an architecture down instead of describing it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.encodings.base import Encoding
from predictors.encodings.graphs import Reader
from predictors.labels import Floats

__all__ = ["Adjacency", "OneHot"]


class OneHot(Encoding):
    """The space's own encoding of the canonical member, so equal networks have equal vectors."""

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, tree.encoding_size)`` in [0, 1]."""
        width = self.space.tree.encoding_size
        codes = [self.space.encode(self.space.canonical(member)) for member in architectures]
        return np.array(codes, dtype=np.float64).reshape(len(codes), width)


class Adjacency(Encoding):
    """Adjacency matrix above the diagonal and one-hot operations, of the canonical member.

    Vertices are in topological order. Cells that have fewer than others leave the last places
    empty; ones that have more vertices than any in a sample of the space are cut short.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._read = Reader(space)

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, cells * (V (V - 1) / 2 + V * operations))`` of zeros and ones."""
        size = self._read.width
        upper = np.triu_indices(size, 1)
        parts: list[Floats] = []
        canonical = [self.space.canonical(member) for member in architectures]
        for graphs in self._read(canonical).values():
            edges = graphs.edges[:, :size, :size]
            operations = graphs.operations[:, :size, None] == np.arange(len(self._read.operations))
            flat = operations.reshape(len(canonical), -1)
            parts += [edges[:, upper[0], upper[1]].astype(np.float64), flat.astype(np.float64)]
        return np.concatenate(parts, axis=1)
