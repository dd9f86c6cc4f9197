"""The networks of SNGAN for CIFAR-10: residual blocks, normalised in the generator.

An exported ``model.py`` holds the source of these classes too, so they need torch only.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from search_spaces.gan.genes import CELLS
from search_spaces.gan.operations import convolution

__all__ = ["BLOCKS", "NormalisedGenerator"]

BLOCKS = (
    ("conv_3x3", "none", "conv_3x3", "none", "conv_1x1", "avg_pool", "avg_pool"),
    ("conv_3x3", "none", "conv_3x3", "none", "skip", "none", "none"),
    ("conv_3x3", "none", "conv_3x3", "none", "skip", "none", "none"),
)
"""The residual blocks of its discriminator, as cells; AutoGAN's has the same."""


class NormalisedBlock(nn.Module):
    """BatchNorm, ReLU, twice the size, 3x3; BatchNorm, ReLU, 3x3; beside it enlarged and 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1, self.conv2 = (convolution(channels, channels, 3) for _ in range(2))
        self.shortcut = convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, channels, 2H, 2W)``."""
        y = functional.interpolate(self.norm1(x).relu(), scale_factor=2)
        y = self.conv2(self.norm2(self.conv1(y)).relu())
        found: Tensor = y + self.shortcut(functional.interpolate(x, scale_factor=2))
        return found


class NormalisedGenerator(nn.Module):
    """The generator of SNGAN for CIFAR-10 (Miyato et al., ICLR 2018, table 4).

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
        self.latent, self.channels = latent, channels
        self.bottom = image_shape[1] // 2**CELLS
        self.dense = nn.Linear(latent, channels * self.bottom**2)
        self.blocks = nn.Sequential(*(NormalisedBlock(channels) for _ in range(CELLS)))
        self.norm = nn.BatchNorm2d(channels)
        self.to_image = convolution(channels, image_shape[0], 3)

    def forward(self, z: Tensor) -> Tensor:
        """Map latent vectors ``(B, latent)`` to images ``(B, C, H, W)`` in [-1, 1]."""
        x = self.dense(z).view(-1, self.channels, self.bottom, self.bottom)
        image: Tensor = self.to_image(self.norm(self.blocks(x)).relu()).tanh()
        return image
