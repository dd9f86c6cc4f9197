"""A whole number of a range."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.core.choices.base import Choice, Value
from nas.core.errors import SpaceError

MAX_VALUES = 2**53
"""Most values of an integer range: floats place no more than these apart."""


@dataclass(frozen=True)
class Integer(Choice):
    """An ordered whole number from `low` to `high`, both included, in steps of `step`."""

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        if any(type(number) is not int for number in (self.low, self.high, self.step)):
            raise SpaceError(f"choice {self.name!r} has limits that are no whole numbers")
        if self.step < 1 or self.high < self.low or (self.high - self.low) % self.step:
            raise SpaceError(
                f"choice {self.name!r} runs from {self.low} to {self.high} by {self.step}",
                "high must be low plus a multiple of a positive step",
            )
        if (self.high - self.low) // self.step >= MAX_VALUES:
            raise SpaceError(f"choice {self.name!r} has more than {MAX_VALUES} values", "use Real")

    @property
    def _all(self) -> range:
        return range(self.low, self.high + 1, self.step)

    @property
    def changeable(self) -> bool:
        return self.high > self.low

    def count(self, below: Callable[[tuple[Choice, ...]], int | None]) -> int | None:
        return len(self._all)

    def values(self) -> Iterator[Value]:
        return iter(self._all)

    def draw(self, rng: np.random.Generator) -> Value:
        return self._all[int(rng.integers(len(self._all)))]

    def change(self, value: Value, rng: np.random.Generator) -> Value:
        assert isinstance(value, int)
        place = int(rng.integers(len(self._all) - 1))
        return self._all[place + (place >= self._all.index(value))]

    def nearby(self, value: Value) -> Iterator[Value]:
        assert isinstance(value, int)
        return (v for v in (value - self.step, value + self.step) if v in self._all)

    def check(self, value: Any) -> Value:
        if isinstance(value, bool) or not isinstance(value, int) or value not in self._all:
            steps = f" in steps of {self.step}" if self.step > 1 else ""
            raise self.wrong(value, f"a whole number from {self.low} to {self.high}{steps}")
        return int(value)

    def width(self, conditional: bool) -> int:
        return 1 + int(conditional)

    def encode(self, value: Value | None, conditional: bool) -> list[float]:
        if value is None:
            return [0.0] * self.width(conditional)
        assert isinstance(value, int)
        place = (value - self.low) / max(1, self.high - self.low)
        return [place, 1.0] if conditional else [place]

    def decode(self, code: Sequence[float], conditional: bool) -> Value | None:
        if conditional and code[1] <= 0:
            return None
        return self._all[round(code[0] * (len(self._all) - 1))]
