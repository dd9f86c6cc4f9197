"""A generator and a discriminator of known networks, as one module.

An exported ``model.py`` holds the source of these classes too, so they need torch only.
"""

from __future__ import annotations

from torch import nn

from search_spaces.gan.baselines.autogan import AutoganGenerator
from search_spaces.gan.baselines.r3gan import BareDiscriminator, BareGenerator
from search_spaces.gan.baselines.simple import SimpleDiscriminator
from search_spaces.gan.baselines.sngan import BLOCKS, NormalisedGenerator
from search_spaces.gan.discriminator import Discriminator
from search_spaces.gan.pair import Pair

__all__ = ["BaselinePair"]

GENERATORS = {
    "sngan": NormalisedGenerator,
    "r3gan": BareGenerator,
    "autogan": AutoganGenerator,
}


class BaselinePair(Pair):
    """A generator and a discriminator of known networks.

    Args:
        kinds: Of the generator, ``sngan``, ``r3gan`` or ``autogan``, and of the discriminator,
            one of these or ``simple``.
        image_shape: Channels, height, width of an image.
        channels: Of generator and discriminator.
        latent: Length of the latent vector.
        spectral_norm: Whether a discriminator other than ``r3gan`` divides weights by their largest
            singular values, those that its authors divide.

    Attributes:
        arguments: The arguments.
    """

    def __init__(
        self,
        kinds: tuple[str, str],
        image_shape: tuple[int, int, int],
        *,
        channels: tuple[int, int],
        latent: int,
        spectral_norm: bool,
    ) -> None:
        kind, width = kinds[1], channels[1]
        discriminator: nn.Module
        if kind == "r3gan":
            discriminator = BareDiscriminator(image_shape, width)
        elif kind == "simple":
            discriminator = SimpleDiscriminator(image_shape, width, spectral_norm)
        else:  # AutoGAN's has the blocks of SNGAN's, but no bias in the end
            discriminator = Discriminator(
                BLOCKS,
                image_shape,
                channels=width,
                spectral_norm=spectral_norm,
                bias=kind == "sngan",
            )
        super().__init__(GENERATORS[kinds[0]](image_shape, channels[0], latent), discriminator)
        self.arguments = {
            "kinds": tuple(kinds),
            "image_shape": tuple(image_shape),
            "channels": tuple(channels),
            "latent": latent,
            "spectral_norm": spectral_norm,
        }
