"""Edges of cells as plain data; no torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Edge", "cell_edges", "edge_name", "split_edge"]


@dataclass(frozen=True)
class Edge:
    """One edge of a kind of cell, with everything that may happen on it.

    Attributes:
        name: ``group/node<-source``, for example ``normal/0<-1``.
        group: The kind of cell: ``normal``, ``reduce`` or ``cell``. All cells of a kind share
            their choices.
        node: Index of the node that the edge enters.
        source: Index of the state that it leaves.
        operations: Names of the candidate operations, in the order of the mixture's columns.
        row: Row of the edge in the tables of its group.
    """

    name: str
    group: str
    node: int
    source: int
    operations: tuple[str, ...]
    row: int


def edge_name(group: str, node: int, source: int) -> str:
    """Return the name of an edge, ``group/node<-source``."""
    return f"{group}/{node}<-{source}"


def split_edge(name: str) -> tuple[str, int, int]:
    """Return group, node and source of an edge's name."""
    group, _, rest = name.rpartition("/")
    node, _, source = rest.partition("<-")
    return group, int(node), int(source)


def cell_edges(
    group: str,
    nodes: Sequence[int],
    sources: Callable[[int], int],
    operations: Callable[[int], tuple[str, ...]],
) -> tuple[Edge, ...]:
    """List the edges of a kind of cell, node by node, sources ascending.

    Args:
        group: Name of the kind of cell.
        nodes: Indices of the nodes that have incoming edges.
        sources: Number of states that a node may read: it has an edge from each of
            ``0 .. sources(node) - 1``.
        operations: Candidate operations by row.
    """
    pairs = [(node, source) for node in nodes for source in range(sources(node))]
    return tuple(
        Edge(edge_name(group, node, source), group, node, source, operations(row), row)
        for row, (node, source) in enumerate(pairs)
    )
