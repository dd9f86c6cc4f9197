"""The one definition of DARTS networks: discrete ones and the plain supernet alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from search_spaces.darts.operations import build_operation
from search_spaces.darts.plan import CELL_NODES, CellPlan, auxiliary_cell, is_large, plan_cells
from search_spaces.edges import split_edge
from search_spaces.layers import (
    AuxiliaryHead,
    CellNodes,
    FactorizedReduce,
    Form,
    ReLUConvNorm,
    form_of,
    norm,
    set_drop_path,
)

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
        build: Callable[[str, int, int, Form], nn.Module],
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


class DartsNetwork(nn.Module):
    """Stem, cells, global average pooling, linear classifier (DARTS, section 3.1).

    Inputs of at least 128 x 128 pixels get the ImageNet stem, smaller ones the CIFAR stem.

    Args:
        operations: Edge name to what lies on it, a name that ``build`` understands.
        input_shape: Channels, height, width.
        num_classes: Number of logits.
        channels: Channels of the first cell's states, >= 2.
        layers: Number of cells, >= 1.
        auxiliary: Add the auxiliary head, behind the second reduction cell.
        search: Use the form of batch normalisation that supernets have.
        build: Builds the module of an edge from name, channels, stride and form.

    Attributes:
        arguments: The arguments, except ``build``.
    """

    def __init__(
        self,
        operations: Mapping[str, str],
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        channels: int,
        layers: int,
        auxiliary: bool = False,
        search: bool = False,
        build: Callable[[str, int, int, Form], nn.Module] = build_operation,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, object] = {
            "operations": dict(operations),
            "input_shape": tuple(input_shape),
            "num_classes": num_classes,
            "channels": channels,
            "layers": layers,
            "auxiliary": auxiliary,
            "search": search,
        }
        form = form_of(search)
        large = is_large(input_shape)
        plans = plan_cells(channels, layers, large=large)
        stem = LargeStem if large else SmallStem
        self.stem: nn.Module = stem(input_shape[0], plans[0].inputs[1], form)
        self.cells = nn.ModuleList(Cell(plan, operations, form, build) for plan in plans)
        self.auxiliary_index = auxiliary_cell(layers)
        self.auxiliary_head: nn.Module | None = None
        if auxiliary:
            halvings = sum(p.group == "reduce" for p in plans[: self.auxiliary_index + 1])
            height, width = (-(-s // 2 ** (halvings + 3 * large)) for s in input_shape[1:])
            outputs = plans[self.auxiliary_index].outputs
            self.auxiliary_head = AuxiliaryHead(outputs, (height, width), num_classes)
        self.classifier = nn.Linear(plans[-1].outputs, num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map images ``(B, C, H, W)`` to logits ``(B, classes)``.

        In train mode a network with an auxiliary head returns ``(logits, auxiliary logits)``.
        """
        first, second = self.stem(x)
        auxiliary: Tensor | None = None
        for index, cell in enumerate(self.cells):
            first, second = second, cell(first, second)
            if self.training and self.auxiliary_head is not None and index == self.auxiliary_index:
                auxiliary = self.auxiliary_head(second)
        logits: Tensor = self.classifier(second.mean((2, 3)))
        return logits if auxiliary is None else (logits, auxiliary)

    def set_drop_path(self, p: float) -> None:
        """Drop every edge but identities for a sample with probability ``p``, in train mode.

        Raises:
            ValueError: ``p`` is not in [0, 1).
        """
        set_drop_path(self, p)
