"""Encoding many architectures once, and looking them up ever after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.labels import Floats

__all__ = ["LIMIT", "Encoder", "Encoding", "make_encoder", "sample_of"]

LIMIT: Final = 500_000
"""Architectures an encoder remembers; it starts anew beyond."""

SAMPLE: Final = 512
"""Random members from which an encoding learns what the space consists of."""


class Encoding(ABC):
    """Turns members of one space into vectors.

    Args:
        space: The space.
    """

    def __init__(self, space: Space) -> None:
        self.space = space

    @abstractmethod
    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, width)``; the width is the same at every call."""


@lru_cache(maxsize=64)
def _sample(key: _Key) -> tuple[Architecture, ...]:
    rng = np.random.default_rng(0)
    size = key.space.size
    count = SAMPLE if size is None else min(SAMPLE, 4 * size)
    drawn = (key.space.sample(rng) for _ in range(count))
    return tuple({a.id: a for a in drawn}.values())


def sample_of(space: Space) -> tuple[Architecture, ...]:
    """Up to 512 distinct random members, always the same ones."""
    return _sample(_Key(space))


class Encoder:
    """Joined encodings of one space, with a memory.

    Args:
        space: The space.
        kinds: The encodings whose vectors are joined.
    """

    def __init__(self, space: Space, kinds: Sequence[type[Encoding]]) -> None:
        self._kinds = tuple(kinds)
        self._space = space
        self._rows: dict[str, int] = {}
        self._codes: Floats = np.empty((0, 0))
        self._filled = 0
        self._usual: tuple[Floats, Floats] | None = None

    @cached_property
    def encodings(self) -> tuple[Encoding, ...]:
        """The encodings, made when first asked for: some read hundreds of members then."""
        return tuple(kind(self._space) for kind in self._kinds)

    def __call__(self, architectures: Sequence[Architecture]) -> Floats:
        """Vectors ``(n, width)``, equal for equal architectures."""
        rows = self.rows(architectures)  # may replace the memory
        return self._codes[rows]

    def rows(self, architectures: Sequence[Architecture]) -> NDArray[np.int64]:
        """Where in the memory each architecture's vector lies ``(n,)``; encodes the new ones.

        Good until the next call: the memory is cleared when it is full.
        """
        rows = self._rows
        new = {a.id: a for a in architectures if a.id not in rows}
        if len(rows) + len(new) > LIMIT:
            self._rows = rows = {}
            self._filled = 0
            new = {a.id: a for a in architectures}
        if new or not self._codes.shape[1]:
            self._add(new)
        found = np.fromiter((rows[a.id] for a in architectures), np.int64, len(architectures))
        return found

    def usual(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(width,)`` over a fixed random sample of the space."""
        if self._usual is None:
            codes = self(sample_of(self._space))
            self._usual = codes.mean(0), codes.std(0)
        return self._usual

    def _add(self, new: dict[str, Architecture]) -> None:
        members = list(new.values())
        codes = np.concatenate([e.encode(members) for e in self.encodings], axis=1)
        end = self._filled + len(members)
        if end > len(self._codes):
            room = np.empty((max(end, 2 * len(self._codes)), codes.shape[1]))
            if self._filled:
                room[: self._filled] = self._codes[: self._filled]
            self._codes = room
        self._codes[self._filled : end] = codes
        self._rows.update(zip(new, range(self._filled, end), strict=True))
        self._filled = end


class _Key:
    """A space by its content: makers give a new object whenever they are asked."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._content = (type(space), space.name, space.size, space.tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


@lru_cache(maxsize=64)
def _encoder(key: _Key, kinds: tuple[type[Encoding], ...]) -> Encoder:
    return Encoder(key.space, kinds)


def make_encoder(space: Space, kinds: tuple[type[Encoding], ...]) -> Encoder:
    """The encoder of a space; see `predictors.encodings.encoder`."""
    return _encoder(_Key(space), kinds)
