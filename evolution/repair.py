"""Bringing a member within limits by small changes, where chance alone would hardly meet them.

In a band that holds one of five hundred random members, drawing until one lies in it costs five
hundred counts; a walk downhill in the distance to the band costs some tens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from nas.core.architecture import Architecture
from nas.core.space import Space

__all__ = ["Distance", "repaired"]

Distance: TypeAlias = Callable[[Architecture], float]
"""How far a member is from keeping the limits; 0 if it does."""

TRIES: Final = 200
"""Changes that are tried before a member is given up."""


def repaired(
    space: Space,
    member: Architecture,
    distance: Distance,
    rng: np.random.Generator,
    tries: int = TRIES,
) -> Architecture | None:
    """A member within the limits, by changes of one choice each of which comes nearer.

    Args:
        space: The space.
        member: Where to begin; it is returned if it is within the limits.
        distance: To the limits.
        rng: Draws the changes.
        tries: Most changes that are tried, those that are not taken included.

    Returns:
        None if the walk ended outside.
    """
    left = distance(member)
    for _ in range(tries):
        if left <= 0:
            return member
        changed = space.mutate(member, rng)
        there = distance(changed)
        if there < left:
            member, left = changed, there
    return member if left <= 0 else None
