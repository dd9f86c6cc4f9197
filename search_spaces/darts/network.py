"""The one definition of DARTS networks: discrete ones and the plain supernet alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from search_spaces.darts.operations import build_operation
from search_spaces.darts.plan import CELL_NODES, CellPlan, auxiliary_cell, is_large, plan_cells
from search_spaces.edges import split_edge
from search_spaces.layers import (
    AuxiliaryHead,
    Build,
    CellNodes,
    FactorizedReduce,
    Form,
    ReLUConvNorm,
    norm,
)
from search_spaces.networks import EdgeNetwork
from search_spaces.scale import Skeleton

__all__ = ["Cell", "DartsNetwork", "LargeStem", "SmallStem"]


class SmallStem(nn.Module):
    """3x3 convolution and normalisation at full size; both input states are its output."""

    def __init__(self, inputs: int, channels: int, form: Form) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        self.norm = norm(channels, form, affine=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, inputs, H, W)`` to twice the same ``(B, channels, H, W)``."""
        y = self.norm(self.conv(x))
        return y, y


class LargeStem(nn.Module):
    """Three convolutions of stride 2; the input states are at 1/4 and 1/8 of the size."""

    def __init__(self, inputs: int, channels: int, form: Form) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(inputs, channels // 2, 3, stride=2, padding=1, bias=False)
        self.norm0 = norm(channels // 2, form, affine=True)
        self.conv1 = nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1, bias=False)
        self.norm1 = norm(channels, form, affine=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
        self.norm2 = norm(channels, form, affine=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, inputs, H, W)`` to states of ``channels`` at sizes /4 and /8, rounded up."""
        quarter = self.norm1(self.conv1(torch.relu(self.norm0(self.conv0(x)))))
        return quarter, self.norm2(self.conv2(torch.relu(quarter)))


class Cell(nn.Module):
    """A normal or reduction cell: two inputs, four nodes, output the nodes' concatenation."""

    def __init__(
        self,
        plan: CellPlan,
        operations: Mapping[str, str],
        form: Form,
        build: Build,
    ) -> None:
        super().__init__()
        first, second = plan.inputs
        self.preprocess0: nn.Module = (
            FactorizedReduce(first, plan.channels, form)
            if plan.halve_first
            else ReLUConvNorm(first, plan.channels, 1, 1, form)
        )
        self.preprocess1 = ReLUConvNorm(second, plan.channels, 1, 1, form)
        edges: dict[tuple[int, int], nn.Module] = {}
        for name, operation in operations.items():
            group, node, source = split_edge(name)
            if group == plan.group:
                module = build(operation, plan.channels, plan.stride(source), form)
                edges[node, source] = module
        self.inner = CellNodes(range(CELL_NODES), edges)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Map the outputs of the two cells before to ``(B, 4 * channels, H', W')``."""
        states = self.inner([self.preprocess0(first), self.preprocess1(second)])
        return torch.cat(states[2:], dim=1)


class DartsNetwork(EdgeNetwork):
    """Stem, cells, global average pooling, linear classifier (DARTS, section 3.1).

    Inputs of at least 128 x 128 pixels get the ImageNet stem, smaller ones the CIFAR stem. The
    first cell's states have ``channels`` channels, >= 2; ``layers`` is the number of cells. The
    auxiliary head is behind the second reduction cell.
    """

    _build_operation = staticmethod(build_operation)

    def _lay_out(
        self, operations: Mapping[str, str], skeleton: Skeleton, form: Form, build: Build
    ) -> None:
        large = is_large(skeleton.input_shape)
        plans = plan_cells(skeleton.channels, skeleton.layers, large=large)
        stem = LargeStem if large else SmallStem
        self.stem: nn.Module = stem(skeleton.input_shape[0], plans[0].inputs[1], form)
        self.cells = nn.ModuleList(Cell(plan, operations, form, build) for plan in plans)
        self.auxiliary_index = auxiliary_cell(skeleton.layers)
        self.auxiliary_head: nn.Module | None = None
        if skeleton.auxiliary:
            halvings = sum(p.group == "reduce" for p in plans[: self.auxiliary_index + 1])
            height, width = (-(-s // 2 ** (halvings + 3 * large)) for s in skeleton.size)
            outputs = plans[self.auxiliary_index].outputs
            self.auxiliary_head = AuxiliaryHead(outputs, (height, width), skeleton.num_classes)
        self.classifier = nn.Linear(plans[-1].outputs, skeleton.num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map images ``(B, C, H, W)`` to logits ``(B, classes)`` (see `EdgeNetwork`)."""
        first, second = self.stem(x)
        auxiliary: Tensor | None = None
        for index, cell in enumerate(self.cells):
            first, second = second, cell(first, second)
            if self.training and self.auxiliary_head is not None and index == self.auxiliary_index:
                auxiliary = self.auxiliary_head(second)
        logits: Tensor = self.classifier(second.mean((2, 3)))
        return logits if auxiliary is None else (logits, auxiliary)
