"""All operations on the edges that leave one state of a DARTS cell, as data.

Edges with the same source see the same input, so they are computed together: one ReLU, one pooling
of each kind, and per kind of convolution one depthwise call for all edges.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import nn

from search_spaces.choose import MixedEdge
from search_spaces.fast_nodes import Plan

__all__ = ["Convolution", "Leaving", "plan_leaving"]

_CONVOLUTIONS = {
    "sep_conv_3x3": (3, 1, ("depthwise1", "pointwise1", "depthwise2", "pointwise2")),
    "sep_conv_5x5": (5, 1, ("depthwise1", "pointwise1", "depthwise2", "pointwise2")),
    "dil_conv_3x3": (3, 2, ("depthwise", "pointwise")),
    "dil_conv_5x5": (5, 2, ("depthwise", "pointwise")),
}
_OTHERS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect")


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
    found: dict[str, list[tuple[int, int, nn.Module]]] = {}
    for module in modules:
        edge = module.edge
        used = False
        for column, name in enumerate(edge.operations):
            known = name in _CONVOLUTIONS or name in _OTHERS
            if known and name in module.operations and (edge.row, column) not in without:
                place = edge.row * columns + column
                found.setdefault(name, []).append((len(nodes), place, module.operations[name]))
                used = True
        if used:
            nodes.append(edge.node)
    if not nodes:
        return None
    layers: list[nn.Module] = []
    convolutions = []
    for name, (kernel, dilation, parts) in _CONVOLUTIONS.items():
        members = found.get(name, [])
        if members:
            edges = tuple(position for position, _, _ in members)
            convolutions.append(Convolution(kernel, dilation, len(parts) == 4, edges))
            layers += [getattr(module, part) for part in parts for _, _, module in members]
    stride = modules[0].stride
    if stride > 1:
        skips = [module for _, _, module in found.get("skip_connect", [])]
        layers += [getattr(module, half) for half in ("even", "odd") for module in skips]
    others = [tuple(position for position, _, _ in found.get(name, [])) for name in _OTHERS]
    places = [place for n in (*_CONVOLUTIONS, *_OTHERS) for _, place, _ in found.get(n, [])]
    spec = Leaving(len(nodes), stride, tuple(convolutions), *others)
    return Plan(spec, tuple(nodes), tuple(places), tuple(layers))
