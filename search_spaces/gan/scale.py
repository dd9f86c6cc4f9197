"""Macro settings of generators and discriminators, and the images they are built for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nas.core.errors import SpaceError
from search_spaces.gan.genes import CELLS
from search_spaces.scale import InputShape, check_input, read_scale

__all__ = ["GENERATOR_SCALE", "LEAST", "MULTIPLE", "SCALES", "check_images", "settings"]

GENERATOR_SCALE: Final[Mapping[str, Any]] = {"generator_channels": 256, "latent": 120}
DISCRIMINATOR_SCALE: Final[Mapping[str, Any]] = {
    "discriminator_channels": 128,
    "spectral_norm": True,
}
SCALES: Final = {"generator": GENERATOR_SCALE, "discriminator": DISCRIMINATOR_SCALE}
"""Published for CIFAR-10 and STL-10."""

LEAST: Final[Mapping[str, int]] = {"latent": CELLS}
MULTIPLE: Final[Mapping[str, int]] = {"latent": CELLS}

_DOUBLED: Final = 2**CELLS
_LARGEST: Final = 64


def check_images(input_shape: InputShape) -> None:
    """Refuse images that three doublings do not reach.

    Raises:
        SpaceError: They are not square, or their side is no multiple of 8 from 8 to 64.
    """
    check_input(input_shape, 1)
    height, width = input_shape[1:]
    if height != width or height % _DOUBLED or not _DOUBLED <= height <= _LARGEST:
        raise SpaceError(
            f"no GAN of cells for images of {height}x{width} pixels",
            f"expected a square of a side that {_DOUBLED} divides, {_DOUBLED} to {_LARGEST}:"
            " pad or resize the images",
        )


def settings(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete and check macro settings (see `read_scale`).

    Raises:
        SpaceError: One is unknown, of the wrong type or out of range.
    """
    own = {name: factor for name, factor in MULTIPLE.items() if name in defaults}
    return read_scale(defaults, given, LEAST, own)
