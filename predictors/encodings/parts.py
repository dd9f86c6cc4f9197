"""An encoding in parts: the network's choices, the recipe's choices, the network's size.

A predictor that treats them differently (`predictors.nars`) asks for each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.encodings.base import Encoding
from predictors.labels import Floats
from predictors.statistics import Sizes
from search_spaces.recipes.knobs import PREFIX

__all__ = ["NetworkCode", "RecipeCode", "SizeCode"]


class NetworkCode(Encoding):
    """The choices that are no recipe's, of the canonical member: one-hot, ranges from 0 to 1."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._columns = np.flatnonzero(~_of_recipe(space))

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, width)`` in [0, 1]; no columns if all choices are a recipe's."""
        canonical = [self.space.canonical(member) for member in architectures]
        return _codes(self.space, canonical)[:, self._columns]


class RecipeCode(Encoding):
    """The choices of the training recipe (`recipe/...`): one-hot, ranges from 0 to 1."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._columns = np.flatnonzero(_of_recipe(space))

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, width)`` in [0, 1]; no columns in a space without recipes."""
        if not len(self._columns):
            return np.empty((len(architectures), 0))
        return _codes(self.space, architectures)[:, self._columns]


class SizeCode(Encoding):
    """Logarithms of parameters and multiply-accumulates at the space's default scale."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._sizes = Sizes(space)

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, 2)``, or ``(n, 0)`` in a space that cannot count."""
        if not self._sizes.known:
            return np.empty((len(architectures), 0))
        return np.log(np.maximum(self._sizes(architectures), 1.0))


def _of_recipe(space: Space) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which columns of the space's own encoding belong to recipes."""
    flags = [
        choice.name.startswith(PREFIX)
        for choice, conditional in space.tree.slots
        for _ in range(choice.width(conditional))
    ]
    return np.array(flags, dtype=bool)


def _codes(space: Space, architectures: Sequence[Architecture]) -> Floats:
    codes = [space.encode(member) for member in architectures]
    return np.array(codes, np.float64).reshape(len(codes), space.tree.encoding_size)
