"""The kinds of decision a search space is made of.

A choice knows its own values and nothing of the tree around it; the walk over
choices and their conditional children is written once, in `nas.core.tree`.
Every kind is immutable and equal by content.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from nas.core.canonical import plain
from nas.core.errors import SpaceError

Option: TypeAlias = str | int | float | bool
Value: TypeAlias = Option | tuple[Option, ...]
Children: TypeAlias = Mapping[Option, "tuple[Choice, ...]"]

MAX_VALUES = 2**53
"""Most values of an integer range: floats place no more than these apart."""

NEARBY_STEP = 0.1
"""How far, in the unit interval, the two neighbours of a real value lie."""


def typed(option: Any) -> tuple[str, Any]:
    """A key that tells `True` from `1` and `1` from `1.0`, which Python calls equal."""
    return type(option).__name__, option


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


@dataclass(frozen=True)
class _Optioned(Choice):
    """What choices with listed options share; not a kind of its own."""

    options: tuple[Option, ...]
    under: Children = field(default_factory=dict, hash=False, compare=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        for option in self.options:
            if type(option) not in (str, int, float, bool):
                raise SpaceError(f"choice {self.name!r} has the option {option!r}", "expected text")
        if not self.options or len(set(self.options)) < len(self.options):
            raise SpaceError(
                f"choice {self.name!r} has no options, or some that Python calls equal: "
                f"{self.options}"
            )
        plain(self.options)  # raises where an option, such as NaN, could not be written
        under = {self._known(option): tuple(below) for option, below in self.under.items()}
        object.__setattr__(self, "under", MappingProxyType(under))
        for below in under.values():
            if len({child.name for child in below}) < len(below):
                raise SpaceError(f"two choices under {self.name!r} have the same name")

    def _known(self, option: Any) -> Option:
        if typed(option) not in map(typed, self.options):
            raise SpaceError(f"choice {self.name!r} has children under unknown {option!r}")
        return option  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "under": dict(self.under)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, under=MappingProxyType(state["under"]))

    def descendants(self) -> tuple[Choice, ...]:
        found: dict[str, Choice] = {}
        for option in self.options:
            for child in self.under.get(option, ()):
                if found.setdefault(child.name, child) != child:
                    raise SpaceError(
                        f"two different choices under {self.name!r} are named {child.name!r}",
                        "give them different names",
                    )
        return tuple(found.values())

    def _option(self, value: Any) -> Option:
        for option in self.options:
            if typed(option) == typed(value):
                return option
        raise self.wrong(value, f"one of {', '.join(map(str, self.options))}")


@dataclass(frozen=True)
class Categorical(_Optioned):
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


@dataclass(frozen=True)
class Subset(_Optioned):
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
