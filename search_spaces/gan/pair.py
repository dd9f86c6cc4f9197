"""A generator and a discriminator as one module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from search_spaces.gan.discriminator import Discriminator
from search_spaces.gan.generator import Generator

__all__ = ["CellPair", "Pair"]


class Pair(nn.Module):
    """Two networks that are trained against each other; what they compute is images.

    Attributes:
        generator: Maps latent vectors ``(B, generator.latent)`` to images in [-1, 1].
        discriminator: Maps images to scores ``(B, 1)``.
    """

    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator

    def forward(self, z: Tensor) -> Tensor:
        """Map latent vectors ``(B, latent)`` to images ``(B, C, H, W)`` in [-1, 1]."""
        images: Tensor = self.generator(z)
        return images


class CellPair(Pair):
    """A generator and a discriminator of cells.

    Args:
        generator: Arguments of the `Generator`.
        discriminator: Arguments of the `Discriminator`.

    Attributes:
        arguments: The arguments.
    """

    generator: Generator
    discriminator: Discriminator

    def __init__(self, generator: Mapping[str, Any], discriminator: Mapping[str, Any]) -> None:
        super().__init__(Generator(**generator), Discriminator(**discriminator))
        self.arguments = {
            "generator": self.generator.arguments,
            "discriminator": self.discriminator.arguments,
        }
