"""The path encoding: which sequences of operations lead from input to output.

White et al., BANANAS, AAAI 2021, section 3. It is the same for isomorphic cells. Long paths are
left out: a random cell has few of them (section 3.1 there), and their number is exponential.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.encodings.base import Encoding
from predictors.encodings.graphs import ABSENT, Graphs, Reader
from predictors.labels import Floats

__all__ = ["Paths"]

WIDTH: Final = 512
"""Most sequences of one kind of cell; the longest allowed length follows from it."""

_CHUNK: Final = 2048


class Paths(Encoding):
    """1 for each sequence of operations, with the input it begins at, that some path has."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._read = Reader(space)
        names, ports = len(self._read.operations), self._read.ports
        self._length = 0
        total = step = ports
        while self._length < self._read.width and total + step * names <= WIDTH and names:
            step *= names
            total += step
            self._length += 1

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, width)`` of zeros and ones, shorter sequences first."""
        chunks = [
            self._chunk(architectures[start : start + _CHUNK])
            for start in range(0, max(len(architectures), 1), _CHUNK)
        ]
        return np.concatenate(chunks)

    def _chunk(self, architectures: Sequence[Architecture]) -> Floats:
        cells = self._read(architectures).values()
        return np.concatenate([self._paths(graphs) for graphs in cells], axis=1)

    def _paths(self, graphs: Graphs) -> Floats:
        count, size = graphs.operations.shape
        names = len(self._read.operations)
        # reach[length][:, vertex] holds the sequences of that length that end at the vertex.
        start = graphs.ports[:, :, None] == np.arange(self._read.ports)
        reach = [start]
        for length in range(1, self._length + 1):
            reach.append(np.zeros((count, size, self._read.ports * names**length), np.bool_))
        operation = graphs.operations[:, :, None] == np.arange(names)
        plain = (graphs.operations == ABSENT)[:, :, None]
        for vertex in range(size):
            sources = np.flatnonzero(graphs.edges[:, :, vertex].any(0))
            arriving = [
                np.logical_or.reduce(
                    [known[:, s] & graphs.edges[:, s, vertex, None] for s in sources]
                )
                for known in reach
                if len(sources)
            ]
            for length, found in enumerate(arriving):
                reach[length][:, vertex] |= found & plain[:, vertex]
                if length < self._length:
                    longer = found[:, :, None] & operation[:, vertex, None, :]
                    reach[length + 1][:, vertex] |= longer.reshape(count, -1)
        ends = graphs.outputs[:, :, None]
        return np.concatenate([(known & ends).any(1) for known in reach], 1).astype(np.float64)
