"""The one definition of NAS-Bench-101 networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search_spaces.layers import DropPath, FirstChannels
from search_spaces.nasbench101.channels import STACKS, vertex_channels
from search_spaces.networks import CellNetwork

__all__ = ["NasBench101Network"]


class ConvNormReLU(nn.Module):
    """Convolution without bias that keeps the size, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        return torch.relu(self.norm(self.conv(x)))


def vertex_operation(name: str, channels: int) -> nn.Module:
    """The operation of an inner vertex, which keeps the shape.

    Raises:
        ValueError: There is none of that name.
    """
    match name:
        case "conv3x3-bn-relu":
            return ConvNormReLU(channels, channels, 3)
        case "conv1x1-bn-relu":
            return ConvNormReLU(channels, channels, 1)
        case "maxpool3x3":
            return nn.MaxPool2d(3, stride=1, padding=1)
    raise ValueError(f"unknown operation {name!r} of a NAS-Bench-101 cell")


class GraphCell(nn.Module):
    """One cell (Ying et al. 2019, supplement S2).

    What a vertex reads is summed: the cell's input through a 1x1 projection, earlier vertices with
    as many of their first channels as it has itself. Those that enter the output are concatenated;
    an edge from input to output adds a projection to that.

    Args:
        matrix: Upper-triangular adjacency, every vertex on a path from input to output.
        operations: Of the inner vertices.
        inputs: Channels of the input.
        outputs: Channels of the output.
    """

    def __init__(
        self,
        matrix: Sequence[Sequence[int]],
        operations: Sequence[str],
        inputs: int,
        outputs: int,
    ) -> None:
        super().__init__()
        last = len(matrix) - 1
        channels = vertex_channels(matrix, inputs, outputs)
        self.last = last
        self.sources = [[u for u in range(1, v) if matrix[u][v]] for v in range(last + 1)]
        self.drop_path = DropPath()
        self.operations = nn.ModuleDict()
        self.projections = nn.ModuleDict()
        self.first = nn.ModuleDict()
        for vertex in range(1, last + 1):
            if vertex < last:
                module = vertex_operation(operations[vertex - 1], channels[vertex])
                self.operations[str(vertex)] = module
                self.first[str(vertex)] = FirstChannels(channels[vertex])
            if matrix[0][vertex]:
                self.projections[str(vertex)] = ConvNormReLU(inputs, channels[vertex], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        states, last = [x], self.last
        for vertex in range(1, last):
            first = self.first[str(vertex)]
            terms = [first(states[source]) for source in self.sources[vertex]]
            if str(vertex) in self.projections:
                terms.append(self.projections[str(vertex)](x))
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            states.append(self.drop_path(self.operations[str(vertex)](total)))
        through = [states[source] for source in self.sources[last]]
        y: Tensor | None = torch.cat(through, dim=1) if through else None
        if str(last) in self.projections:
            direct: Tensor = self.projections[str(last)](x)
            y = direct if y is None else y + direct
        assert y is not None
        return y


class NasBench101Network(CellNetwork):
    """Stem, three stacks of cells with 2x2 max-pooling between, classifier (section 2).

    Args:
        matrix: Upper-triangular adjacency of the cell, every vertex on a path.
        operations: Of the inner vertices.
        input_shape: Channels, height, width.
        num_classes: Number of logits.
        channels: Channels of stem and first stack, at least as many as vertices enter the output.
        layers: Cells per stack, >= 1.

    Attributes:
        arguments: The arguments.
    """

    def __init__(
        self,
        matrix: Sequence[Sequence[int]],
        operations: Sequence[str],
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        channels: int,
        layers: int,
    ) -> None:
        super().__init__(
            {
                "matrix": [list(row) for row in matrix],
                "operations": list(operations),
                "input_shape": tuple(input_shape),
                "num_classes": num_classes,
                "channels": channels,
                "layers": layers,
            }
        )
        self.stem = ConvNormReLU(input_shape[0], channels, 3)
        self.blocks = nn.ModuleList()
        inputs = channels
        for stack in range(STACKS):
            if stack:
                self.blocks.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
                channels *= 2
            for _ in range(layers):
                self.blocks.append(GraphCell(matrix, operations, inputs, channels))
                inputs = channels
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` to logits ``(B, classes)``."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
