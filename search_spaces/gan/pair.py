"""A generator and a discriminator as one module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from search_spaces.gan.discriminator import Discriminator
from search_spaces.gan.generator import Generator
from search_spaces.gan.genes import Genotype

__all__ = ["CellPair", "Pair", "build"]


class Pair(nn.Module):
    """Two networks that are trained against each other; what they compute is images.

    Attributes:
        generator: Maps latent vectors ``(B, generator.latent)`` to images in [-1, 1]; those of
            `BareGenerator`, which has no tanh, may go beyond.
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


def build(
    paths: Mapping[str, Genotype],
    image_shape: tuple[int, int, int],
    settings: Mapping[str, Any],
    every: bool,
) -> nn.Module:
    """A generator, a discriminator, or the pair, according to the parts that there are paths of.

    Args:
        paths: Rows of operations by name of the part.
        image_shape: Channels, height, width of an image.
        settings: Complete and checked (`search_spaces.gan.scale`).
        every: Hold every operation on every edge.
    """
    common = {"image_shape": image_shape, "every": every}
    arguments: dict[str, dict[str, Any]] = {}
    for part, path in paths.items():
        channels = settings[f"{part}_channels"]
        arguments[part] = {"rows": path, **common, "channels": channels}
    if "generator" in paths:
        arguments["generator"]["latent"] = settings["latent"]
    if "discriminator" in paths:
        arguments["discriminator"]["spectral_norm"] = settings["spectral_norm"]
    if len(arguments) > 1:
        return CellPair(**arguments)
    if "generator" in arguments:
        return Generator(**arguments["generator"])
    return Discriminator(**arguments["discriminator"])
