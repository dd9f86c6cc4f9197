"""What lies on the edges of generators' and discriminators' cells.

An exported ``model.py`` holds the source of these classes too, so they need torch only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from search_spaces.gan.genes import NONE, SKIP

__all__ = [
    "Edge",
    "Enlarged",
    "Rectified",
    "Shrunk",
    "convolution",
    "doubled",
    "down",
    "enlarged",
    "operation",
    "total",
]


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    bias: bool = True,
    spectral: bool = False,
) -> nn.Module:
    """A convolution that keeps the size, or halves it and rounds up, initialised after Glorot.

    Args:
        inputs: Channels read.
        outputs: Channels written.
        kernel: Side of the kernel, odd.
        stride: 1 or 2.
        dilation: Distance between what the kernel reads.
        bias: Whether it has one.
        spectral: Divide the weight by its largest singular value (Miyato et al., ICLR 2018).
    """
    made = nn.Conv2d(
        inputs,
        outputs,
        kernel,
        stride=stride,
        padding=kernel // 2 * dilation,
        dilation=dilation,
        bias=bias,
    )
    nn.init.xavier_uniform_(made.weight)
    return spectral_norm(made) if spectral else made


class Rectified(nn.Module):
    """ReLU, where there is one, and a convolution of as many channels as it reads.

    Args:
        name: ``conv_1x1``, ``conv_3x3``, ``conv_5x5``, ``dil_conv_3x3`` or ``dil_conv_5x5``; a
            dilated one reads every other pixel.
        channels: How many.
        stride: 1, or 2 to halve the size, rounded up.
        activated: Whether ReLU comes first.
        spectral: As of `convolution`.
    """

    def __init__(
        self, name: str, channels: int, *, stride: int, activated: bool, spectral: bool
    ) -> None:
        super().__init__()
        self.activated = activated
        self.conv = convolution(
            channels,
            channels,
            int(name[-1]),
            stride=stride,
            dilation=2 if name.startswith("dil") else 1,
            spectral=spectral,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same, or half the size."""
        y: Tensor = self.conv(torch.relu(x) if self.activated else x)
        return y


class Enlarged(nn.Module):
    """Twice the size: interpolated, ReLU, 1x1 convolution; or ReLU, transposed depthwise, 1x1.

    Args:
        name: ``nearest``, ``bilinear`` or ``transposed``.
        channels: How many.
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        self.name = name
        self.spread: nn.Module | None = None
        if name == "transposed":
            self.spread = nn.ConvTranspose2d(
                channels,
                channels,
                3,
                stride=2,
                padding=1,
                output_padding=1,
                groups=channels,
                bias=False,
            )
        self.conv = convolution(channels, channels, 1, bias=self.spread is None)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, channels, 2H, 2W)``."""
        if self.spread is not None:
            y: Tensor = self.conv(self.spread(torch.relu(x)))
            return y
        larger = enlarged(x, (2 * x.shape[-2], 2 * x.shape[-1]), self.name)
        y = self.conv(torch.relu(larger))
        return y


def enlarged(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Maps ``(B, channels, H, W)`` at a larger size.

    Args:
        x: The maps.
        size: Height and width.
        mode: ``nearest`` or ``bilinear``.
    """
    if mode == "nearest":
        return functional.interpolate(x, size, mode=mode)
    if x.is_cuda and size == (2 * x.shape[-2], 2 * x.shape[-1]):
        # The library's gradient there is added up in whatever order comes.
        larger = doubled(doubled(x, 2), 3)
        last = x.is_contiguous(memory_format=torch.channels_last)
        return larger.contiguous(memory_format=torch.channels_last) if last else larger
    return functional.interpolate(x, size, mode=mode, align_corners=False)


def doubled(x: Tensor, dim: int) -> Tensor:
    """Maps of twice the size along a dimension, bilinear: three quarters of the nearer pixel."""
    count = x.shape[dim]
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, count - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, count - 1), x.narrow(dim, count - 1, 1)], dim)
    both = torch.stack([torch.lerp(x, before, 0.25), torch.lerp(x, after, 0.25)], dim + 1)
    return both.flatten(dim, dim + 1)


class Shrunk(nn.Module):
    """Half the size by pooling 2x2 pixels; the last row of an odd number is pooled by itself.

    Args:
        name: ``avg_pool`` or ``max_pool``.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to half the size, rounded up."""
        if self.name == "max_pool":
            return functional.max_pool2d(x, 2, ceil_mode=True)
        return functional.avg_pool2d(x, 2, ceil_mode=True)


def operation(name: str, channels: int, *, activated: bool, spectral: bool) -> nn.Module:
    """The operation of an edge between nodes: nothing but itself, or a convolution."""
    if name == SKIP:
        return nn.Identity()
    return Rectified(name, channels, stride=1, activated=activated, spectral=spectral)


def down(name: str, channels: int, *, spectral: bool) -> nn.Module:
    """The operation of a down gene: a pool, or ReLU and a convolution of stride 2."""
    if name.endswith("pool"):
        return Shrunk(name)
    return Rectified(name, channels, stride=2, activated=True, spectral=spectral)


class Edge(nn.ModuleDict):
    """What may lie on one edge, by name: one operation, or in a supernet every one of them."""

    def forward(self, x: Tensor, name: str) -> Tensor:
        """Map ``x`` by the operation of that name."""
        y: Tensor = self[name](x)
        return y


def total(terms: list[Tensor]) -> Tensor:
    """The sum, as a new tensor: what is summed may be read elsewhere, too."""
    found = terms[0]
    for term in terms[1:]:
        found = found + term
    return found


def held(name: str, choices: tuple[str, ...], every: bool) -> list[str]:
    """Names of the operations that an edge holds: all of them, or the one; `none` is no module."""
    return [found for found in (choices if every else (name,)) if found != NONE]
