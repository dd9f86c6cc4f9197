"""A real number of a range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.core.choices.base import Choice, Value
from nas.core.errors import SpaceError

NEARBY_STEP = 0.1
"""How far, in the unit interval, the two neighbours of a real value lie."""


@dataclass(frozen=True)
class Real(Choice):
    """A number from `low` to `high`, both included, drawn uniformly in it or in its logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", float(self.low))  # 1 and 1.0 would have different ids
        object.__setattr__(self, "high", float(self.high))
        finite = math.isfinite(self.high - self.low)
        if not finite or self.high <= self.low or (self.log and self.low <= 0):
            raise SpaceError(
                f"choice {self.name!r} ranges from {self.low} to {self.high}",
                "expected finite low < high, and low > 0 on a logarithmic range",
            )

    @property
    def changeable(self) -> bool:
        return True

    def count(self, below: Callable[[tuple[Choice, ...]], int | None]) -> int | None:
        return None

    def values(self) -> Iterator[Value]:
        raise SpaceError(f"choice {self.name!r} is a real range", "it cannot be enumerated")

    def fill(self) -> Iterator[Value]:
        """The middle of the range (of its logarithm), for all of the range cannot be listed."""
        return iter((self._at(0.5),))

    def draw(self, rng: np.random.Generator) -> Value:
        return self._at(float(rng.random()))

    def change(self, value: Value, rng: np.random.Generator) -> Value:
        place = self._place(value)
        while True:
            moved = abs((place + rng.normal(0.0, 2 * NEARBY_STEP)) % 2.0)  # reflected at the ends
            new = self._at(min(moved, 2.0 - moved))
            if new != value:
                return new

    def nearby(self, value: Value) -> Iterator[Value]:
        place = self._place(value)
        for moved in (place - NEARBY_STEP, place + NEARBY_STEP):
            new = self._at(moved) if 0.0 <= moved <= 1.0 else value
            if new != value:
                yield new

    def check(self, value: Any) -> Value:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(value, f"a number from {self.low} to {self.high}")
        if not self.low <= value <= self.high:
            raise self.wrong(value, f"a number from {self.low} to {self.high}")
        return float(value) + 0.0  # no minus zero

    def width(self, conditional: bool) -> int:
        return 1 + int(conditional)

    def encode(self, value: Value | None, conditional: bool) -> list[float]:
        if value is None:
            return [0.0] * self.width(conditional)
        return [self._place(value), 1.0] if conditional else [self._place(value)]

    def decode(self, code: Sequence[float], conditional: bool) -> Value | None:
        if conditional and code[1] <= 0:
            return None
        return self._at(code[0])

    def _place(self, value: Value) -> float:
        assert isinstance(value, int | float)
        if self.log:
            place = (math.log(value) - math.log(self.low)) / self._log_ratio
        else:
            place = (value - self.low) / (self.high - self.low)
        return min(max(place, 0.0), 1.0)

    @property
    def _log_ratio(self) -> float:
        return math.log(self.high) - math.log(self.low)  # high / low could overflow

    def _at(self, place: float) -> float:
        if self.log:
            value = math.exp(math.log(self.low) + place * self._log_ratio)
        else:
            value = self.low + (self.high - self.low) * place
        return min(max(value, self.low), self.high) + 0.0
