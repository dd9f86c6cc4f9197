"""The tree of choices: everything a space can do with assignments, written once.

An assignment is a dict from the name of every *active* choice to its value. A
choice is active if it is at the root or if its parent's value activates it.
Order never depends on how the tree was put together: choices are walked
sorted by name at every level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from nas.core.choices import Choice, Value
from nas.core.errors import SpaceError
from nas.core.registry import close_matches

Assignment: TypeAlias = dict[str, Value]
_Stack: TypeAlias = "tuple[Choice, _Stack] | None"


@dataclass(frozen=True)
class ChoiceTree:
    """An immutable tree of choices.

    Raises:
        SpaceError: Two different choices of the tree have the same name.
    """

    choices: tuple[Choice, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", _by_name(self.choices))
        slots = tuple(_slots(self.choices, conditional=False))
        counts = Counter(choice.name for choice, _ in slots)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise SpaceError(f"two choices are named {twice[0]!r}", "names are unique in a tree")
        object.__setattr__(self, "_slots", slots)

    @property
    def slots(self) -> tuple[tuple[Choice, bool], ...]:
        """Every choice of the tree with whether it is conditional, in canonical order."""
        return self._slots  # type: ignore[attr-defined, no-any-return]

    @property
    def size(self) -> int | None:
        """Number of distinct assignments; None if a choice is a real range."""
        known: dict[str, int | None] = {}  # a child shared by many options is counted once

        def size(choices: tuple[Choice, ...]) -> int | None:
            total = 1
            for choice in choices:
                if choice.name not in known:
                    known[choice.name] = choice.count(size)
                below = known[choice.name]
                if below is None:
                    return None
                total *= below
            return total

        return size(self.choices)

    def active(self, values: Mapping[str, Value]) -> list[Choice]:
        """The active choices of a valid assignment, in canonical order."""
        return list(_walk(self.choices, values))

    def validate(self, values: Mapping[str, Any]) -> Assignment:
        """`values` in canonical order and types.

        Raises:
            SpaceError: A choice is missing, unknown, inactive or has a foreign value.
        """
        known = {choice.name for choice, _ in self.slots}
        for name in values:
            if name not in known:
                raise SpaceError(f"unknown choice {name!r}", close_matches(str(name), known))
        result: Assignment = {}
        pending = list(reversed(self.choices))
        while pending:
            choice = pending.pop()
            if choice.name not in values:
                raise SpaceError(f"choice {choice.name!r} has no value", "add it")
            value = result[choice.name] = choice.check(values[choice.name])
            pending.extend(reversed(_by_name(choice.children(value))))
        for name in values:
            if name not in result:
                raise SpaceError(f"choice {name!r} is not active beside the others", "remove it")
        return result

    def sample(self, rng: np.random.Generator) -> Assignment:
        """A random assignment: every active choice uniform over its own values."""
        return _complete(self.choices, {}, rng)

    def mutate(self, values: Mapping[str, Value], rng: np.random.Generator) -> Assignment:
        """One active choice, drawn uniformly among those that can change, gets another value.

        Choices that become active are drawn anew, those that cease to be are dropped.
        """
        movable = [choice for choice in _walk(self.choices, values) if choice.changeable]
        if not movable:
            raise SpaceError("the space has a single member", "nothing can be mutated")
        choice = movable[rng.integers(len(movable))]
        changed = {**values, choice.name: choice.change(values[choice.name], rng)}
        return _complete(self.choices, changed, rng)

    def crossover(
        self, first: Mapping[str, Value], second: Mapping[str, Value], rng: np.random.Generator
    ) -> Assignment:
        """Uniform crossover: each active choice from either parent in which it is active."""
        result: Assignment = {}
        pending = list(reversed(self.choices))
        while pending:
            choice = pending.pop()
            parents = [p[choice.name] for p in (first, second) if choice.name in p]
            value = result[choice.name] = parents[rng.integers(len(parents))]
            pending.extend(reversed(_by_name(choice.children(value))))
        return result

    def neighbors(self, values: Mapping[str, Value]) -> Iterator[Assignment]:
        """Every assignment one step away in one choice, with all values of what that activates.

        Of a real range that becomes active, only the middle is taken.
        """
        for choice in _walk(self.choices, values):
            for other in choice.nearby(values[choice.name]):
                yield from _completions(self.choices, {**values, choice.name: other})

    def enumerate(self) -> Iterator[Assignment]:
        """All `size` assignments, lazily.

        Raises:
            SpaceError: A choice is a real range.
        """
        if self.size is None:
            names = [choice.name for choice, _ in self.slots if choice.count(lambda _: 1) is None]
            raise SpaceError(f"choice {names[0]!r} is a real range", "it cannot be enumerated")
        return _completions(self.choices, {})

    @property
    def encoding_size(self) -> int:
        """Length of the vectors of `encode`."""
        return sum(choice.width(conditional) for choice, conditional in self.slots)

    def encode(self, values: Mapping[str, Value]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Float vector `(encoding_size,)` in [0, 1]: one-hot, multi-hot or scaled; inactive: 0."""
        code: list[float] = []
        for choice, conditional in self.slots:
            code.extend(choice.encode(values.get(choice.name), conditional))
        return np.array(code, dtype=np.float64)

    def decode(self, code: np.ndarray[Any, np.dtype[np.float64]]) -> Assignment:
        """The assignment that `encode` turned into `code` (real values up to rounding).

        Raises:
            SpaceError: The vector's length is wrong or it codes no valid assignment.
        """
        if code.shape != (self.encoding_size,):
            raise SpaceError(f"code of shape {code.shape}", f"expected ({self.encoding_size},)")
        if not np.all((code >= 0.0) & (code <= 1.0)):
            raise SpaceError("code holds a number outside [0, 1]", "encode gives none")
        values: dict[str, Value] = {}
        start = 0
        for choice, conditional in self.slots:
            end = start + choice.width(conditional)
            value = choice.decode([float(c) for c in code[start:end]], conditional)
            if value is not None:
                values[choice.name] = value
            start = end
        return self.validate(values)


def _by_name(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    return tuple(sorted(choices, key=lambda choice: choice.name))


def _slots(choices: tuple[Choice, ...], conditional: bool) -> Iterator[tuple[Choice, bool]]:
    for choice in choices:
        yield choice, conditional
        yield from _slots(_by_name(choice.descendants()), conditional=True)


def _walk(choices: tuple[Choice, ...], values: Mapping[str, Value]) -> Iterator[Choice]:
    for choice in choices:
        yield choice
        yield from _walk(_by_name(choice.children(values[choice.name])), values)


def _complete(
    choices: tuple[Choice, ...], values: Mapping[str, Value], rng: np.random.Generator
) -> Assignment:
    """The part of `values` that is active, what is missing drawn at random."""
    result: Assignment = {}
    for choice in choices:
        value = values[choice.name] if choice.name in values else choice.draw(rng)
        result[choice.name] = value
        if children := choice.children(value):
            result.update(_complete(_by_name(children), values, rng))
    return result


def _completions(choices: tuple[Choice, ...], values: Mapping[str, Value]) -> Iterator[Assignment]:
    """Every assignment of `choices` that agrees with `values` where those are given.

    Depth first over an explicit stack, so that the number of choices is not limited by Python's.
    """
    done: Assignment = {}
    todo = _stacked(choices, None)
    path: list[tuple[Choice, _Stack, Iterator[Value]]] = []
    while True:
        if todo is None:
            yield dict(done)
        else:
            choice, rest = todo
            given = choice.name in values
            path.append((choice, rest, iter((values[choice.name],)) if given else choice.fill()))
        while path:  # the next value of the last choice that has one
            choice, rest, options = path[-1]
            value = next(options, None)
            if value is not None:
                done[choice.name] = value
                todo = _stacked(_by_name(choice.children(value)), rest)
                break
            done.pop(choice.name, None)
            path.pop()
        else:
            return


def _stacked(choices: tuple[Choice, ...], rest: _Stack) -> _Stack:
    for choice in reversed(choices):
        rest = choice, rest
    return rest
