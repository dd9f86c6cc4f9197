"""The one definition of NAS-Bench-201 networks: discrete ones and the plain supernet alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from nas.core.errors import SpaceError
from search_spaces.choose import Choose
from search_spaces.edges import Edge
from search_spaces.layers import ResidualReduction, norm
from search_spaces.macro import CellNetwork, CellNodes, InputShape, check_input
from search_spaces.nasbench201.operations import build_operation
from search_spaces.plain import CellWeights

__all__ = ["STAGES", "NasBench201Network"]

STAGES = 3
"""Stages of equal resolution; each has twice the channels of the one before."""


class NasBench201Network(CellNetwork):
    """Stem, three stages of cells with residual blocks between, classifier (section 2.1).

    Only the cells depend on the form: stem, residual blocks and the last normalisation are
    affine in a supernet, too.

    Args:
        choose: ``Fixed(operations)`` for an architecture, ``Mixed()`` for the plain supernet.
        edges: The six edges of the cell.
        input_shape: Channels, height, width.
        num_classes: Number of logits.
        channels: Channels of the first stage, >= 1.
        layers: Cells per stage, >= 1.
    """

    def __init__(
        self,
        choose: Choose,
        edges: Sequence[Edge],
        input_shape: InputShape,
        num_classes: int,
        *,
        channels: int,
        layers: int,
    ) -> None:
        super().__init__()
        check_input(input_shape, num_classes)
        if channels < 1 or layers < 1:
            raise SpaceError(f"a network needs channels and layers >= 1, got {channels}, {layers}")
        outside = replace(choose.form, affine=True)
        self.stem = nn.Conv2d(input_shape[0], channels, 3, padding=1, bias=False)
        self.stem_norm = norm(channels, outside)
        self.blocks = nn.ModuleList()
        for stage in range(STAGES):
            if stage:
                self.blocks.append(ResidualReduction(channels, 2 * channels, outside))
                channels *= 2
            for _ in range(layers):
                cell = CellNodes(edges, choose, build_operation, channels, [1] * len(edges))
                self.blocks.append(cell)
        self.last_norm = norm(channels, outside)
        self.classifier = nn.Linear(channels, num_classes)

    def compute(self, x: Tensor, weights: CellWeights | None) -> Tensor:
        x = self.stem_norm(self.stem(x))
        for block in self.blocks:
            x = block([x], weights)[-1] if isinstance(block, CellNodes) else block(x)
        logits: Tensor = self.classifier(torch.relu(self.last_norm(x)).mean((2, 3)))
        return logits
