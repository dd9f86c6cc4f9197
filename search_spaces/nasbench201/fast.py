"""The fast supernet of the NAS-Bench-201 space.

It holds the same modules as the plain supernet, under the same names, and uses them as storage for
weights. Its cells consist of dense convolutions, which merge over edges on every machine, so there
is one layout only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from search_spaces.choose import Choose, Mixed, MixedEdge
from search_spaces.edges import Edge
from search_spaces.fast_nodes import FastNodes
from search_spaces.gains import Gains
from search_spaces.lanes import each
from search_spaces.layers import CellNodes
from search_spaces.nasbench201.leaving import leave, plan_leaving
from search_spaces.nasbench201.network import NasBench201Network
from search_spaces.supernet import Forward, Mixture, Supernet

__all__ = ["FastNasBench201Supernet"]


class FastNasBench201Supernet(Supernet):
    """A supernet of NAS-Bench-201 that computes the same as the plain one, faster.

    Gradients are those of the plain supernet, to any order. A given mixture that requires no
    gradient has the operations whose weight is zero skipped (on CPUs): their weights then get no
    gradient at all where the plain supernet gives zeros.

    Args:
        build: Makes the network for a ``Choose``: ``space.build`` with everything else given.
        edges: The space's edges.

    Attributes:
        network: The network whose weights are used; state dicts equal those of the plain
            supernet.
    """

    def __init__(self, build: Callable[[Choose], nn.Module], edges: Sequence[Edge]) -> None:
        super().__init__(edges)
        network = build(Mixed())
        assert isinstance(network, NasBench201Network)
        self.network = network
        self._fast_nodes = [
            FastNodes(block, 1, plan_leaving) if isinstance(block, CellNodes) else None
            for block in network.blocks
        ]

    def logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Compute logits ``(B, classes)`` of images ``(B, C, H, W)`` under a mixture."""
        return self._lanes(x, [mixture])[0]

    def forget(self, edge: Edge, keep: str | None) -> None:
        """Free the weights of an edge's operations, except the one to keep, if any."""
        for module in self.network.modules():
            if isinstance(module, MixedEdge) and module.edge == edge:
                module.forget(keep)
        for nodes in self._fast_nodes:
            if nodes is not None:
                nodes.refresh()

    def _compare(
        self, x: Tensor, variants: Mapping[str, Mixture], forward: Forward | None
    ) -> dict[str, Tensor]:
        if forward is not None or not variants:
            return super()._compare(x, variants, forward)
        return dict(zip(variants, self._lanes(x, list(variants.values())), strict=True))

    def _lanes(self, x: Tensor, mixtures: Sequence[Mixture]) -> list[Tensor]:
        """Compute logits under several mixtures, what they share once."""
        gains = Gains(mixtures)
        network = self.network
        x = network.stem_norm(network.stem(x))
        states = [x.permute(0, 2, 3, 1).contiguous()] * len(mixtures)
        for block, nodes in zip(network.blocks, self._fast_nodes, strict=True):
            if nodes is not None:
                states = nodes.run([states], gains, leave)[-1]
            else:
                states = each(lambda h, b=block: _permuted(b, h), states)
        return each(self._classify, states)

    def _classify(self, h: Tensor) -> Tensor:
        network = self.network
        x = torch.relu(network.last_norm(h.permute(0, 3, 1, 2).contiguous())).mean((2, 3))
        logits: Tensor = network.classifier(x)
        return logits


def _permuted(block: nn.Module, h: Tensor) -> Tensor:
    y: Tensor = block(h.permute(0, 3, 1, 2).contiguous())
    return y.permute(0, 2, 3, 1).contiguous()
