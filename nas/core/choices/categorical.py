"""One of several unordered options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.core.choices.base import Choice, Value
from nas.core.choices.options import Optioned


@dataclass(frozen=True)
class Categorical(Optioned):
    """One of several unordered options; `under` maps an option to the choices it makes active."""

    def children(self, value: Value) -> tuple[Choice, ...]:
        return self.under.get(value, ())  # type: ignore[arg-type]

    @property
    def changeable(self) -> bool:
        return len(self.options) > 1

    def count(self, below: Callable[[tuple[Choice, ...]], int | None]) -> int | None:
        total = 0
        for option in self.options:
            size = below(self.children(option))
            if size is None:
                return None
            total += size
        return total

    def values(self) -> Iterator[Value]:
        return iter(self.options)

    def draw(self, rng: np.random.Generator) -> Value:
        return self.options[rng.integers(len(self.options))]

    def change(self, value: Value, rng: np.random.Generator) -> Value:
        others = list(self.nearby(value))
        return others[rng.integers(len(others))]

    def nearby(self, value: Value) -> Iterator[Value]:
        return (option for option in self.options if option != value)

    def check(self, value: Any) -> Value:
        return self._option(value)

    def width(self, conditional: bool) -> int:
        return len(self.options)

    def encode(self, value: Value | None, conditional: bool) -> list[float]:
        return [float(value is not None and option == value) for option in self.options]

    def decode(self, code: Sequence[float], conditional: bool) -> Value | None:
        if conditional and max(code) <= 0:
            return None
        return self.options[int(np.argmax(code))]
