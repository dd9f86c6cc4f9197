"""Free statistics: what is known of an architecture without training or even building it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from nas.core.architecture import Architecture
from nas.core.errors import NasError
from nas.core.space import Space
from predictors.encodings.base import sample_of
from predictors.labels import Floats

__all__ = ["Sizes", "sizes"]

_SAME: Final = 1e-9


class Sizes:
    """Parameters and multiply-accumulates of a space's networks at its default scale.

    Where they are a sum over the choices, as in a space of cells with an operation on each edge,
    the terms are worked out once from a sample, checked on members that were not used for that,
    and added up from then on; that is many times faster than asking the space.

    Args:
        space: A space that may have ``cost(architecture)`` with ``params`` and ``macs``.

    Attributes:
        known: Whether it has.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._terms: Floats | None = None
        sample = sample_of(space)
        self.known = _ask(space, sample[0]) is not None
        if self.known:
            self._terms = self._add_up(sample)

    def __call__(self, architectures: Sequence[Architecture]) -> Floats:
        """Parameters and multiply-accumulates ``(n, 2)``; NaN where the space does not know."""
        if self._terms is not None:
            return np.rint(self._design(architectures) @ self._terms)
        rows = [_ask(self._space, member) if self.known else None for member in architectures]
        found = [(np.nan, np.nan) if row is None else row for row in rows]
        return np.array(found, np.float64).reshape(len(rows), 2)

    def _design(self, architectures: Sequence[Architecture]) -> Floats:
        codes = [self._space.encode(member) for member in architectures]
        width = self._space.tree.encoding_size
        return np.insert(np.array(codes).reshape(len(codes), width), 0, 1.0, axis=1)

    def _add_up(self, sample: Sequence[Architecture]) -> Floats | None:
        half = len(sample) // 2
        if half < max(2, self._space.tree.encoding_size):
            return None
        true = np.array([_ask(self._space, member) for member in sample], np.float64)
        design = self._design(sample)
        terms = np.asarray(np.linalg.lstsq(design[:half], true[:half], rcond=None)[0], np.float64)
        exact = np.all(np.abs(design @ terms - true) <= np.maximum(_SAME * true, 0.25))
        return terms if exact else None


def _ask(space: Space, architecture: Architecture) -> tuple[float, float] | None:
    cost = getattr(space, "cost", None)
    if cost is None:
        return None
    try:
        found = cost(architecture)
    except NasError:  # a space that wraps one without a cost model
        return None
    return float(found.params), float(found.macs)


def sizes(space: Space, architectures: Sequence[Architecture]) -> Floats:
    """Logarithms of parameters and multiply-accumulates, as ``extra`` of a predictor.

    Returns:
        ``(n, 2)``, or ``(n, 0)`` if the space does not know them.
    """
    found = Sizes(space)
    if not found.known:
        return np.empty((len(architectures), 0))
    return np.log(np.maximum(found(architectures), 1.0))
