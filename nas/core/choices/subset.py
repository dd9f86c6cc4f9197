"""Several of the options at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from nas.core.choices.base import Choice, Option, Value
from nas.core.choices.options import Optioned
from nas.core.errors import SpaceError


@dataclass(frozen=True)
class Subset(Optioned):
    """Between `smallest` and `largest` of the options; children of every chosen option are active.

    The value is a tuple in the order of `options`. Two options cannot share a child (those of a
    categorical choice can): chosen together they would activate it twice.
    """

    smallest: int = 0
    largest: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.largest is None:
            object.__setattr__(self, "largest", len(self.options))
        if not 0 <= self.smallest <= self.most <= len(self.options):
            raise SpaceError(
                f"choice {self.name!r} takes {self.smallest} to {self.largest} "
                f"of {len(self.options)} options"
            )
        names = [child.name for below in self.under.values() for child in below]
        if len(set(names)) < len(names):
            raise SpaceError(
                f"two options of the subset {self.name!r} share a child", "give each its own"
            )

    @property
    def most(self) -> int:
        """`largest`, resolved."""
        return len(self.options) if self.largest is None else self.largest

    def children(self, value: Value) -> tuple[Choice, ...]:
        assert isinstance(value, tuple)
        return tuple(child for option in value for child in self.under.get(option, ()))

    @property
    def changeable(self) -> bool:
        return self.smallest < self.most or 0 < self.most < len(self.options)

    def count(self, below: Callable[[tuple[Choice, ...]], int | None]) -> int | None:
        # Coefficient k of prod(1 + size_i x) counts the assignments with k chosen options.
        ways = [1] + [0] * len(self.options)
        for option in self.options:
            size = below(self.under.get(option, ()))
            if size is None:
                return None
            for k in range(len(self.options), 0, -1):
                ways[k] += size * ways[k - 1]
        return sum(ways[self.smallest : self.most + 1])

    def values(self) -> Iterator[Value]:
        for size in range(self.smallest, self.most + 1):
            yield from combinations(self.options, size)

    def draw(self, rng: np.random.Generator) -> Value:
        sizes = range(self.smallest, self.most + 1)
        ways = np.array([math.comb(len(self.options), size) for size in sizes], dtype=float)
        size = sizes[int(rng.choice(len(ways), p=ways / ways.sum()))]
        chosen = np.sort(rng.choice(len(self.options), size, replace=False))
        return tuple(self.options[i] for i in chosen)

    def change(self, value: Value, rng: np.random.Generator) -> Value:
        others = list(self.nearby(value))
        return others[rng.integers(len(others))]

    def nearby(self, value: Value) -> Iterator[Value]:
        """One member exchanged, added or left out."""
        assert isinstance(value, tuple)
        inside = set(value)
        outside = [option for option in self.options if option not in inside]
        for old in value:
            for new in outside:
                yield self._ordered(inside - {old} | {new})
        if len(value) > self.smallest:
            for old in value:
                yield self._ordered(inside - {old})
        if len(value) < self.most:
            for new in outside:
                yield self._ordered(inside | {new})

    def check(self, value: Any) -> Value:
        expected = f"{self.smallest} to {self.most} of {', '.join(map(str, self.options))}"
        if not isinstance(value, list | tuple):
            raise self.wrong(value, expected)
        members = {self._option(item) for item in value}
        if len(members) < len(value) or not self.smallest <= len(value) <= self.most:
            raise self.wrong(value, expected)
        return self._ordered(members)

    def width(self, conditional: bool) -> int:
        return len(self.options) + int(conditional and self.smallest == 0)

    def encode(self, value: Value | None, conditional: bool) -> list[float]:
        chosen = value if isinstance(value, tuple) else ()
        code = [float(option in chosen) for option in self.options]
        if conditional and self.smallest == 0:
            code.append(float(value is not None))
        return code

    def decode(self, code: Sequence[float], conditional: bool) -> Value | None:
        if conditional and max(code) <= 0:
            return None
        return tuple(o for o, c in zip(self.options, code, strict=False) if c > 0.5)

    def _ordered(self, members: set[Option]) -> tuple[Option, ...]:
        return tuple(option for option in self.options if option in members)
