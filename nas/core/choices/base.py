"""What every choice is: its values, and the error for what is none of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from nas.core.errors import SpaceError

Option: TypeAlias = str | int | float | bool
Value: TypeAlias = Option | tuple[Option, ...]


@dataclass(frozen=True)
class Choice(ABC):
    """One named decision; names are unique in a tree, by convention paths such as `normal/0/op`."""

    name: str

    def children(self, value: Value) -> tuple[Choice, ...]:
        """The choices that become active when this one takes `value`."""
        return ()

    def descendants(self) -> tuple[Choice, ...]:
        """Every direct child under any value, each once."""
        return ()

    @property
    @abstractmethod
    def changeable(self) -> bool:
        """Whether there is more than one value."""

    @abstractmethod
    def count(self, below: Callable[[tuple[Choice, ...]], int | None]) -> int | None:
        """Number of assignments of this choice and everything below, None if infinite."""

    @abstractmethod
    def values(self) -> Iterator[Value]:
        """Every value in a fixed order; SpaceError where there are infinitely many."""

    def fill(self) -> Iterator[Value]:
        """The values to go through where this choice becomes active beside a neighbor."""
        return self.values()

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Value:
        """A uniformly random value (log-uniform on a logarithmic range)."""

    @abstractmethod
    def change(self, value: Value, rng: np.random.Generator) -> Value:
        """A random value other than `value`, close to it where closeness has a meaning."""

    @abstractmethod
    def nearby(self, value: Value) -> Iterator[Value]:
        """The values one step away from `value`."""

    @abstractmethod
    def check(self, value: Any) -> Value:
        """`value` in canonical form; SpaceError if it is not one of this choice's."""

    @abstractmethod
    def width(self, conditional: bool) -> int:
        """How many numbers `encode` gives."""

    @abstractmethod
    def encode(self, value: Value | None, conditional: bool) -> list[float]:
        """Numbers in [0, 1] for `value`; all zero for None, an inactive conditional choice."""

    @abstractmethod
    def decode(self, code: Sequence[float], conditional: bool) -> Value | None:
        """The value that `encode` made `code` from."""

    def wrong(self, value: Any, expected: str) -> SpaceError:
        """The error for a value that is not one of this choice's."""
        return SpaceError(
            f"choice {self.name!r} has the value {_shown(value)}", f"expected {expected}"
        )


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except (RecursionError, ValueError):  # endless nesting, or a number with too many digits
        return f"of type {type(value).__name__}"
