"""An encoding in parts: the network, the recipe that it is trained by, its size.

A predictor that treats them differently (`predictors.nars`) asks for each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.encodings.base import Encoding
from predictors.labels import Floats
from predictors.statistics import Sizes
from search_spaces.recipes.joint import RecipeSpace
from search_spaces.recipes.knobs import PREFIX

__all__ = ["RecipeCode", "SizeCode", "of_network"]


@cache
def of_network(kind: type[Encoding]) -> type[Encoding]:
    """An encoding of networks alone: in a space of recipes beside networks, of the latter.

    Elsewhere it is `kind` itself.
    """

    class OfNetwork(Encoding):
        def __init__(self, space: Space) -> None:
            super().__init__(space)
            self._joint = space if isinstance(space, RecipeSpace) else None
            self._own = kind(space if self._joint is None else self._joint.base)

        def encode(self, architectures: Sequence[Architecture]) -> Floats:
            if self._joint is not None:
                architectures = [self._joint.architecture_of(member) for member in architectures]
            return self._own.encode(architectures)

    return OfNetwork


class RecipeCode(Encoding):
    """The choices of the training recipe (`recipe/...`): one-hot, ranges from 0 to 1."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        flags = [
            choice.name.startswith(PREFIX)
            for choice, conditional in space.tree.slots
            for _ in range(choice.width(conditional))
        ]
        self._columns = np.flatnonzero(flags)

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, width)`` in [0, 1]; no columns in a space without recipes."""
        if not len(self._columns):
            return np.empty((len(architectures), 0))
        codes = np.array([self.space.encode(member) for member in architectures], np.float64)
        return codes.reshape(len(codes), self.space.tree.encoding_size)[:, self._columns]


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
