"""Several variants of one forward pass, computed once where they are still the same.

A lane is one variant. A value is a list with one entry per lane; lanes that hold the *same object*
have not diverged, and what is computed from it is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["each", "same"]

T = TypeVar("T")


def same(values: Sequence[Any]) -> bool:
    """Whether all lanes hold the same object."""
    return all(value is values[0] for value in values)


def each(function: Callable[..., T], *arguments: Sequence[Any]) -> list[T]:
    """Apply a function lane by lane, once for each distinct set of argument objects.

    Args:
        function: Deterministic, and without effects.
        *arguments: One list per argument, with one entry per lane.
    """
    if len(arguments[0]) == 1:
        return [function(*(argument[0] for argument in arguments))]
    done: dict[tuple[int, ...], T] = {}
    result = []
    for lane in zip(*arguments, strict=True):
        key = tuple(map(id, lane))
        if key not in done:
            done[key] = function(*lane)
        result.append(done[key])
    return result
