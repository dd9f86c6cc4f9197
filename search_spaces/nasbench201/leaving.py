"""All operations on the edges that leave one state of a NAS-Bench-201 cell, computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.layers import average_pool
from search_spaces.leaving import Live
from search_spaces.normalise import normalise

__all__ = ["OPERATIONS", "Leaving", "leave", "plan_leaving"]

OPERATIONS = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect")
"""Operations that contribute to a node, in the order of gains."""


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


def plan_leaving(live: Live) -> tuple[Leaving, list[nn.Module]]:
    """Lay out what leaves a state: a `search_spaces.leaving.PlanLeaving`."""
    spec = Leaving(live.edges, *(live.positions[name] for name in OPERATIONS))
    convolutions = [module for name in OPERATIONS[:2] for module in live.modules[name]]
    return spec, [module.get_submodule("conv") for module in convolutions]


def leave(h: Tensor, gains: Tensor, spec: Leaving, weights: Sequence[Tensor]) -> Tensor:
    """Map a state ``(N, H, W, C)`` to contributions ``(E, N, H, W, C)``.

    One ReLU, one convolution and one batch normalisation of each kind for all edges; the gains
    are the scales of the normalisations. For the arguments see `search_spaces.leaving.Leave`.
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
