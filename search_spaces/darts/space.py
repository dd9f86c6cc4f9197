"""The DARTS cell spaces: two kinds of cells, four nodes each, two inputs per node.

A node's inputs are a subset choice, ``normal/2`` = two of its four sources, and each chosen
source brings a choice of operation, ``normal/2<-0``. The order of a node's inputs does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING, Any

import networkx as nx

from nas.core.architecture import Architecture
from nas.core.choices import Categorical, Subset
from nas.core.errors import SpaceError
from nas.core.tree import ChoiceTree
from search_spaces.cell import PARTIAL
from search_spaces.costs import Cost
from search_spaces.darts.candidates import ABBREVIATIONS, GROUPS, NODES, candidates
from search_spaces.darts.costs import network_cost
from search_spaces.darts.genotype import format_genotype, parse_genotype
from search_spaces.edges import Edge, cell_edges, edge_name, split_edge
from search_spaces.scale import Skeleton
from search_spaces.stacked import EdgeSpace

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.choose import Choose
    from search_spaces.layers import Build
    from search_spaces.supernet import Supernet

__all__ = ["DartsSpace", "darts", "darts_s1", "darts_s2", "darts_s3", "darts_s4", "darts_s5"]

_INPUTS = 2


class DartsSpace(EdgeSpace):
    """DARTS (Liu et al., ICLR 2019) or one of its variants.

    From inputs of 128 x 128 pixels on, the ImageNet stem divides the size by 8 before the first
    cell.

    Args:
        name: ``darts`` or ``darts-s1`` to ``darts-s5``.

    Attributes:
        edges: All 28 edges of a supernet, with the candidates there (``none`` included).
        inputs_per_node: How many edges of a node an architecture keeps.
    """

    inputs_per_node = _INPUTS
    least: Mapping[str, int] = {"channels": 2}
    variants = ("darts", PARTIAL)

    def __init__(self, name: str) -> None:
        edges: tuple[Edge, ...] = ()
        for group in GROUPS:
            table = candidates(name, group)
            edges += cell_edges(group, range(NODES), lambda node: node + 2, table.__getitem__)
        self.edges = edges
        super().__init__(name, ChoiceTree(_choices(edges)))

    @property
    def scale(self) -> Mapping[str, Any]:
        """Defaults of ``network``: the paper's CIFAR-10 evaluation (section 3.1.2)."""
        return {"channels": 36, "layers": 20, "auxiliary": False}

    @property
    def supernet_scale(self) -> Mapping[str, Any]:
        """Defaults of ``supernet``: the paper's search on CIFAR-10."""
        return {"channels": 16, "layers": 8}

    @cached_property
    def members(self) -> Mapping[str, Architecture]:
        """Published architectures by name."""
        return {name: self._published(*cells) for name, cells in self._tables().items()}

    def _tables(self) -> Mapping[str, tuple[str, str]]:
        if self.name in ("darts", "darts-s5"):
            from search_spaces.darts import members

            return members.MEMBERS
        from search_spaces.darts import members_small

        return members_small.MEMBERS[self.name.removeprefix("darts-")]

    def _published(self, normal: str, reduce: str) -> Architecture:
        operations = {}
        for group, cell in zip(GROUPS, (normal, reduce), strict=True):
            for node, inputs in enumerate(cell.split(", ")):
                for item in inputs.split():
                    name, _, source = item.partition("@")
                    operations[edge_name(group, node, int(source))] = ABBREVIATIONS[name]
        return self.from_operations(operations)

    # -- architectures as edges -------------------------------------------------------------

    def operations(self, architecture: Architecture) -> dict[str, str]:
        """Return the operation on each of an architecture's sixteen edges, by edge name."""
        return {k: str(v) for k, v in architecture.choices.items() if "<-" in k}

    def from_operations(self, operations: Mapping[str, str]) -> Architecture:
        """Return the architecture with these edges; the inverse of ``operations``.

        Raises:
            SpaceError: That is not a member of the space.
        """
        choices: dict[str, Any] = dict(operations)
        for name in operations:
            group, node, source = split_edge(name)
            choices.setdefault(f"{group}/{node}", []).append(source)
        return self.architecture(choices)

    def from_decided(self, decided: Mapping[str, str | None]) -> Architecture:
        """Read the architecture off a supernet in which everything is decided.

        An edge that kept ``none``, which no architecture has, gets its first other operation, as
        in the reference implementation of DARTS-PT.

        Args:
            decided: Edge name to operation, or to None for a removed edge.

        Raises:
            SpaceError: Something is undecided, or a node does not have two inputs.
        """
        operations = {}
        for edge in self.edges:
            if edge.name not in decided:
                raise SpaceError(f"edge {edge.name!r} is not decided")
            operation = decided[edge.name]
            if operation is not None:
                operations[edge.name] = operation if operation != "none" else _real(edge)[0]
        return self.from_operations(operations)

    def strongest(
        self,
        mixture: Mapping[str, Sequence[Sequence[float]]],
        edge_weights: Mapping[str, Sequence[float]] | None = None,
    ) -> Architecture:
        """Choose by magnitude (DARTS, section 2.4).

        Each node keeps the two edges with the largest weight of an operation other than
        ``none``, and on each that operation. Ties go to the earlier edge and operation.

        Args:
            mixture: Group to weights ``(edges, operations)``.
            edge_weights: Group to weights ``(edges,)`` by which rows are multiplied (PC-DARTS).
        """
        best: dict[tuple[str, int], list[tuple[float, str, str]]] = {}
        for edge in self.edges:
            factor = edge_weights[edge.group][edge.row] if edge_weights else 1.0
            row = zip(mixture[edge.group][edge.row], edge.operations, strict=True)
            weight, operation = max(
                ((w * factor, name) for w, name in row if name != "none"), key=lambda pair: pair[0]
            )
            best.setdefault((edge.group, edge.node), []).append((weight, edge.name, operation))
        operations = {}
        for found in best.values():
            kept = sorted(found, key=lambda item: -item[0])[:_INPUTS]
            operations.update({name: operation for _, name, operation in kept})
        return self.from_operations(operations)

    # -- notation, graph, equality ----------------------------------------------------------

    def parse(self, text: str) -> Architecture:
        """Read ``Genotype(...)`` as published with DARTS and its successors.

        Raises:
            SpaceError: The text is not such a genotype, or not a member of this space.
        """
        return self.from_operations(parse_genotype(text))

    def format(self, architecture: Architecture) -> str:
        """Write an architecture as ``Genotype(...)``, inputs of a node by ascending source."""
        return format_genotype(self.operations(architecture))

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """Return both cells as one directed graph with the operations on edges.

        Nodes are ``normal/input0``, ``normal/input1``, ``normal/0`` to ``normal/3`` and
        ``normal/output``, the same for ``reduce``, with ``op`` input, sum or concat. Edges into a
        sum have the operation as ``op``, edges into the output ``identity``. Nodes and edges have
        ``cell``, the kind of cell.
        """
        graph = nx.DiGraph()
        for group in GROUPS:
            states = [f"{group}/input0", f"{group}/input1", *(f"{group}/{i}" for i in range(NODES))]
            for index, state in enumerate(states):
                graph.add_node(state, op="input" if index < 2 else "sum", cell=group)
            graph.add_node(f"{group}/output", op="concat", cell=group)
            for state in states[2:]:
                graph.add_edge(state, f"{group}/output", op="identity", cell=group)
        for name, operation in self.operations(architecture).items():
            group, node, source = split_edge(name)
            start = f"{group}/input{source}" if source < 2 else f"{group}/{source - 2}"
            graph.add_edge(start, f"{group}/{node}", op=operation, cell=group)
        return graph

    def canonical(self, architecture: Architecture) -> Architecture:
        """Return the representative of all architectures equal up to the numbering of nodes.

        Two cells whose nodes are numbered differently compute the same states; only the order of
        channels in the concatenation differs, and the layers that read it are dense in channels.
        Architectures are taken as equal if one arises from the other in this way and both are
        members; no other equality holds for arbitrary weights.
        """
        result: dict[str, str] = {}
        operations = self.operations(architecture)
        for group in GROUPS:
            cell = {split_edge(k)[1:]: v for k, v in operations.items() if k.startswith(group)}
            least = min(self._renumbered(group, cell), key=lambda c: sorted(c.items()))
            result |= {edge_name(group, node, source): op for (node, source), op in least.items()}
        return self.from_operations(result)

    def _renumbered(
        self, group: str, cell: Mapping[tuple[int, int], str]
    ) -> list[dict[tuple[int, int], str]]:
        allowed = {(e.node, e.source): e.operations for e in self.edges if e.group == group}
        found = []
        for order in permutations(range(NODES)):
            state = (0, 1, *(2 + place for place in order))
            moved = {(order[node], state[source]): op for (node, source), op in cell.items()}
            if all(op in allowed.get(edge, ()) for edge, op in moved.items()):
                found.append(moved)
        return found

    # -- networks ---------------------------------------------------------------------------

    def _parts(self) -> tuple[Callable[..., nn.Module], Build]:
        from search_spaces.darts.network import DartsNetwork
        from search_spaces.darts.operations import build_operation

        return DartsNetwork, build_operation

    def _cost(self, architecture: Architecture, skeleton: Skeleton) -> Cost:
        return network_cost(self.operations(architecture), skeleton)

    def _fast_supernet(self, build: Callable[[Choose], nn.Module], partial: int) -> Supernet:
        from search_spaces.darts.fast import FastDartsSupernet

        return FastDartsSupernet(build, self.edges, partial=partial)


def _choices(edges: Sequence[Edge]) -> tuple[Subset, ...]:
    nodes: dict[str, list[Edge]] = {}
    for edge in edges:
        nodes.setdefault(f"{edge.group}/{edge.node}", []).append(edge)
    return tuple(
        Subset(
            name,
            tuple(edge.source for edge in entering),
            {edge.source: (Categorical(edge.name, _real(edge)),) for edge in entering},
            smallest=_INPUTS,
            largest=_INPUTS,
        )
        for name, entering in nodes.items()
    )


def _real(edge: Edge) -> tuple[str, ...]:
    return tuple(name for name in edge.operations if name != "none")


def _maker(name: str) -> Callable[[], DartsSpace]:
    def make() -> DartsSpace:
        return DartsSpace(name)

    return make


darts = _maker("darts")
darts_s1 = _maker("darts-s1")
darts_s2 = _maker("darts-s2")
darts_s3 = _maker("darts-s3")
darts_s4 = _maker("darts-s4")
darts_s5 = _maker("darts-s5")
