"""All operations on the edges that leave one state of a DARTS cell, as data.

Edges with the same source see the same input, so they are computed together: one ReLU, one pooling
of each kind, and per kind of convolution one depthwise call for all edges.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from search_spaces.leaving import Live

__all__ = ["OPERATIONS", "Convolution", "Leaving", "plan_leaving"]

_CONVOLUTIONS = {
    "sep_conv_3x3": (3, 1, ("depthwise1", "pointwise1", "depthwise2", "pointwise2")),
    "sep_conv_5x5": (5, 1, ("depthwise1", "pointwise1", "depthwise2", "pointwise2")),
    "dil_conv_3x3": (3, 2, ("depthwise", "pointwise")),
    "dil_conv_5x5": (5, 2, ("depthwise", "pointwise")),
}
_OTHERS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect")

OPERATIONS = (*_CONVOLUTIONS, *_OTHERS)
"""Operations that contribute to a node, in the order of gains."""


@dataclass(frozen=True)
class Convolution:
    """One kind of convolution on some of the edges.

    Attributes:
        kernel: Side of the depthwise kernel.
        dilation: Dilation of the depthwise kernel.
        twice: Whether it is the separable convolution, applied twice.
        edges: Positions of the edges that have it.
    """

    kernel: int
    dilation: int
    twice: bool
    edges: tuple[int, ...]

    @property
    def parts(self) -> int:
        """Number of weights per edge."""
        return 4 if self.twice else 2


@dataclass(frozen=True)
class Leaving:
    """The operations on the edges that leave one state.

    Gains, the mixture weights, come as one vector: those of each convolution, then max pooling,
    average pooling, skip connections; within each, by edge. Weights come as a flat list: for each
    convolution its first depthwise weights by edge, its first pointwise weights, then the second
    ones; last the two halves of the strided skip connections.

    Attributes:
        edges: Number of edges with anything on them.
        stride: Their stride.
        convolutions: Kinds of convolutions in use.
        max_pool: Positions of the edges with max pooling.
        avg_pool: Positions of the edges with average pooling.
        skip: Positions of the edges with a skip connection.
    """

    edges: int
    stride: int
    convolutions: tuple[Convolution, ...]
    max_pool: tuple[int, ...]
    avg_pool: tuple[int, ...]
    skip: tuple[int, ...]

    @property
    def shared(self) -> tuple[tuple[int, ...], ...]:
        """Edges of each operation without weights that is in use, in the order of gains."""
        identity = self.skip if self.stride == 1 else ()
        return tuple(edges for edges in (self.max_pool, self.avg_pool, identity) if edges)

    @property
    def uniform(self) -> bool:
        """Whether every edge has all the convolutions in use."""
        return all(len(kind.edges) == self.edges for kind in self.convolutions)


def plan_leaving(live: Live) -> tuple[Leaving, list[nn.Module]]:
    """Lay out what leaves a state: a `search_spaces.leaving.PlanLeaving`."""
    layers: list[nn.Module] = []
    convolutions = []
    for name, (kernel, dilation, parts) in _CONVOLUTIONS.items():
        edges = live.positions[name]
        if edges:
            convolutions.append(Convolution(kernel, dilation, len(parts) == 4, edges))
            layers += [getattr(module, part) for part in parts for module in live.modules[name]]
    if live.stride > 1:
        skips = live.modules["skip_connect"]
        layers += [getattr(module, half) for half in ("even", "odd") for module in skips]
    others = [live.positions[name] for name in _OTHERS]
    return Leaving(live.edges, live.stride, tuple(convolutions), *others), layers
