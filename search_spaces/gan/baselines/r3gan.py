"""A small GAN of the residual blocks of R3GAN, which need no normalisation.

An exported ``model.py`` holds the source of these classes too, so they need torch only.
"""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.gan.genes import CELLS
from search_spaces.gan.operations import enlarged

__all__ = ["BareDiscriminator", "BareGenerator"]

SLOPE = 0.2
EXPANSION = 2
GROUP = 16


class BareBlock(nn.Module):
    """The residual block of R3GAN (Huang et al., NeurIPS 2024): no normalisation, three convs.

    1x1 to twice the channels, 3x3 in groups of at most 16, 1x1 back; a bias and LeakyReLU after the
    first two. Weights are initialised so that the sum of `blocks` such blocks keeps its scale
    without normalisation: the last one is zero.

    Args:
        channels: How many.
        blocks: How many such blocks the network has.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        inner = EXPANSION * channels
        self.expand = nn.Conv2d(channels, inner, 1, bias=False)
        self.mix = nn.Conv2d(
            inner, inner, 3, padding=1, groups=inner // gcd(inner, GROUP), bias=False
        )
        self.reduce = nn.Conv2d(inner, channels, 1, bias=False)
        self.bias1 = nn.Parameter(torch.zeros(inner, 1, 1))
        self.bias2 = nn.Parameter(torch.zeros(inner, 1, 1))
        gain = nn.init.calculate_gain("leaky_relu", SLOPE) * blocks**-0.25
        for conv in (self.expand, self.mix):
            nn.init.normal_(conv.weight, 0.0, gain / conv.weight[0].numel() ** 0.5)
        nn.init.zeros_(self.reduce.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same."""
        y = functional.leaky_relu(self.expand(x) + self.bias1, SLOPE)
        y = functional.leaky_relu(self.mix(y) + self.bias2, SLOPE)
        found: Tensor = x + self.reduce(y)
        return found


class BareGenerator(nn.Module):
    """A small generator of the blocks of R3GAN, one at each of four sizes.

    The smallest map is learned, channel by channel times a linear function of the latent vector;
    sizes are doubled bilinearly, a 1x1 convolution makes the image. It has no tanh: images may
    leave [-1, 1].

    Args:
        image_shape: Channels, height, width of an image; the sides are equal, a multiple of 8.
        channels: How many there are everywhere.
        latent: Length of the latent vector.

    Attributes:
        latent: Length of the latent vector.
        recordable: A pass does the same work every time (see `nas.training.gradients`).
    """

    recordable = True

    def __init__(self, image_shape: tuple[int, int, int], channels: int, latent: int) -> None:
        super().__init__()
        self.latent = latent
        bottom = image_shape[1] // 2**CELLS
        self.basis = nn.Parameter(torch.randn(channels, bottom, bottom))
        self.dense = nn.Linear(latent, channels, bias=False)
        nn.init.normal_(self.dense.weight, 0.0, latent**-0.5)
        self.blocks = nn.ModuleList(BareBlock(channels, CELLS + 1) for _ in range(CELLS + 1))
        self.to_image = nn.Conv2d(channels, image_shape[0], 1, bias=False)
        nn.init.normal_(self.to_image.weight, 0.0, channels**-0.5)

    def forward(self, z: Tensor) -> Tensor:
        """Map latent vectors ``(B, latent)`` to images ``(B, C, H, W)``."""
        x: Tensor = self.basis * self.dense(z)[:, :, None, None]
        for number, block in enumerate(self.blocks):
            if number:
                x = enlarged(x, (2 * x.shape[-2], 2 * x.shape[-1]), "bilinear")
            x = block(x)
        x = self.to_image(x)
        return x


class BareDiscriminator(nn.Module):
    """A small discriminator of the blocks of R3GAN, one at each of four sizes.

    Sizes are halved with the filter [1, 3, 3, 1]; in the end each channel is multiplied with a
    learned map, and a linear layer makes the score.

    Args:
        image_shape: Channels, height, width of an image; the sides are equal, a multiple of 8.
        channels: How many there are everywhere.

    Attributes:
        scores_apart: An image's score is a matter of that image alone, whatever is in its batch.
        recordable: A pass does the same work every time (see `nas.training.gradients`).
    """

    scores_apart = True
    recordable = True

    def __init__(self, image_shape: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        bottom = image_shape[1] // 2**CELLS
        self.from_image = nn.Conv2d(image_shape[0], channels, 1, bias=False)
        nn.init.normal_(self.from_image.weight, 0.0, image_shape[0] ** -0.5)
        self.blocks = nn.ModuleList(BareBlock(channels, CELLS + 1) for _ in range(CELLS + 1))
        self.basis = nn.Conv2d(channels, channels, bottom, groups=channels, bias=False)
        nn.init.normal_(self.basis.weight, 0.0, 1 / bottom)
        self.score = nn.Linear(channels, 1, bias=False)
        nn.init.normal_(self.score.weight, 0.0, channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` to scores ``(B, 1)``, large for what looks real."""
        x = self.from_image(x)
        for number, block in enumerate(self.blocks):
            if number:  # bilinear with antialiasing is that filter, at a half
                x = functional.interpolate(
                    x, scale_factor=0.5, mode="bilinear", align_corners=False, antialias=True
                )
            x = block(x)
        x = self.score(self.basis(x).flatten(1))
        return x
