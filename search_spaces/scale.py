"""Macro settings of networks: defaults, types and ranges; no torch here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from nas.core.errors import SpaceError
from nas.core.registry import close_matches

__all__ = ["InputShape", "Setting", "Skeleton", "check_input", "read_scale"]

InputShape: TypeAlias = tuple[int, int, int]
"""Channels, height, width of an image."""

Setting: TypeAlias = bool | int | float | str
"""A macro setting."""

_LARGEST = 4096
_EXPECTED: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


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
    defaults: Mapping[str, Setting],
    given: Mapping[str, object],
    least: Mapping[str, int],
    multiple: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Complete and check the scale arguments of a network.

    Args:
        defaults: Every setting with its default; the default's type is the setting's. Whole
            numbers go for floats, too.
        given: What the caller asked for.
        least: Smallest allowed whole number, where it is not 1.
        multiple: What a whole number must be a multiple of, where it is not 1.

    Raises:
        SpaceError: A setting is unknown, of the wrong type or out of range.
    """
    result: dict[str, Any] = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise SpaceError(f"unknown scale setting {name!r}", close_matches(name, defaults))
        _check_setting(name, value, type(defaults[name]), least.get(name, 1))
        result[name] = value
    for name, factor in (multiple or {}).items():
        if result[name] % factor:
            raise SpaceError(
                f"scale setting {name} is {result[name]}", f"expected a multiple of {factor}"
            )
    return result


def _check_setting(name: str, value: Any, kind: type, smallest: int) -> None:
    """Refuse a value that is none of the type `kind`.

    Raises:
        SpaceError: It is of another type, a whole number out of range or a float not finite.
    """
    fits = isinstance(value, (float, int) if kind is float else kind)
    if not fits or isinstance(value, bool) != (kind is bool):
        expected = _EXPECTED.get(kind, kind.__name__)
        raise SpaceError(f"scale setting {name} is {value!r}", f"expected {expected}")
    if kind is int and not smallest <= value <= _LARGEST:
        raise SpaceError(f"scale setting {name} is {value}", f"expected {smallest} to {_LARGEST}")
    if kind is float and not abs(value) <= sys.float_info.max:
        raise SpaceError(f"scale setting {name} is {value}", "expected a finite number")


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
