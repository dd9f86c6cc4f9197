"""Torch pieces shared by the cell spaces.

Tensors are ``(batch, channels, height, width)``. Every layer of stride 2 gives ``ceil(size / 2)``,
so inputs of any size pass through the reductions of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "AuxiliaryHead",
    "AveragePool",
    "Build",
    "CellNodes",
    "DilatedConv",
    "DropPath",
    "FactorizedReduce",
    "FirstChannels",
    "Form",
    "Noise",
    "Pool",
    "ReLUConvNorm",
    "ResidualReduction",
    "SeparableConv",
    "Zero",
    "average_pool",
    "form_of",
    "norm",
]


@dataclass(frozen=True)
class Form:
    """How batch normalisation is used inside cells.

    Attributes:
        affine: Learn a scale and a shift per channel.
        running: Keep running statistics and use them in eval mode; otherwise the statistics of
            the batch at hand are used in both modes.
        pools: Put a batch normalisation after every pooling operation of a cell.
    """

    affine: bool
    running: bool
    pools: bool


Build: TypeAlias = Callable[[str, int, int, Form], nn.Module]
"""Builds the module of an edge from name, channels, stride and form."""


def form_of(search: bool) -> Form:
    """Return the form of a network.

    Args:
        search: True inside a supernet, where learnt scales would hide an operation's mixture
            weight; False for a network that is trained on its own (DARTS, section 3.1.2).
    """
    return Form(affine=not search, running=not search, pools=search)


def norm(channels: int, form: Form, *, affine: bool | None = None) -> nn.BatchNorm2d:
    """Return the batch normalisation of a form.

    Args:
        channels: Number of channels.
        form: The form of the network.
        affine: Overrides ``form.affine``; stems are affine in every form.
    """
    return nn.BatchNorm2d(
        channels,
        affine=form.affine if affine is None else affine,
        track_running_stats=form.running,
    )


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


def _depthwise(channels: int, kernel: int, stride: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        channels,
        kernel,
        stride=stride,
        padding=dilation * (kernel // 2),
        dilation=dilation,
        groups=channels,
        bias=False,
    )


class ReLUConvNorm(nn.Module):
    """ReLU, dense convolution without bias, batch normalisation; padding keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, form: Form) -> None:
        super().__init__()
        self.conv = _conv(inputs, outputs, kernel, stride)
        self.norm = norm(outputs, form)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, ceil(H / stride), ceil(W / stride))``."""
        y: Tensor = self.norm(self.conv(functional.relu(x)))
        return y


class FactorizedReduce(nn.Module):
    """Halves the resolution with two 1x1 convolutions on pixel grids shifted by (1, 1).

    Grids are taken first, and the convolutions have no stride: the gradient of one with a stride of
    2 and fewer than 8 channels in channels-last order writes beyond its memory on processors
    without AVX-512 (torch 2.13).
    """

    def __init__(self, inputs: int, outputs: int, form: Form) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, bias=False)
        self.norm = norm(outputs, form)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, ceil(H / 2), ceil(W / 2))``."""
        x = functional.relu(x)
        height, width = x.shape[-2:]
        if height % 2 or width % 2:  # the shifted grid would be one pixel short
            x = functional.pad(x, (0, width % 2, 0, height % 2))
        grids = self.even(x[:, :, ::2, ::2]), self.odd(x[:, :, 1::2, 1::2])
        y: Tensor = self.norm(torch.cat(grids, dim=1))
        return y


class SeparableConv(nn.Module):
    """Twice (ReLU, depthwise, pointwise, batch normalisation); the first one has the stride."""

    def __init__(self, channels: int, kernel: int, stride: int, form: Form) -> None:
        super().__init__()
        self.depthwise1 = _depthwise(channels, kernel, stride)
        self.pointwise1 = _conv(channels, channels, 1)
        self.norm1 = norm(channels, form)
        self.depthwise2 = _depthwise(channels, kernel, 1)
        self.pointwise2 = _conv(channels, channels, 1)
        self.norm2 = norm(channels, form)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        x = self.norm1(self.pointwise1(self.depthwise1(functional.relu(x))))
        y: Tensor = self.norm2(self.pointwise2(self.depthwise2(functional.relu(x))))
        return y


class DilatedConv(nn.Module):
    """ReLU, depthwise convolution of dilation 2, pointwise convolution, batch normalisation."""

    def __init__(self, channels: int, kernel: int, stride: int, form: Form) -> None:
        super().__init__()
        self.depthwise = _depthwise(channels, kernel, stride, dilation=2)
        self.pointwise = _conv(channels, channels, 1)
        self.norm = norm(channels, form)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        y: Tensor = self.norm(self.pointwise(self.depthwise(functional.relu(x))))
        return y


def average_pool(x: Tensor, stride: int) -> Tensor:
    """Average ``(B, C, H, W)`` over the pixels of 3x3 windows, those beyond the border left out.

    On CUDA torch differentiates padded average pooling wrongly where channels come last in memory,
    without a word (pytorch/pytorch#188344, mended after 2.13): it never gets to see them.
    """
    if x.is_cuda:
        # A copy where the order could be taken for either one, as of 1x1 maps.
        last = x.is_contiguous(memory_format=torch.channels_last)
        x = x.clone(memory_format=torch.contiguous_format) if last else x.contiguous()
    return functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)


class AveragePool(nn.Module):
    """``average_pool`` as a layer."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        return average_pool(x, self.stride)


class Pool(nn.Module):
    """3x3 max or average pooling, with a batch normalisation where the form asks for it."""

    def __init__(self, kind: str, channels: int, stride: int, form: Form) -> None:
        super().__init__()
        self.pool: nn.Module = (
            nn.MaxPool2d(3, stride=stride, padding=1) if kind == "max" else AveragePool(stride)
        )
        self.norm: nn.Module = norm(channels, form) if form.pools else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        y: Tensor = self.norm(self.pool(x))
        return y


class Zero(nn.Module):
    """No connection: zeros of the output's shape."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to zeros ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class Noise(nn.Module):
    """Standard normal noise of the output's shape; the input is ignored (RobustDARTS, S4)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to noise ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        return torch.randn_like(x[:, :, :: self.stride, :: self.stride])


class DropPath(nn.Module):
    """Zeroes whole samples with probability ``p`` in train mode and rescales the others.

    Attributes:
        p: Probability in [0, 1); 0 makes the layer an identity.
    """

    def __init__(self) -> None:
        super().__init__()
        self.p = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, ...)`` to the same shape; the expectation over masks is ``x``."""
        if not self.training or self.p == 0.0:
            return x
        keep = 1.0 - self.p
        mask = torch.empty((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device)
        return x * (mask.bernoulli_(keep) / keep)


class FirstChannels(nn.Module):
    """As many of the first channels as it says; a layer of its own, so that cutting can narrow it.

    Attributes:
        channels: How many, >= 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, ...)`` to ``(B, min(C, channels), ...)``."""
        return x[:, : self.channels]


class CellNodes(nn.Module):
    """The edges into the nodes of one cell.

    Args:
        nodes: Indices of the nodes, in order.
        edges: ``(node, source)`` to the module on that edge; sources count the cell's inputs and
            then its nodes.
    """

    def __init__(self, nodes: Sequence[int], edges: Mapping[tuple[int, int], nn.Module]) -> None:
        super().__init__()
        self.drop_path = DropPath()
        self.edges = nn.ModuleDict({f"{node}_{source}": m for (node, source), m in edges.items()})
        self.sources = [[source for at, source in edges if at == node] for node in nodes]
        self.nodes = list(nodes)

    def forward(self, states: list[Tensor]) -> list[Tensor]:
        """Compute the nodes one after another from the cell's inputs.

        Returns:
            The input states followed by one state per node; a node that nothing enters is zero.
        """
        states = list(states)
        for node, sources in zip(self.nodes, self.sources, strict=True):
            total: Tensor | None = None
            for source in sources:
                y = self._edge(f"{node}_{source}", states[source])
                total = y if total is None else total + y
            states.append(torch.zeros_like(states[-1]) if total is None else total)
        return states

    def _edge(self, key: str, x: Tensor) -> Tensor:
        module = self.edges[key]
        y: Tensor = module(x)
        # A dropped identity would cut the only path that always carries signal and gradient.
        dropped: Tensor = y if isinstance(module, nn.Identity) else self.drop_path(y)
        return dropped


class ResidualReduction(nn.Module):
    """The residual block of stride 2 between two stages of NAS-Bench-201 (its section 2.1).

    Two 3x3 ReLU-convolution-normalisation layers plus a shortcut of 2x2 average pooling and a
    1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, form: Form) -> None:
        super().__init__()
        self.first = ReLUConvNorm(inputs, outputs, 3, 2, form)
        self.second = ReLUConvNorm(outputs, outputs, 3, 1, form)
        self.pool = nn.AvgPool2d(2, stride=2, ceil_mode=True)
        self.shortcut = _conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, ceil(H / 2), ceil(W / 2))``."""
        y: Tensor = self.shortcut(self.pool(x)) + self.second(self.first(x))
        return y


class AuxiliaryHead(nn.Module):
    """A classifier on an inner feature map, for training only (DARTS, appendix A).

    Feature maps of 8 pixels (CIFAR) and 7 pixels (ImageNet) are pooled by a 5x5 window as in the
    paper's networks, maps of any other size adaptively, in each case to 2x2.
    """

    def __init__(self, channels: int, size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        stride = {(8, 8): 3, (7, 7): 2}.get(size)
        self.pool: nn.Module = (
            nn.AdaptiveAvgPool2d(2) if stride is None else nn.AvgPool2d(5, stride)
        )
        self.conv1 = nn.Conv2d(channels, 128, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(128)
        self.conv2 = nn.Conv2d(128, 768, 2, bias=False)
        self.norm2 = nn.BatchNorm2d(768)
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, *size)`` to logits ``(B, num_classes)``."""
        x = functional.relu(self.norm1(self.conv1(self.pool(functional.relu(x)))))
        y: Tensor = self.classifier(functional.relu(self.norm2(self.conv2(x))).flatten(1))
        return y
