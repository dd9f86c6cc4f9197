"""The generator that AutoGAN found for CIFAR-10 (Gong et al., ICCV 2019), as its authors have it.

Found by a search, but of blocks that are not those of EAGAN's cells. An exported ``model.py`` holds
the source of these classes too, so they need torch only.
"""

from __future__ import annotations

from torch import Tensor, nn

from search_spaces.gan.genes import CELLS
from search_spaces.gan.operations import convolution, enlarged

__all__ = ["AutoganGenerator"]

MODES = ("nearest", "bilinear", "nearest")
"""How each block enlarges; the last one alone has no shortcut."""


class SkipBlock(nn.Module):
    """ReLU, twice the size, 3x3; then what the blocks before had there; ReLU, 3x3.

    Args:
        channels: How many there are everywhere.
        mode: How maps are enlarged, ``nearest`` or ``bilinear``.
        before: How many blocks come before.
        shortcut: Whether the input, enlarged and by 1x1, is added to the output.
    """

    def __init__(self, channels: int, mode: str, before: int, shortcut: bool) -> None:
        super().__init__()
        self.mode = mode
        self.conv1, self.conv2 = (convolution(channels, channels, 3) for _ in range(2))
        self.skips = nn.ModuleList(convolution(channels, channels, 1) for _ in range(before))
        self.shortcut = convolution(channels, channels, 1) if shortcut else None

    def forward(self, x: Tensor, earlier: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Map ``(B, channels, H, W)`` to ``(B, channels, 2H, 2W)``.

        Args:
            x: The input.
            earlier: What lies between the convolutions of the blocks before.

        Returns:
            What lies between the two convolutions here, those skips included, and the output.
        """
        size = (2 * x.shape[-2], 2 * x.shape[-1])
        middle: Tensor = self.conv1(enlarged(x.relu(), size, self.mode))
        for conv, state in zip(self.skips, earlier, strict=True):
            middle = middle + conv(enlarged(state, size, self.mode))
        y: Tensor = self.conv2(middle.relu())
        if self.shortcut is not None:
            y = y + self.shortcut(enlarged(x, size, self.mode))
        return middle, y


class AutoganGenerator(nn.Module):
    """Three blocks with skips to all later ones; the one normalisation is before the last layer.

    Args:
        image_shape: Channels, height, width of an image; the sides are equal, a multiple of 8.
        channels: How many there are everywhere, published 256.
        latent: Length of the latent vector, published 128.

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
        self.blocks = nn.ModuleList(
            SkipBlock(channels, mode, before, shortcut=before < CELLS - 1)
            for before, mode in enumerate(MODES)
        )
        self.norm = nn.BatchNorm2d(channels)
        self.to_image = convolution(channels, image_shape[0], 3)

    def forward(self, z: Tensor) -> Tensor:
        """Map latent vectors ``(B, latent)`` to images ``(B, C, H, W)`` in [-1, 1]."""
        x: Tensor = self.dense(z).view(-1, self.channels, self.bottom, self.bottom)
        earlier: list[Tensor] = []
        for block in self.blocks:
            middle, x = block(x, list(earlier))
            earlier.append(middle)
        image: Tensor = self.to_image(self.norm(x).relu()).tanh()
        return image
