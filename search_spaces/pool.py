"""A space reduced to some of its members, such as those that a table knows; no torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np

from nas.core.architecture import Architecture
from nas.core.errors import SpaceError
from nas.core.space import Space

if TYPE_CHECKING:
    import networkx as nx
    from torch import nn

__all__ = ["Keyed", "PooledSpace"]

_TRIES: Final = 16
"""Children or walks that are looked up at a time."""

_STEPS: Final = 4
"""Choices that a walk out of a lonely member changes at most."""

_CHILDREN: Final = 2
"""Batches of children drawn before a crossover becomes a mutation."""


@runtime_checkable
class Keyed(Protocol):
    """A space in which several members count as one, and that tells quickly which."""

    def keys(self, architectures: Sequence[Architecture]) -> list[int]:
        """One key each, equal for equal functions."""
        ...

    def keys_near(self, architecture: Architecture) -> list[int]:
        """Keys of everything one choice away; keys of no member may be among them."""
        ...


class PooledSpace(Space):
    """Some members of a space, as a space whose every operation stays among them.

    Where the space has keys (`Keyed`), members are found by them: a child that is isomorphic to
    a member becomes that member. Elsewhere members are found as they are.

    - `sample`: uniform over the pool.
    - `mutate`: uniform over the members one choice away; where there is none, the first member
      that random walks of two, three or four choices meet; else another random member.
    - `crossover`: the first of 32 children that is in the pool and neither parent; else a mutant
      of one parent.
    - `neighbors`, `enumerate`: those of the space that are in the pool.

    Args:
        space: The whole space.
        members: The pool; of members that compute the same, the first one counts.

    Attributes:
        space: The whole space.

    Raises:
        SpaceError: The pool is empty.
    """

    def __init__(self, space: Space, members: Sequence[Architecture]) -> None:
        super().__init__(space.name, space.tree)
        self.space = space
        self._index: dict[Any, int] = {}
        self._pool: list[Architecture] = []
        for key, architecture in zip(self._keys(members), members, strict=True):
            if key not in self._index:
                self._index[key] = len(self._pool)
                self._pool.append(architecture)
        if not self._pool:
            raise SpaceError(f"a pool of {space.name!r} without members", "name at least one")
        self._places: dict[str, int | None] = {}  # by id, of those that were asked for
        self._near: dict[str, tuple[int, ...]] = {}  # likewise

    def __getattr__(self, name: str) -> Any:
        # What only this space has (cost, hash, cell, ...) is asked of it; never while unpickling.
        if name.startswith("_") or name == "space":
            raise AttributeError(name)
        return getattr(self.space, name)

    @property
    def size(self) -> int:
        """Number of members of the pool."""
        return len(self._pool)

    @cached_property
    def members(self) -> Mapping[str, Architecture]:
        """Those published architectures that are in the pool."""
        named = self.space.members
        return {name: known for name, a in named.items() if (known := self.known(a)) is not None}

    @property
    def scale(self) -> Mapping[str, Any]:
        """As the whole space's."""
        return self.space.scale

    def check_scale(self, scale: Mapping[str, Any]) -> None:
        """As the whole space's."""
        self.space.check_scale(scale)

    def default_input(self, architecture: Architecture) -> tuple[tuple[int, int, int], int]:
        """As the whole space's."""
        return self.space.default_input(architecture)

    def known(self, architecture: Architecture) -> Architecture | None:
        """The member of the pool that computes the same; None if there is none."""
        place = self._place(architecture)
        return None if place is None else self._member_at(place)

    def refusal(self, choices: Mapping[str, Any]) -> str:
        """Why an assignment is no member: the space refuses it, or it is not in the pool."""
        refusal = self.space.refusal(choices)
        if refusal or self.known(self._member(choices)) is not None:
            return refusal
        return f"it is none of the {self.size:,} that are known"

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A member of the pool, uniform."""
        return self._member_at(int(rng.integers(len(self._pool))))

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Another member of the pool, as near as can be (see the class)."""
        self._mine(architecture)
        if len(self._pool) == 1:
            raise SpaceError("the space has a single member", "nothing can be mutated")
        near = self._around(architecture)
        if near:
            return self._member_at(near[rng.integers(len(near))])
        own = self._place(architecture)
        walks = [architecture] * _TRIES
        for step in range(_STEPS):
            walks = [self.space.mutate(walk, rng) for walk in walks]
            found = self._first(walks, {own}) if step else None
            if found is not None:
                return found
        places = [int(rng.integers(len(self._pool))) for _ in range(_TRIES)]
        other = next((place for place in places if place != own), None)
        return self._pool[(own or 0) - 1 if other is None else other]

    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """A child of both that is in the pool, else a mutant of one (see the class)."""
        parents = {self._place(first), self._place(second)}
        for _ in range(_CHILDREN):
            children = [self.space.crossover(first, second, rng) for _ in range(_TRIES)]
            found = self._first(children, parents)
            if found is not None:
                return found
        return self.mutate((first, second)[rng.integers(2)], rng)

    def neighbors(self, architecture: Architecture) -> Iterator[Architecture]:
        """The members of the pool one choice away, in the pool's order."""
        self._mine(architecture)
        return (self._member_at(place) for place in self._around(architecture))

    def enumerate(self) -> Iterator[Architecture]:
        """The pool."""
        return iter(self._pool)

    def canonical(self, architecture: Architecture) -> Architecture:
        """As the whole space's."""
        return self.space.canonical(architecture)

    def identity(self, architecture: Architecture) -> str:
        """Id of the member of the pool that computes the same; else as the whole space's."""
        place = self._place(architecture)
        return self.space.identity(architecture) if place is None else self._pool[place].id

    def parse(self, text: str) -> Architecture:
        """Read the field's own notation; the result need not be in the pool."""
        return self.space.parse(text)

    def format(self, architecture: Architecture) -> str:
        """Write the field's own notation."""
        return self.space.format(architecture)

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """As the whole space's."""
        return self.space.graph(architecture)

    def network(
        self,
        architecture: Architecture,
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """As the whole space's."""
        return self.space.network(architecture, input_shape, num_classes, **scale)

    def _first(
        self, architectures: Sequence[Architecture], but: set[int | None]
    ) -> Architecture | None:
        """The first of them that is in the pool, as it is there."""
        for key in self._keys(architectures):
            place = self._index.get(key)
            if place is not None and place not in but:
                return self._member_at(place)
        return None

    def _member_at(self, place: int) -> Architecture:
        """A member, whose place is remembered: most of what is asked about was given before."""
        architecture = self._pool[place]
        self._places[architecture.id] = place
        return architecture

    def _place(self, architecture: Architecture) -> int | None:
        if architecture.id not in self._places:
            self._places[architecture.id] = self._index.get(self._keys([architecture])[0])
        return self._places[architecture.id]

    def _around(self, architecture: Architecture) -> tuple[int, ...]:
        """Places of the members one choice away; looked up once for each architecture."""
        near = self._near.get(architecture.id)
        if near is None:
            keys = self._near_keys(architecture)
            places = {self._index[key] for key in keys if key in self._index}
            near = tuple(sorted(places - {self._place(architecture)}))
            self._near[architecture.id] = near
        return near

    @cached_property
    def _keys(self) -> Callable[[Sequence[Architecture]], Sequence[Any]]:
        space = self.space
        if isinstance(space, Keyed):
            return space.keys
        return lambda architectures: [architecture.id for architecture in architectures]

    def _near_keys(self, architecture: Architecture) -> Sequence[Any]:
        if isinstance(self.space, Keyed):
            return self.space.keys_near(architecture)
        return self._keys(list(self.space.neighbors(architecture)))
