"""Many architectures as one block of small directed acyclic graphs with operations on vertices.

A space has operations on nodes (NAS-Bench-101) or on edges (DARTS, NAS-Bench-201); here an edge
with an operation becomes a vertex between its ends. Vertices are in topological order, so one pass
over them, done for all graphs at once, is enough for everything that is asked of paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from nas.core.architecture import Architecture
from nas.core.errors import SpaceError
from nas.core.space import Space
from predictors.encodings.base import sample_of

__all__ = ["ABSENT", "INPUTS", "OUTPUTS", "Graphs", "Reader"]

INPUTS: Final = frozenset({"input"})
OUTPUTS: Final = frozenset({"output", "concat"})
_STATES: Final = frozenset({"sum"})
_NOTHING: Final = "none"
_DIRECT: Final = frozenset({"identity", None})
ABSENT: Final = -1
"""The operation of a vertex that is none: input, output, sum, or padding."""

Cell = tuple[list[tuple[int, Any]], list[tuple[int, int]]]
"""Vertices (place among inputs or ABSENT, label) and edges of one cell in topological order."""


@dataclass(frozen=True, eq=False)
class Graphs:
    """One kind of cell of n architectures, pruned to what lies between inputs and output.

    Attributes:
        edges: ``(n, V, V)`` bool, from row to column; strictly upper triangular.
        operations: ``(n, V)`` index in the reader's vocabulary; `ABSENT` for other vertices.
        inputs: ``(n, V)`` bool: the vertex is an input of the cell.
        outputs: ``(n, V)`` bool: it is the output.
        live: ``(n, V)`` bool: it is on a path from an input to the output, or is one of these.
        ports: ``(n, V)`` which of the cell's inputs it is; `ABSENT` for other vertices.
    """

    edges: NDArray[np.bool_]
    operations: NDArray[np.int64]
    inputs: NDArray[np.bool_]
    outputs: NDArray[np.bool_]
    live: NDArray[np.bool_]
    ports: NDArray[np.int64]


class Reader:
    """Reads architectures of one space into `Graphs`.

    What operations and kinds of cells there are is learnt from a random sample of the space; an
    operation that is not in it counts as a vertex without operation.

    Args:
        space: The space.

    Attributes:
        cells: Names of the kinds of cells.
        operations: Names of operations, sorted; an index into them is a vertex's operation.
        ports: Most inputs a cell has.
        width: Most vertices a cell of the sample has.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        graphs = [_split(space.graph(member)) for member in sample_of(space)]
        self.cells = tuple(sorted({name for graph in graphs for name in graph}))
        read = [cell for graph in graphs for cell in graph.values()]
        labels = {label for vertices, _ in read for _, label in vertices}
        self.operations = tuple(sorted(labels - INPUTS - OUTPUTS - _STATES - {None}, key=str))
        self._index = {name: index for index, name in enumerate(self.operations)}
        self.ports = max((port for vertices, _ in read for port, _ in vertices), default=0) + 1
        self.width = max((len(vertices) for vertices, _ in read), default=1)

    def __call__(self, architectures: Sequence[Architecture]) -> dict[str, Graphs]:
        """The architectures' cells by kind, each with a row for every architecture."""
        graphs = [_split(self._space.graph(architecture)) for architecture in architectures]
        return {
            name: self._block([graph.get(name, ([], [])) for graph in graphs])
            for name in self.cells
        }

    def _block(self, cells: list[Cell]) -> Graphs:
        size = max((len(vertices) for vertices, _ in cells), default=0)
        size = max(size, self.width)
        count = len(cells)
        edges = np.zeros((count, size, size), np.bool_)
        operations = np.full((count, size), ABSENT)
        ports = np.full((count, size), ABSENT)
        outputs = np.zeros((count, size), np.bool_)
        for row, (vertices, links) in enumerate(cells):
            if links:
                starts, ends = zip(*links, strict=True)
                edges[row, starts, ends] = True
            for place, (port, label) in enumerate(vertices):
                ports[row, place] = port
                operations[row, place] = self._index.get(label, ABSENT)
                outputs[row, place] = label in OUTPUTS
        inputs = ports != ABSENT
        lacking = np.flatnonzero(~outputs.any(axis=1))  # a space that marks no output: its sinks
        present = np.zeros((count, size), np.bool_)
        for row, (vertices, _) in enumerate(cells):
            present[row, : len(vertices)] = True
        outputs[lacking] = (present & ~edges.any(2))[lacking]
        live = _between(edges, inputs, outputs)
        edges &= live[:, :, None] & live[:, None, :]
        return Graphs(
            edges, np.where(live, operations, ABSENT), inputs, outputs, live | inputs | outputs,
            ports,
        )  # fmt: skip


def _between(
    edges: NDArray[np.bool_], inputs: NDArray[np.bool_], outputs: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Vertices that an input leads to and that lead to an output ``(n, V)``."""
    size = edges.shape[1]
    reached, leading = inputs.copy(), outputs.copy()
    for vertex in range(size):
        reached[:, vertex] |= (edges[:, :, vertex] & reached).any(1)
    for vertex in reversed(range(size)):
        leading[:, vertex] |= (edges[:, vertex, :] & leading).any(1)
    return reached & leading


def _split(graph: nx.DiGraph) -> dict[str, Cell]:
    """The cells of a graph by kind; edges with operations turned into vertices."""
    kinds: dict[str, list[Any]] = {}
    data = dict(graph.nodes(data=True))
    for node in _sorted(graph):
        kinds.setdefault(str(data[node].get("cell", "cell")), []).append(node)
    return {kind: _cell(graph, data, nodes) for kind, nodes in kinds.items()}


def _cell(graph: nx.DiGraph, data: dict[Any, dict[str, Any]], nodes: list[Any]) -> Cell:
    before = graph.pred
    marked = any(data[node].get("op") in INPUTS for node in nodes)
    vertices: list[tuple[int, Any]] = []
    links: list[tuple[int, int]] = []
    place: dict[Any, int] = {}
    port = 0
    for node in nodes:
        label = data[node].get("op")
        entering = list(_entering(before[node], place))
        for source, operation in entering:
            if operation not in _DIRECT:
                vertices.append((ABSENT, operation))
                links.append((source, len(vertices) - 1))
        own = place[node] = len(vertices)
        inner = own - sum(operation not in _DIRECT for _, operation in entering)
        for source, operation in entering:
            if operation in _DIRECT:
                links.append((source, own))
            else:
                links.append((inner, own))
                inner += 1
        first = label in INPUTS if marked else not before[node]
        vertices.append((port if first else ABSENT, label))
        port += first
    return vertices, links


def _entering(before: Any, place: dict[Any, int]) -> Iterator[tuple[int, Any]]:
    for source, edge in before.items():
        operation = edge.get("op")
        if operation != _NOTHING:
            yield place[source], operation


def _sorted(graph: nx.DiGraph) -> list[Any]:
    """Nodes in a topological order, ties in the graph's own order of nodes.

    Raises:
        SpaceError: There is none.
    """
    waiting = {node: len(before) for node, before in graph.pred.items()}
    ready = [node for node, count in waiting.items() if not count]
    order = []
    for node in ready:  # grows while it is walked
        order.append(node)
        for after in graph.succ[node]:
            waiting[after] -= 1
            if not waiting[after]:
                ready.append(after)
    if len(order) < len(waiting):
        raise SpaceError("a graph has a circle", "expected a directed acyclic one")
    return order
