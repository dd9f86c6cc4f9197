"""What is computed together: all operations on the edges that leave one state of a cell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from search_spaces.choose import MixedEdge

__all__ = ["Leave", "Live", "Plan", "PlanLeaving", "plan"]


class Leave(Protocol):
    """Computes what each edge that leaves a state contributes to its target."""

    def __call__(self, h: Tensor, gains: Tensor, spec: Any, weights: Sequence[Tensor]) -> Tensor:
        """Compute the contributions.

        Args:
            h: The state ``(N, H, W, C)``.
            gains: Mixture weights in the order of ``spec``.
            spec: The operations.
            weights: Their weights in the order of ``spec``.

        Returns:
            Contributions ``(E, N, H', W', C)``.
        """
        ...


@dataclass(frozen=True)
class Live:
    """The operations to compute on the edges that leave one state.

    Attributes:
        edges: Number of edges with anything on them; positions count them.
        stride: Their stride.
        positions: Operation to the positions of the edges that have it.
        modules: Operation to its module on each of these edges.
    """

    edges: int
    stride: int
    positions: Mapping[str, tuple[int, ...]]
    modules: Mapping[str, tuple[nn.Module, ...]]


PlanLeaving: TypeAlias = Callable[[Live], tuple[Any, Sequence[nn.Module]]]
"""Lays operations out: the ``spec`` that the space's `Leave` understands, and where the weights
are, in the order of ``spec``."""


@dataclass(frozen=True)
class Plan:
    """What to compute for one state, and where its numbers come from.

    Attributes:
        spec: The operations, as the space's ``Leave`` understands them.
        nodes: Target of each edge.
        places: Place of each gain in the flattened mixture table.
        layers: Where the weights are; read at each pass, because they may be replaced.
    """

    spec: Any
    nodes: tuple[int, ...]
    places: tuple[int, ...]
    layers: tuple[nn.Module, ...]

    @cached_property
    def _indices(self) -> dict[torch.device, Tensor]:
        return {}

    def index(self, device: torch.device) -> Tensor:
        """The places as a tensor, copied to a device once."""
        if device not in self._indices:
            self._indices[device] = torch.tensor(self.places, device=device)
        return self._indices[device]

    def weights(self) -> list[Tensor]:
        """The weights at hand, in the order of ``spec``."""
        return [layer.weight for layer in self.layers]  # type: ignore[misc]


def plan(
    modules: Sequence[MixedEdge],
    operations: Sequence[str],
    lay_out: PlanLeaving,
    columns: int,
    without: Collection[tuple[int, int]] = (),
) -> Plan | None:
    """Plan what leaves a state.

    Args:
        modules: The edges that leave it.
        operations: Names of the operations to be computed, in the order of gains.
        lay_out: How the space lays them out.
        columns: Number of columns of the mixture table.
        without: Row and column of operations to leave out.

    Returns:
        What to compute; None if nothing is left.
    """
    nodes: list[int] = []
    found: dict[str, list[tuple[int, int, nn.Module]]] = {name: [] for name in operations}
    for module in modules:
        edge = module.edge
        live = [
            (edge.row * columns + column, name)
            for column, name in enumerate(edge.operations)
            if name in found and name in module.operations and (edge.row, column) not in without
        ]
        for place, name in live:
            found[name].append((len(nodes), place, module.operations[name]))
        if live:
            nodes.append(edge.node)
    if not nodes:
        return None
    positions = {name: tuple(position for position, _, _ in found[name]) for name in found}
    members = {name: tuple(module for _, _, module in found[name]) for name in found}
    places = tuple(place for name in operations for _, place, _ in found[name])
    spec, layers = lay_out(Live(len(nodes), modules[0].stride, positions, members))
    return Plan(spec, tuple(nodes), places, tuple(layers))
