"""The fast supernet of the NAS-Bench-201 space.

Its cells consist of dense convolutions, which merge over edges on every machine, so there is one
layout only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from search_spaces.choose import Choose
from search_spaces.edges import Edge
from search_spaces.fast import FastSupernet
from search_spaces.fast_nodes import FastNodes
from search_spaces.gains import Gains
from search_spaces.lanes import each
from search_spaces.layers import CellNodes
from search_spaces.nasbench201.leaving import OPERATIONS, leave, plan_leaving
from search_spaces.nasbench201.network import NasBench201Network
from search_spaces.supernet import Mixture

__all__ = ["FastNasBench201Supernet"]


class FastNasBench201Supernet(FastSupernet):
    """The fast supernet of NAS-Bench-201.

    Args:
        build: Makes the network for a ``Choose``: ``space.build`` with everything else given.
        edges: The space's edges.
    """

    network: NasBench201Network

    def __init__(self, build: Callable[[Choose], nn.Module], edges: Sequence[Edge]) -> None:
        super().__init__(build, edges)
        self._fast_nodes = [
            FastNodes(block, 1, OPERATIONS, plan_leaving) if isinstance(block, CellNodes) else None
            for block in self.network.blocks
        ]

    def _nodes_of_cells(self) -> list[FastNodes]:
        return [nodes for nodes in self._fast_nodes if nodes is not None]

    def _lanes(self, x: Tensor, mixtures: Sequence[Mixture]) -> list[Tensor]:
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
