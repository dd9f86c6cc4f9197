"""The cell space of NAS-Bench-201: four nodes, an edge between every two, five operations.

Each edge is one categorical choice, ``cell/2<-1``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import networkx as nx

from nas.core.architecture import Architecture
from nas.core.choices import Categorical
from nas.core.errors import SpaceError
from nas.core.tree import ChoiceTree
from search_spaces.costs import Cost
from search_spaces.edges import Edge, cell_edges, edge_name
from search_spaces.nasbench201.costs import network_cost
from search_spaces.nasbench201.plan import NODES
from search_spaces.scale import Skeleton
from search_spaces.stacked import EdgeSpace

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.choose import Choose
    from search_spaces.layers import Build
    from search_spaces.supernet import Supernet

__all__ = ["OPERATIONS", "NasBench201Space", "nasbench201"]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""Candidates of every edge, in the benchmark's order."""

_GROUP = "cell"
_HINT = "expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"

_MEMBERS = {
    # Dong and Yang, ICLR 2020: cells that the benchmark's code names.
    "resnet": "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
    "all-conv-3x3": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "all-conv-1x1": "|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_1x1~1|"
    "+|nor_conv_1x1~0|nor_conv_1x1~1|nor_conv_1x1~2|",
    # What DARTS degenerates to on this space (section 5 there).
    "all-skip": "|skip_connect~0|+|skip_connect~0|skip_connect~1|"
    "+|skip_connect~0|skip_connect~1|skip_connect~2|",
    # Highest mean test accuracy after 200 epochs; on CIFAR-10 the same number as index 13714.
    "optimum-cifar10": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
    "optimum-cifar100": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
}


class NasBench201Space(EdgeSpace):
    """NAS-Bench-201 (Dong and Yang, ICLR 2020).

    Attributes:
        edges: The six edges of the cell.
        inputs_per_node: None: a supernet's topology is not decided, every edge stays.
    """

    inputs_per_node = None
    least: Mapping[str, int] = {}
    variants = ("darts",)

    def __init__(self, name: str = "nasbench201") -> None:
        self.edges: tuple[Edge, ...] = cell_edges(
            _GROUP, NODES, lambda node: node, lambda row: OPERATIONS
        )
        choices = tuple(Categorical(edge.name, edge.operations) for edge in self.edges)
        super().__init__(name, ChoiceTree(choices))

    @property
    def scale(self) -> Mapping[str, Any]:
        """Defaults of ``network``: the benchmark's; layers are cells a stage."""
        return {"channels": 16, "layers": 5, "auxiliary": False}

    @property
    def supernet_scale(self) -> Mapping[str, Any]:
        """Defaults of ``supernet``: as a network's."""
        return {"channels": 16, "layers": 5}

    @cached_property
    def members(self) -> Mapping[str, Architecture]:
        """Well-known cells by name."""
        return {name: self.parse(text) for name, text in _MEMBERS.items()}

    # -- architectures as edges -------------------------------------------------------------

    def operations(self, architecture: Architecture) -> dict[str, str]:
        """Return the operation on each of the six edges, by edge name."""
        return {edge.name: str(architecture.choices[edge.name]) for edge in self.edges}

    def from_operations(self, operations: Mapping[str, str]) -> Architecture:
        """Return the architecture with these edges; the inverse of ``operations``.

        Raises:
            SpaceError: That is not a member of the space.
        """
        return self.architecture(operations)

    def from_decided(self, decided: Mapping[str, str | None]) -> Architecture:
        """Read the architecture off a supernet in which everything is decided.

        Args:
            decided: Edge name to operation; None, a removed edge, is ``none``.

        Raises:
            SpaceError: An edge is undecided.
        """
        return self.from_operations({name: op or "none" for name, op in decided.items()})

    def strongest(
        self,
        mixture: Mapping[str, Sequence[Sequence[float]]],
        edge_weights: Mapping[str, Sequence[float]] | None = None,
    ) -> Architecture:
        """Choose by magnitude: on every edge the operation of the largest weight.

        ``none`` counts as an operation; ties go to the earlier one.

        Args:
            mixture: Group to weights ``(edges, operations)``.
            edge_weights: Not used: an edge's weight does not change its order of operations.
        """
        operations = {}
        for edge in self.edges:
            row = mixture[edge.group][edge.row]
            best = max(range(len(row)), key=lambda index: row[index])
            operations[edge.name] = edge.operations[best]
        return self.from_operations(operations)

    # -- notation, graph, equality ----------------------------------------------------------

    def parse(self, text: str) -> Architecture:
        """Read ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, the inputs of a node in any order.

        Raises:
            SpaceError: The text is not a member in that notation.
        """
        nodes = text.strip().split("+") if len(text) <= 512 else []
        operations = {}
        for node, part in zip(NODES, nodes, strict=False):
            for item in part.strip().strip("|").split("|"):
                match = re.fullmatch(r"(\w+)~([0-9])", item.strip(), re.ASCII)
                if match is None:
                    raise SpaceError(f"not an operation with its source: {item[:40]!r}", _HINT)
                operations[edge_name(_GROUP, node, int(match[2]))] = match[1]
        items = text.count("~") if len(nodes) == len(NODES) else 0
        if items != len(self.edges) or set(operations) != {edge.name for edge in self.edges}:
            raise SpaceError("the text does not give each of six edges one operation", _HINT)
        return self.from_operations(operations)

    def format(self, architecture: Architecture) -> str:
        """Write an architecture in the benchmark's notation."""
        operations = self.operations(architecture)
        parts = []
        for node in NODES:
            names = (operations[edge_name(_GROUP, node, source)] for source in range(node))
            parts.append("".join(f"|{name}~{source}" for source, name in enumerate(names)) + "|")
        return "+".join(parts)

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """Return the cell as a directed graph with the operations on edges.

        Nodes are ``cell/0`` to ``cell/3`` with ``op`` input, sum, sum, output; all six edges are
        there, absent ones with ``op`` none. Nodes and edges have ``cell``, the kind of cell.
        """
        graph = nx.DiGraph()
        for node in range(4):
            op = ("input", "sum", "sum", "output")[node]
            graph.add_node(f"{_GROUP}/{node}", op=op, cell=_GROUP)
        for edge in self.edges:
            start, end = f"{_GROUP}/{edge.source}", f"{_GROUP}/{edge.node}"
            graph.add_edge(start, end, op=architecture.choices[edge.name], cell=_GROUP)
        return graph

    def canonical(self, architecture: Architecture) -> Architecture:
        """Return the representative of all cells that the benchmark takes for the same network.

        Skips are looked through and an operation on an edge that is ``none``, or that reads a
        node which only such an edge enters, counts as zero: 6,466 classes (section 3). This is
        sound but not complete: adding zero is not simplified.
        """
        key = _expression(tuple(self.operations(architecture).values()))
        representative = self._representatives[key]
        names = (edge.name for edge in self.edges)
        return self.from_operations(dict(zip(names, representative, strict=True)))

    @cached_property
    def _representatives(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for operations in product(OPERATIONS, repeat=6):
            found.setdefault(_expression(operations), operations)
        return found

    # -- networks ---------------------------------------------------------------------------

    def _parts(self) -> tuple[Callable[..., nn.Module], Build]:
        from search_spaces.nasbench201.network import NasBench201Network
        from search_spaces.nasbench201.operations import build_operation

        return NasBench201Network, build_operation

    def _cost(self, architecture: Architecture, skeleton: Skeleton) -> Cost:
        return network_cost(self.operations(architecture), skeleton)

    def _fast_supernet(self, build: Callable[[Choose], nn.Module], partial: int) -> Supernet:
        from search_spaces.nasbench201.fast import FastNasBench201Supernet

        return FastNasBench201Supernet(build, self.edges)


def _expression(operations: Sequence[str]) -> str:
    """What the output node computes, as text; '#' is zero and '0' the cell's input."""
    nodes = ["0"]
    position = 0
    for node in NODES:
        terms = []
        for source in range(node):
            operation, state = operations[position], nodes[source]
            position += 1
            if operation == "none" or state == "#":
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(state)
            else:
                terms.append(f"({state})@{operation}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def nasbench201() -> NasBench201Space:
    """Make the space."""
    return NasBench201Space()
