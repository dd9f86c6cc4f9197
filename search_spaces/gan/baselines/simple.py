"""The plain discriminator of EAGAN's ablation GD2: five convolutions of stride 2.

An exported ``model.py`` holds the source of these classes too, so they need torch only.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm as divided

__all__ = ["SimpleDiscriminator"]

SLOPE = 0.2
NORMALISED = (True, False, True, False, True)
"""After which convolutions BatchNorm and LeakyReLU come; two have neither, as published."""


class Halved(nn.Module):
    """A 4x4 convolution of stride 2 that leaves at least one pixel.

    Args:
        inputs: Channels read.
        outputs: Channels written.
        normalised: Whether BatchNorm and LeakyReLU follow.
    """

    def __init__(self, inputs: int, outputs: int, normalised: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
        nn.init.xavier_uniform_(self.conv.weight)
        self.norm = nn.BatchNorm2d(outputs) if normalised else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to half the size, rounded down, but 1 pixel to 1 pixel."""
        if x.shape[-1] == 1:  # published for 32 and 48 pixels, of which none comes to this
            x = functional.pad(x, (0, 1, 0, 1))
        x = self.conv(x)
        if self.norm is not None:
            x = functional.leaky_relu(self.norm(x), SLOPE)
        return x


class SimpleDiscriminator(nn.Module):
    """Five convolutions, the sum over all pixels, and a linear layer without bias.

    As in the authors' code, only the linear layer has spectral normalisation, and the first
    convolution writes half of the channels of the others.

    Args:
        image_shape: Channels, height, width of an image.
        channels: Of all convolutions but the first, published 128.
        spectral_norm: Divide the weight of the linear layer by its largest singular value.

    Attributes:
        recordable: A pass does the same work every time (see `nas.training.gradients`).
    """

    recordable = True

    def __init__(
        self, image_shape: tuple[int, int, int], channels: int, spectral_norm: bool
    ) -> None:
        super().__init__()
        widths = (image_shape[0], max(1, channels // 2), *(channels,) * 4)
        self.blocks = nn.Sequential(
            *(
                Halved(inputs, outputs, normalised)
                for (inputs, outputs), normalised in zip(pairwise(widths), NORMALISED, strict=True)
            )
        )
        score = nn.Linear(channels, 1, bias=False)
        self.score = divided(score) if spectral_norm else score

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` to scores ``(B, 1)``, large for what looks real."""
        scores: Tensor = self.score(torch.sum(self.blocks(x), (2, 3)))
        return scores
