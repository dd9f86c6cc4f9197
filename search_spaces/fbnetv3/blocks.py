"""Layers of FBNetV3 networks. Tensors are ``(batch, channels, height, width)``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.fbnetv3.plan import Block
from search_spaces.layers import DropPath

__all__ = ["ConvNorm", "InvertedResidual", "SqueezeExcitation"]


class ConvNorm(nn.Module):
    """Convolution, batch normalisation and, unless it is linear, hard-swish.

    Args:
        inputs: Channels read.
        outputs: Channels given.
        kernel: Side of the kernel.
        stride: Stride.
        padding: Zeros around the image; None for half the kernel, which keeps the size.
        groups: Groups of channels.
        linear: Leave the activation out.
        bias: Give the convolution a bias, which the normalisation makes redundant.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        linear: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        around = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, around, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(outputs)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        y: Tensor = self.norm(self.conv(x))
        return y if self.linear else functional.hardswish(y)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate made of the means of all channels (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        inner = functional.hardswish(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * functional.hardsigmoid(self.excite(inner))


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, squeeze-and-excitation, project, add the input if it fits.

    The block of MobileNetV2 (Sandler et al., CVPR 2018) with hard-swish after the first two
    convolutions. The last normalisation of a residual branch begins at zero, so that the block
    begins as an identity (Goyal et al., 2017).
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        hidden = block.hidden
        self.expand: nn.Module = (
            ConvNorm(block.inputs, hidden, 1) if block.expands else nn.Identity()
        )
        self.depthwise = ConvNorm(
            hidden,
            hidden,
            block.kernel,
            stride=block.stride,
            padding=block.padding,
            groups=hidden,
        )
        self.gate: nn.Module = (
            SqueezeExcitation(hidden, block.squeezed) if block.squeezed else nn.Identity()
        )
        self.project = ConvNorm(hidden, block.outputs, 1, linear=True)
        self.drop_path = DropPath()
        self.residual = block.residual
        if block.residual:
            nn.init.zeros_(self.project.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        y: Tensor = self.project(self.gate(self.depthwise(self.expand(x))))
        return x + self.drop_path(y) if self.residual else y


def resized(x: Tensor, side: int) -> Tensor:
    """Images ``(B, C, H, W)`` as squares ``(B, C, side, side)``: bilinear, antialiased."""
    if x.shape[-2:] == torch.Size((side, side)):
        return x
    return functional.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
