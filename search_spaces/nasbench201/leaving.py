"""All operations on the edges that leave one state of a NAS-Bench-201 cell, computed together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.choose import MixedEdge
from search_spaces.fast_nodes import Plan
from search_spaces.layers import average_pool
from search_spaces.normalise import normalise

__all__ = ["Leaving", "leave", "plan_leaving"]

_OPERATIONS = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect")


@dataclass(frozen=True)
class Leaving:
    """The operations on the edges that leave one state.

    Gains come as one vector: those of 3x3 convolutions, 1x1 convolutions, average pooling, skip
    connections; within each, by edge. Weights come as a list: 3x3, then 1x1 convolutions.

    Attributes:
        edges: Number of edges with anything on them.
        wide: Positions of the edges with a 3x3 convolution.
        narrow: Positions of the edges with a 1x1 convolution.
        pool: Positions of the edges with average pooling.
        skip: Positions of the edges with a skip connection.
    """

    edges: int
    wide: tuple[int, ...]
    narrow: tuple[int, ...]
    pool: tuple[int, ...]
    skip: tuple[int, ...]


def plan_leaving(
    modules: Sequence[MixedEdge], columns: int, without: Collection[tuple[int, int]] = ()
) -> Plan | None:
    """Collect what leaves a state.

    Args:
        modules: The edges that leave it.
        columns: Number of columns of the mixture table.
        without: Row and column of operations to leave out.

    Returns:
        What to compute; None if nothing is left.
    """
    nodes: list[int] = []
    found: dict[str, list[tuple[int, int, nn.Module]]] = {name: [] for name in _OPERATIONS}
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
    spec = Leaving(len(nodes), *(tuple(p for p, _, _ in found[name]) for name in _OPERATIONS))
    places = tuple(place for name in _OPERATIONS for _, place, _ in found[name])
    layers = [
        module.get_submodule("conv") for name in _OPERATIONS[:2] for _, _, module in found[name]
    ]
    return Plan(spec, tuple(nodes), places, tuple(layers))


def leave(h: Tensor, gains: Tensor, spec: Leaving, weights: Sequence[Tensor]) -> Tensor:
    """Compute what each edge that leaves a state contributes to its target.

    One ReLU, one convolution and one batch normalisation of each kind for all edges; the gains
    are the scales of the normalisations.

    Args:
        h: The state ``(N, H, W, C)``.
        gains: Mixture weights in the order of ``spec``.
        spec: The operations.
        weights: Their weights in the order of ``spec``.

    Returns:
        Contributions ``(E, N, H, W, C)``.
    """
    wide, narrow, pool, skip = torch.split(
        gains, [len(spec.wide), len(spec.narrow), len(spec.pool), len(spec.skip)]
    )
    terms: list[list[Tensor]] = [[] for _ in range(spec.edges)]
    active = functional.relu(h)
    if spec.wide:
        kernel = torch.cat(list(weights[: len(spec.wide)]))
        y = functional.conv2d(active.permute(0, 3, 1, 2), kernel, padding=1)
        _add(terms, spec.wide, y.permute(0, 2, 3, 1), wide)
    if spec.narrow:
        matrix = torch.cat(list(weights[len(spec.wide) :])).flatten(1)
        _add(terms, spec.narrow, functional.linear(active, matrix), narrow)
    if spec.pool:
        y = average_pool(h.permute(0, 3, 1, 2), 1).permute(0, 2, 3, 1)
        for edge, gain in zip(spec.pool, pool.unbind(), strict=True):
            terms[edge].append(y * gain)
    for edge, gain in zip(spec.skip, skip.unbind(), strict=True):
        terms[edge].append(h * gain)
    totals = []
    for parts in terms:
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        totals.append(total)
    return torch.stack(totals)


def _add(terms: Sequence[list[Tensor]], edges: Sequence[int], y: Tensor, gains: Tensor) -> None:
    """Normalise ``(N, H, W, E * C)``, scale each edge's block of channels, and hand it out."""
    scale = gains.repeat_interleave(y.shape[-1] // len(gains), output_size=y.shape[-1])
    blocks = torch.unflatten(normalise(y, scale), -1, (len(edges), -1))
    for edge, block in zip(edges, blocks.unbind(-2), strict=True):
        terms[edge].append(block)
