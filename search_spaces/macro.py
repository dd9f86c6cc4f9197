"""What the networks of the cell spaces have in common around their cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from nas.core.errors import SpaceError
from search_spaces.choose import Choose, Make, MixedEdge
from search_spaces.edges import Edge
from search_spaces.layers import DropPath
from search_spaces.plain import CellWeights
from search_spaces.supernet import Mixture

__all__ = ["CellNetwork", "CellNodes", "InputShape", "check_input"]

InputShape: TypeAlias = tuple[int, int, int]
"""Channels, height, width of an image."""


def check_input(input_shape: InputShape, num_classes: int) -> None:
    """Raise SpaceError unless a network can be built for such images and classes."""
    if len(input_shape) != 3 or min(input_shape) < 1 or num_classes < 1:
        raise SpaceError(
            f"input_shape {tuple(input_shape)} with {num_classes} classes cannot be built",
            "expected (channels, height, width) and num_classes, all at least 1",
        )


class CellNodes(nn.Module):
    """The edges into all nodes of one cell.

    Args:
        edges: The edges of this kind of cell, grouped by node.
        choose: What to put on each edge.
        make: Builds an operation.
        channels: Channels of every state.
        stride: Stride of the edges that leave a state, by its index.
    """

    def __init__(
        self, edges: Iterable[Edge], choose: Choose, make: Make, channels: int, strides: list[int]
    ) -> None:
        super().__init__()
        self.drop_path = DropPath()
        self.modules_by_edge = nn.ModuleDict()
        self._entering: dict[int, list[tuple[Edge, str]]] = {}
        for edge in edges:
            entering = self._entering.setdefault(edge.node, [])
            module = choose.edge(edge, make, channels, strides[edge.source])
            if module is not None:
                key = f"{edge.node}_{edge.source}"
                self.modules_by_edge[key] = module
                entering.append((edge, key))

    def forward(self, states: list[Tensor], weights: CellWeights | None) -> list[Tensor]:
        """Compute the nodes one after another.

        Args:
            states: The cell's input states.
            weights: The mixture, for a supernet.

        Returns:
            The input states followed by one state per node; a node that nothing enters is zero.
        """
        states = list(states)
        for entering in self._entering.values():
            terms = [self._run(edge, key, states[edge.source], weights) for edge, key in entering]
            if terms:
                total = terms[0]
                for term in terms[1:]:
                    total = total + term
            else:
                total = torch.zeros_like(states[-1])
            states.append(total)
        return states

    def _run(self, edge: Edge, key: str, x: Tensor, weights: CellWeights | None) -> Tensor:
        module = self.modules_by_edge[key]
        if isinstance(module, MixedEdge):
            if weights is None:
                raise SpaceError("a network of mixed edges needs a mixture")
            return weights.apply(module, edge, x)
        y: Tensor = module(x)
        # A dropped identity would cut the only path that always carries signal and gradient.
        dropped: Tensor = y if isinstance(module, nn.Identity) else self.drop_path(y)
        return dropped


Logits: TypeAlias = Tensor | tuple[Tensor, Tensor]


class CellNetwork(nn.Module, ABC):
    """A classifier made of cells."""

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Logits:
        """Compute logits.

        Args:
            x: Images ``(B, C, H, W)``.
            mixture: Weights of the mixed edges, if the network has any.

        Returns:
            Logits ``(B, classes)``; in train mode a network with an auxiliary head returns
            ``(logits, auxiliary logits)``.
        """
        return self.compute(x, None if mixture is None else CellWeights(mixture))

    @abstractmethod
    def compute(self, x: Tensor, weights: CellWeights | None) -> Logits:
        """Compute what ``forward`` returns."""

    def set_drop_path(self, p: float) -> None:
        """Set the probability, in [0, 1), of dropping an edge for a sample in train mode.

        Identities are never dropped.

        Raises:
            SpaceError: ``p`` is out of range.
        """
        if not 0.0 <= p < 1.0:
            raise SpaceError(f"drop-path probability {p} is out of range", "expected 0 <= p < 1")
        for module in self.modules():
            if isinstance(module, DropPath):
                module.p = p
