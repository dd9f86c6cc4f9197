"""Which choices an encoding of graphs does not see: a width, a recipe, whatever is in no graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.encodings.base import sample_of
from predictors.labels import Floats

__all__ = ["unseen_columns"]

_MEMBERS: Final = 4
_NEIGHBORS: Final = 512


def unseen_columns(
    space: Space, encode: Callable[[Sequence[Architecture]], Floats]
) -> NDArray[np.int64]:
    """Columns of `space.encode` of the choices that never change an encoding.

    Some members are compared with their neighbours. Only changes that the space itself takes for
    one, by its canonical members, count.

    Args:
        space: The space.
        encode: From architectures to vectors ``(n, width)``.
    """
    seen: set[str] = set()
    hidden: set[str] = set()
    for member in sample_of(space)[:_MEMBERS]:
        near = list(islice(space.neighbors(member), _NEIGHBORS))
        same = (encode([member, *near]) == encode([member])).all(axis=1)[1:]
        own = space.canonical(member)
        for neighbor, equal in zip(near, same, strict=True):
            names = _changed(member, neighbor)
            if not equal:
                seen |= names
            elif not names <= seen and space.canonical(neighbor) != own:
                hidden |= names
    columns: list[int] = []
    start = 0
    for choice, conditional in space.tree.slots:
        width = choice.width(conditional)
        if choice.name in hidden - seen:
            columns.extend(range(start, start + width))
        start += width
    return np.array(columns, np.int64)


def _changed(first: Architecture, second: Architecture) -> set[str]:
    names = first.choices.keys() | second.choices.keys()
    return {name for name in names if first.choices.get(name) != second.choices.get(name)}
