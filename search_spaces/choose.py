"""What happens at each edge while a network is built: one operation, or a mixture of all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import SpaceError
from search_spaces.edges import Edge
from search_spaces.layers import Build, Form, Zero
from search_spaces.supernet import EDGES, Mixture

__all__ = ["Choose", "Fixed", "Mixed", "MixedEdge", "channel_shuffle", "forget_operations"]


class Choose(ABC):
    """Decides what a builder puts on each edge.

    Attributes:
        search: Whether the network has the batch normalisations of a supernet.
    """

    search: bool

    @abstractmethod
    def names(self, edges: Sequence[Edge]) -> dict[str, str]:
        """Edge to a name that ``build`` understands; edges left out do not exist."""

    @abstractmethod
    def build(self, operation: Build) -> Build:
        """Turn the space's builder of operations into a builder of edges."""


class Fixed(Choose):
    """One operation per edge: the network of one architecture.

    Args:
        operations: Edge name to operation; other edges do not exist.
        search: Build it in the form of a supernet, to be compared with one.
    """

    def __init__(self, operations: Mapping[str, str], *, search: bool = False) -> None:
        self.operations = {edge: name for edge, name in operations.items() if name != "none"}
        self.search = search

    def names(self, edges: Sequence[Edge]) -> dict[str, str]:
        """Each edge has its operation."""
        return self.operations

    def build(self, operation: Build) -> Build:
        """An edge is an operation."""
        return operation


class Mixed(Choose):
    """All candidate operations on every edge, to be weighted: the plain supernet.

    Args:
        partial: The operations see ``1 / partial`` of the channels, the others pass by
            (PC-DARTS, section 3.1); 1 for DARTS.

    Attributes:
        weights: Where the edges find the mixture of the forward pass at hand.
    """

    search = True

    def __init__(self, partial: int = 1) -> None:
        self.partial = partial
        self.weights = CurrentMixture()
        self._edges: dict[str, Edge] = {}

    def names(self, edges: Sequence[Edge]) -> dict[str, str]:
        """Each edge goes by its own name."""
        self._edges = {edge.name: edge for edge in edges}
        return {name: name for name in self._edges}

    def build(self, operation: Build) -> Build:
        """An edge is a ``MixedEdge``."""

        def mixed(name: str, channels: int, stride: int, form: Form) -> nn.Module:
            edge = self._edges[name]
            if channels % self.partial:
                raise SpaceError(
                    f"{channels} channels do not divide by {self.partial}",
                    f"use channels that are a multiple of {self.partial}",
                )
            inner = channels // self.partial
            operations = {name: operation(name, inner, stride, form) for name in edge.operations}
            return MixedEdge(edge, operations, self.weights, self.partial, stride)

        return mixed


class CurrentMixture:
    """A mixture taken apart into scalars, shared by the edges of one supernet.

    It is filled for the length of a forward pass, so that the network that the edges are part of
    needs to know nothing of mixtures.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Tensor, ...]]] = {}
        self._edges: dict[str, tuple[Tensor, ...]] = {}

    def set(self, mixture: Mixture) -> None:
        """Take a mixture; an empty one clears."""
        self._rows = {g: [r.unbind() for r in t.unbind()] for g, t in mixture.items() if t.ndim > 1}
        self._edges = {
            name.removesuffix(EDGES): table.unbind()
            for name, table in mixture.items()
            if name.endswith(EDGES)
        }

    def row(self, edge: Edge) -> tuple[Tensor, ...]:
        """One scalar per operation of the edge."""
        return self._rows[edge.group][edge.row]

    def of_edge(self, edge: Edge) -> Tensor | None:
        """The weight of the whole edge, if edges have one."""
        weights = self._edges.get(edge.group)
        return None if weights is None else weights[edge.row]


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` equal blocks: ``(B, C, H, W)`` to the same shape."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, groups, channels // groups, height, width).transpose(1, 2)
    return x.reshape(batch, channels, height, width)


class MixedEdge(nn.Module):
    """The weighted sum of an edge's operations, each computed by itself.

    Attributes:
        edge: The edge that this is in one cell.
        operations: Name to module, for those that are still possible.
    """

    def __init__(
        self,
        edge: Edge,
        operations: Mapping[str, nn.Module],
        weights: CurrentMixture,
        partial: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.edge = edge
        self.operations = nn.ModuleDict(operations)
        self.weights = weights
        self.partial = partial
        self.stride = stride
        self.zero = Zero(stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the mixture ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        if self.partial == 1:
            y = self._mix(x)
        else:
            inner = x.shape[1] // self.partial
            passing = x[:, inner:]
            if self.stride > 1:
                passing = functional.max_pool2d(passing, 2, 2, ceil_mode=True)
            y = channel_shuffle(torch.cat([self._mix(x[:, :inner]), passing], dim=1), self.partial)
        weight = self.weights.of_edge(self.edge)
        return y if weight is None else weight * y

    def _mix(self, x: Tensor) -> Tensor:
        total: Tensor | None = None
        row = self.weights.row(self.edge)
        for weight, name in zip(row, self.edge.operations, strict=True):
            if name == "none" or name not in self.operations:
                continue  # adds nothing, whatever its weight
            term = weight * self.operations[name](x)
            total = term if total is None else total + term
        return self.zero(x) if total is None else total

    def forget(self, keep: str | None) -> None:
        """Drop all operations but one, or all."""
        for name in [name for name in self.operations if name != keep]:
            del self.operations[name]


def forget_operations(network: nn.Module, edge: Edge, keep: str | None) -> None:
    """Drop the operations of an edge in every cell of a network, except the one to keep, if any."""
    for module in network.modules():
        if isinstance(module, MixedEdge) and module.edge == edge:
            module.forget(keep)
