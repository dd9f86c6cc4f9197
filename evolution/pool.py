"""A pool of members spread evenly over a space, all of them within limits.

Quasi-random points fill a cube more evenly than chance does (Sobol 1967; scrambled as by Owen,
"Scrambling Sobol' and Niederreiter-Xing points", 1998). One coordinate decides one choice of the
tree, so that every option of a choice is drawn equally often, to within a few in thousands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import numpy as np

from evolution.repair import Distance, repaired
from nas.core.architecture import Architecture
from nas.core.choices import Choice, Real, Value
from nas.core.space import Space
from nas.core.tree import ChoiceTree

__all__ = ["feasible_pool", "quasi_random"]

BLOCK: Final = 10
"""Binary logarithm of how many points are made at a time."""

LONGEST: Final = 2**20
"""Points after which a sequence is not continued."""

LISTED: Final = 100_000
"""A choice with more values than that is drawn from the first ones."""

DRAWS: Final = 4
"""Points for every member wanted, after which members outside of the limits are repaired."""


def quasi_random(space: Space, seed: int) -> Iterator[Architecture]:
    """Members for the points of a scrambled Sobol sequence; points of no member are left out.

    Every prefix is spread evenly. Choices that a member does not have leave their coordinate
    unused. It ends after a million points.

    Args:
        space: The space.
        seed: Of the scrambling.
    """
    from scipy.stats import qmc  # half a second that most searches need not wait

    slots = [choice for choice, _ in space.tree.slots]
    place = {choice.name: column for column, choice in enumerate(slots)}
    listed = {choice.name: _listed(choice) for choice in slots}
    points = qmc.Sobol(len(slots), scramble=True, seed=np.random.default_rng(seed))
    for _ in range(LONGEST >> BLOCK):
        for point in points.random(1 << BLOCK).tolist():
            values = {
                choice.name: _value(choice, listed[choice.name], point[place[choice.name]])
                for choice in slots
            }
            choices = _active(space.tree, values)
            if not space.refusal(choices):
                yield space.architecture(choices)


def feasible_pool(
    space: Space,
    count: int,
    distance: Distance,
    seed: int,
    taken: frozenset[str] = frozenset(),
) -> list[Architecture]:
    """Different members within the limits, none of which computes the same as another one.

    Of a space that has no more than `count` members all of them are looked at, in random order.
    Otherwise quasi-random ones; where the limits leave less than one in four of those, then all of
    a space that is small enough to be listed, and of a larger one members that are brought within
    the limits by small changes (`evolution.repair`).

    Args:
        space: The space.
        count: How many are wanted; fewer are given if no more are found.
        distance: To the limits.
        seed: Of all chance.
        taken: Identities (`Space.identity`) of members that are not wanted.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, Architecture] = {}
    members = _within(space, count, distance, seed, rng)
    while len(found) < count and (member := next(members, None)) is not None:
        identity = space.identity(member)
        if identity not in taken:
            found.setdefault(identity, member)
    return list(found.values())


def _within(
    space: Space, count: int, distance: Distance, seed: int, rng: np.random.Generator
) -> Iterator[Architecture]:
    """Members within the limits, some of them again and again."""
    if space.size is not None and space.size <= count:
        yield from _listed_within(space, distance, rng)
        return
    outside: list[Architecture] = []
    for member in islice(quasi_random(space, seed), DRAWS * count):
        if distance(member) <= 0:
            yield member
        elif len(outside) < count:
            outside.append(member)
    if space.size is not None and space.size <= WHOLE:
        yield from _listed_within(space, distance, rng)
        return
    inside: list[Architecture] = []
    failures = 0
    for turn in range(DRAWS * count):
        if turn < len(outside) and len(inside) < STARTS:
            start = outside[turn]
        elif inside:
            start = _walked(space, inside[int(rng.integers(len(inside)))], rng)
        else:
            start = space.sample(rng)
        near = repaired(space, start, distance, rng)
        failures = failures + 1 if near is None else 0
        if near is not None:
            inside.append(near)
            yield near
        elif failures == BARREN:
            return


def _listed_within(
    space: Space, distance: Distance, rng: np.random.Generator
) -> Iterator[Architecture]:
    """All members within the limits, in random order."""
    every = list(space.enumerate())
    shuffled = (every[int(row)] for row in rng.permutation(len(every)))
    return (member for member in shuffled if distance(member) <= 0)


def _walked(space: Space, member: Architecture, rng: np.random.Generator) -> Architecture:
    for _ in range(STEPS):
        member = space.mutate(member, rng)
    return member


WHOLE: Final = 50_000
"""Spaces up to this size are listed where limits leave little of them."""

STARTS: Final = 256
"""Members repaired from quasi-random ones, after which walks away from them are."""

STEPS: Final = 3
"""Choices that such a walk changes."""

BARREN: Final = 64
"""Repairs that fail in a row after which no more members are looked for."""


def _listed(choice: Choice) -> list[Value]:
    return [] if isinstance(choice, Real) else list(islice(choice.values(), LISTED))


def _value(choice: Choice, listed: list[Value], place: float) -> Value:
    """The value at a place of [0, 1)."""
    if listed:
        return listed[min(math.floor(place * len(listed)), len(listed) - 1)]
    value = choice.decode([place], False)
    assert value is not None
    return value


def _active(tree: ChoiceTree, values: Mapping[str, Value]) -> dict[str, Any]:
    """The part of `values` whose choices are active."""
    result: dict[str, Any] = {}
    pending = list(tree.choices)
    while pending:
        choice = pending.pop()
        result[choice.name] = values[choice.name]
        pending.extend(choice.children(values[choice.name]))
    return result
