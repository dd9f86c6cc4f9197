"""Macro settings of networks: defaults, types and ranges; no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nas.core.errors import SpaceError
from nas.core.registry import close_matches

__all__ = ["InputShape", "Skeleton", "check_input", "read_scale"]

InputShape: TypeAlias = tuple[int, int, int]
"""Channels, height, width of an image."""

_LARGEST = 4096


@dataclass(frozen=True)
class Skeleton:
    """What a network is besides its cells.

    Attributes:
        input_shape: Channels, height, width of an image.
        num_classes: Number of logits.
        channels: Channels of the first cells.
        layers: Number of cells, or of those in each stage where a space has stages.
        auxiliary: Whether there is an auxiliary head.
    """

    input_shape: InputShape
    num_classes: int
    channels: int
    layers: int
    auxiliary: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.input_shape[1], self.input_shape[2]


def read_scale(
    defaults: Mapping[str, int | bool],
    given: Mapping[str, object],
    least: Mapping[str, int],
) -> dict[str, int | bool]:
    """Complete and check the scale arguments of a network.

    Args:
        defaults: Every setting with its default; the default's type is the setting's.
        given: What the caller asked for.
        least: Smallest allowed value, where it is not 1.

    Raises:
        SpaceError: A setting is unknown, of the wrong type or out of range.
    """
    result = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise SpaceError(f"unknown scale setting {name!r}", close_matches(name, defaults))
        expected = "true or false" if isinstance(defaults[name], bool) else "a whole number"
        if not isinstance(value, int) or isinstance(value, bool) != isinstance(
            defaults[name], bool
        ):
            raise SpaceError(f"scale setting {name} is {value!r}", f"expected {expected}")
        smallest = least.get(name, 1)
        if not isinstance(value, bool) and not smallest <= value <= _LARGEST:
            raise SpaceError(
                f"scale setting {name} is {value}", f"expected {smallest} to {_LARGEST}"
            )
        result[name] = value
    return result


def check_input(input_shape: InputShape, num_classes: int) -> None:
    """Check what a network is to be built for.

    Raises:
        SpaceError: A dimension or the number of classes is less than 1.
    """
    if len(input_shape) != 3 or min(input_shape) < 1 or num_classes < 1:
        raise SpaceError(
            f"no network for input_shape {tuple(input_shape)} and {num_classes} classes",
            "expected (channels, height, width) and classes, all at least 1",
        )
