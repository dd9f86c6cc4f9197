"""What happens at each edge while a network is built: one operation, or a mixture of all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import SpaceError
from search_spaces.edges import Edge
from search_spaces.layers import EVALUATION, SEARCH, Form, Zero

__all__ = ["Choose", "Fixed", "Make", "Mixed", "MixedEdge", "Row", "channel_shuffle"]

Make: TypeAlias = Callable[[str, int, int, Form], nn.Module]
"""Builds an operation from name, channels, stride and form."""

Row: TypeAlias = Sequence[Tensor]
"""Mixture weights of one edge, one scalar per operation."""


class Choose(ABC):
    """Decides what a builder puts on an edge.

    Attributes:
        form: Use of batch normalisation in the network being built.
    """

    form: Form

    @abstractmethod
    def edge(self, edge: Edge, make: Make, channels: int, stride: int) -> nn.Module | None:
        """Build the module of an edge in one cell, or return None if there is no such edge."""


class Fixed(Choose):
    """One operation per edge: the network of one architecture.

    Args:
        operations: Edge name to operation; other edges do not exist.
        form: ``EVALUATION``, or ``SEARCH`` for a network comparable with a supernet's part.
    """

    def __init__(self, operations: Mapping[str, str], form: Form = EVALUATION) -> None:
        self.operations = dict(operations)
        self.form = form

    def edge(self, edge: Edge, make: Make, channels: int, stride: int) -> nn.Module | None:
        operation = self.operations.get(edge.name)
        return None if operation is None else make(operation, channels, stride, self.form)


class Mixed(Choose):
    """All candidate operations on every edge, to be weighted: the plain supernet.

    Args:
        partial: The operations see ``1 / partial`` of the channels, the others pass by
            (PC-DARTS, section 3.1); 1 for DARTS.
    """

    form = SEARCH

    def __init__(self, partial: int = 1) -> None:
        if partial < 1:
            raise SpaceError(f"operations see 1/K of the channels with K >= 1, got {partial}")
        self.partial = partial

    def edge(self, edge: Edge, make: Make, channels: int, stride: int) -> nn.Module:
        if channels % self.partial:
            raise SpaceError(
                f"{channels} channels do not divide by {self.partial}",
                f"use channels that are a multiple of {self.partial}",
            )
        inner = channels // self.partial
        operations = {name: make(name, inner, stride, self.form) for name in edge.operations}
        return MixedEdge(edge, operations, self.partial, stride)


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
        self, edge: Edge, operations: Mapping[str, nn.Module], partial: int, stride: int
    ) -> None:
        super().__init__()
        self.edge = edge
        self.operations = nn.ModuleDict(operations)
        self.partial = partial
        self.stride = stride
        self.zero = Zero(stride)

    def forward(self, x: Tensor, weights: Row) -> Tensor:
        """Mix.

        Args:
            x: The source state ``(B, C, H, W)``.
            weights: One scalar per operation of the edge.

        Returns:
            The mixture ``(B, C, ceil(H / stride), ceil(W / stride))``.
        """
        if self.partial == 1:
            return self._mix(x, weights)
        inner = x.shape[1] // self.partial
        mixed, passing = self._mix(x[:, :inner], weights), x[:, inner:]
        if self.stride > 1:
            passing = functional.max_pool2d(passing, 2, 2, ceil_mode=True)
        return channel_shuffle(torch.cat([mixed, passing], dim=1), self.partial)

    def _mix(self, x: Tensor, weights: Row) -> Tensor:
        total: Tensor | None = None
        for weight, name in zip(weights, self.edge.operations, strict=True):
            if name == "none" or name not in self.operations:
                continue  # adds nothing, whatever its weight
            term = weight * self.operations[name](x)
            total = term if total is None else total + term
        return self.zero(x) if total is None else total

    def forget(self, keep: str | None) -> None:
        """Drop all operations but one, or all."""
        for name in [name for name in self.operations if name != keep]:
            del self.operations[name]
