"""GANs of cells: generators, discriminators, and pairs of both (EAGAN, Ying et al., ECCV 2022).

One class makes three spaces: ``gan`` is the product of ``gan-generator`` and ``gan-discriminator``.
A search of one of those is a search with the other held: candidates are pairs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Final

import networkx as nx
import numpy as np

from nas.core.architecture import Architecture, Candidate
from nas.core.choices import Value
from nas.core.errors import SpaceError
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from search_spaces.costs import Cost
from search_spaces.gan import costs, drawing, members
from search_spaces.gan.equal import canonical_discriminator, canonical_generator
from search_spaces.gan.genes import CELLS, Genotype, Row
from search_spaces.gan.rows import DISCRIMINATORS, GENERATORS, Rows
from search_spaces.gan.scale import LEAST, MULTIPLE, SCALES, check_images, settings
from search_spaces.scale import InputShape

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PAIR", "GanSpace", "gan", "gan_discriminator", "gan_generator"]

PAIR: Final = "gan"
"""The space of pairs, of which candidates are."""

_PARTS: Final = {rows.name: rows for rows in (GENERATORS, DISCRIMINATORS)}
_HELD: Final = {
    "generator": GENERATORS.from_numbers(members.GENERATORS["EAGAN"]),
    "discriminator": DISCRIMINATORS.from_numbers(members.DISCRIMINATORS["AutoGAN"]),
}
"""What a search of the other part is made with: as published for stage 1, and its result."""


class GanSpace(Space):
    """Generators, discriminators, or both.

    Images are squares whose side is a multiple of 8 from 8 to 64, for each of a generator's three
    cells doubles the size: 32 begins with a map of 4 x 4, 48 with one of 6 x 6. Channels of an
    image are any number; there are no classes.

    Args:
        name: Under which it is registered.
        parts: Names of what is chosen, ``generator`` and ``discriminator``.
        held: For each part that is not chosen, the rows of the one that candidates have.
    """

    evaluator = "gan"
    strategy = "eagan"
    least: Mapping[str, int] = LEAST
    multiple: Mapping[str, int]

    def __init__(
        self, name: str, parts: Sequence[str], held: Mapping[str, Genotype] | None = None
    ) -> None:
        self.parts: tuple[Rows, ...] = tuple(_PARTS[part] for part in parts)
        self.held = {part: tuple(map(tuple, rows)) for part, rows in (held or {}).items()}
        choices = (choice for rows in self.parts for choice in rows.choices)
        super().__init__(name, ChoiceTree(tuple(choices)))
        self.multiple = {key: by for key, by in MULTIPLE.items() if key in self.scale}

    def holding(self, part: str, architecture: Architecture) -> GanSpace:
        """This space with candidates whose other part is that of an architecture.

        Args:
            part: ``generator`` or ``discriminator``, one that is not chosen here.
            architecture: A pair, or a member of the space of such parts.

        Raises:
            SpaceError: The part is chosen here, or the architecture has none.
        """
        if part not in _PARTS or part in self._names:
            raise SpaceError(f"{self.name!r} does not hold a {part}", "name its other part")
        path = _PARTS[part].path(_PARTS[part].mine(architecture.choices))
        if refusal := _PARTS[part].refusal(path):
            raise SpaceError(f"the architecture has no {part}: {refusal}", "give a pair")
        return GanSpace(self.name, self._names, {part: path})

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(rows.name for rows in self.parts)

    @property
    def networks(self) -> str:
        """Name of the space of pairs."""
        return PAIR

    @cached_property
    def size(self) -> int:
        """Number of members; many of them compute the same, see `canonical`."""
        return prod(rows.count**CELLS for rows in self.parts)

    @property
    def scale(self) -> Mapping[str, Any]:
        """Defaults of ``network``: those published for CIFAR-10 and STL-10."""
        return {key: value for name in self._names for key, value in SCALES[name].items()}

    @cached_property
    def members(self) -> Mapping[str, Architecture]:
        """Published genotypes, and the smallest generator, by name."""
        named: dict[str, tuple[Any, ...]]
        if len(self.parts) > 1:
            named = {
                name: (members.GENERATORS[g], members.DISCRIMINATORS[d])
                for name, (g, d) in members.PAIRS.items()
            }
        elif self.parts[0] is GENERATORS:
            named = {name: (numbers,) for name, numbers in members.GENERATORS.items()}
        else:
            named = {name: (numbers,) for name, numbers in members.DISCRIMINATORS.items()}
        return {name: self._read(numbers) for name, numbers in named.items()}

    def default_input(self, architecture: Architecture) -> tuple[InputShape, int]:
        """CIFAR-10; STL-10 at 48 pixels for the discriminator that was found for it."""
        numbers = members.DISCRIMINATORS[members.STL]
        stl = self.paths(architecture).get("discriminator") == DISCRIMINATORS.from_numbers(numbers)
        return ((3, 48, 48) if stl else (3, 32, 32)), 10

    def shapes(
        self, input_shape: InputShape, num_classes: int, **scale: Any
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Latent vector and image; of a discriminator, image and score.

        Raises:
            SpaceError: A setting is unknown or out of range.
        """
        full = settings(self.scale, scale)
        if "latent" in full:
            return (full["latent"],), tuple(input_shape)
        return tuple(input_shape), (1,)

    def paths(self, architecture: Architecture) -> dict[str, tuple[Row, ...]]:
        """Name of a part to the rows of its cells, names of operations: what its network takes."""
        choices = self._mine(architecture)
        return {rows.name: rows.path(choices) for rows in self.parts}

    def from_paths(self, paths: Mapping[str, Genotype]) -> Architecture:
        """The member of these rows; the inverse of `paths`.

        Raises:
            SpaceError: That is no member.
        """
        choices: dict[str, str] = {}
        for rows in self.parts:
            choices.update(rows.from_path(paths[rows.name]))
        return self.architecture(choices)

    # -- membership and variation -----------------------------------------------------------------

    def refusal(self, choices: Mapping[str, Any]) -> str:
        """Why an assignment is no member: a node that nothing enters."""
        found = (rows.refusal(rows.path(choices)) for rows in self.parts)
        return next(filter(None, found), "")

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random member, uniformly among all."""
        choices: dict[str, Value] = {}
        for rows in self.parts:
            choices.update(rows.from_path([rows.draw(rng) for _ in range(CELLS)]))
        return self._member(choices)

    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """The first parent with one edge of the second, uniformly among those that differ.

        As in the paper. Whether a cell halves is one edge with its two ways of halving. Equal
        parents have the first as their child.
        """
        mine, theirs = self._mine(first), self._mine(second)
        children = []
        for name in mine:
            if name in theirs and mine[name] != theirs[name]:
                child = self._taking(name, mine, theirs)
                if not self.refusal(child):
                    children.append(child)
        return self._member(children[int(rng.integers(len(children)))]) if children else first

    def _taking(
        self, name: str, mine: Mapping[str, Value], theirs: Mapping[str, Value]
    ) -> dict[str, Value]:
        values = {**theirs, **mine, name: theirs[name]}
        return {choice.name: values[choice.name] for choice in self.tree.active(values)}

    def canonical(self, architecture: Architecture) -> Architecture:
        """The first of all members that compute the same with the same weights in other places.

        Exact (see `search_spaces.gan.equal`), for maps that are large enough to tell the ways of
        enlarging one from another: those of one pixel are the same nearest and bilinear.
        """
        forms = {
            "generator": canonical_generator,
            "discriminator": canonical_discriminator,
        }
        paths = self.paths(architecture)
        return self.from_paths({part: forms[part](path) for part, path in paths.items()})

    # -- candidates -------------------------------------------------------------------------------

    def candidate(self, architecture: Architecture) -> Candidate:
        """The pair: the member, and the part that is held."""
        if not self.held:
            return Candidate(architecture)
        choices = dict(self._mine(architecture))
        for part, path in self.held.items():
            choices.update(_PARTS[part].from_path(path))
        return Candidate(Architecture(PAIR, choices))

    def member(self, candidate: Candidate) -> Architecture:
        """Its part of a pair."""
        choices = candidate.architecture.choices
        own = {n: value for rows in self.parts for n, value in rows.mine(choices).items()}
        return self.architecture(own)

    # -- notation and graph -----------------------------------------------------------------------

    def parse(self, text: str) -> Architecture:
        """Read a genotype as published: rows of seven numbers in brackets.

        That of a pair is a list of two, the generator's first.

        Raises:
            SpaceError: The text is not such a genotype, or no member of the space.
        """
        try:
            numbers = json.loads(text)
        except (ValueError, RecursionError):
            numbers = None
        if not isinstance(numbers, list):
            raise SpaceError(
                f"not a genotype of {self.name}: {text.strip()[:60]!r}",
                "expected such as [[1,1,1,0,2,3,1],[1,1,0,1,3,0,5],[0,1,0,3,0,0,3]]",
            )
        several = len(self.parts) > 1
        if several and len(numbers) != len(self.parts):
            raise SpaceError(
                f"{len(numbers)} genotypes", "expected a generator's and a discriminator's, [G,D]"
            )
        return self._read(numbers if several else [numbers])

    def _read(self, numbers: Sequence[Any]) -> Architecture:
        pairs = zip(self.parts, numbers, strict=True)
        return self.from_paths({rows.name: rows.from_numbers(given) for rows, given in pairs})

    def format(self, architecture: Architecture) -> str:
        """Write the genotype that `parse` reads."""
        paths = self.paths(architecture)
        written = [rows.numbers(paths[rows.name]) for rows in self.parts]
        return json.dumps(written if len(written) > 1 else written[0], separators=(",", ":"))

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """Return the cells as parts of one graph with operations on edges, `none` left out.

        Nodes are ``generator1/input``, ``generator1/0`` to ``/3``, ``generator2/cell1`` (node 2 of
        the cell before), ``discriminator1/0`` to ``/3``, ``discriminator1/output`` and so on.
        """
        graph = nx.DiGraph(titles={})
        draw = {
            "generator": drawing.add_generator,
            "discriminator": drawing.add_discriminator,
        }
        for part, path in self.paths(architecture).items():
            draw[part](graph, path)
        return graph

    # -- networks ---------------------------------------------------------------------------------

    def network(
        self,
        architecture: Architecture,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """Build a generator, a discriminator or a pair (`search_spaces.gan.pair.Pair`).

        Args:
            architecture: A member.
            input_shape: Channels, height, width of an image.
            num_classes: Not used; the networks know no classes.
            **scale: Settings of `scale`.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        from search_spaces.gan.pair import build

        full = self._settings(input_shape, scale)
        return build(self.paths(architecture), input_shape, full, every=False)

    def supernet(
        self,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """Build the networks that hold every operation on every edge.

        Of each, ``forward`` takes a path (`paths`) as its second argument; where none is given, it
        is that of the first published member.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        from search_spaces.gan.pair import build

        first = next(iter(self.members.values()))
        full = self._settings(input_shape, scale)
        return build(self.paths(first), input_shape, full, every=True)

    def _settings(self, input_shape: InputShape, scale: Mapping[str, Any]) -> dict[str, Any]:
        full = settings(self.scale, scale)
        check_images(input_shape)
        return full

    def costs(
        self, architecture: Architecture, input_shape: InputShape = (3, 32, 32), **scale: Any
    ) -> dict[str, Cost]:
        """Parameters and multiply-accumulates of each part by arithmetic.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        full = self._settings(input_shape, scale)
        return costs.costs_of_parts(self.paths(architecture), input_shape, full)

    def cost(
        self,
        architecture: Architecture,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> Cost:
        """All parameters, and the multiply-accumulates of what the network computes of one input.

        A pair computes images, so the discriminator's are not among them; see `costs`.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        parts = self.costs(architecture, input_shape, **scale)
        return Cost(sum(c.params for c in parts.values()), next(iter(parts.values())).macs)

    def dead(self, architecture: Architecture, **scale: Any) -> dict[str, int]:
        """Parameters that have no part in what is computed, by where they are.

        Keys are such as ``generator/cell3/up0``; the published generator has 65,792 there.

        Raises:
            SpaceError: A setting is unknown or out of range.
        """
        return costs.dead_of_parts(self.paths(architecture), settings(self.scale, scale))


def gan() -> GanSpace:
    """Make the space of pairs."""
    return GanSpace(PAIR, tuple(_PARTS))


def gan_generator() -> GanSpace:
    """Make the space of generators; their candidates have AutoGAN's discriminator."""
    return GanSpace("gan-generator", ["generator"], {"discriminator": _HELD["discriminator"]})


def gan_discriminator() -> GanSpace:
    """Make the space of discriminators; their candidates have EAGAN's generator."""
    return GanSpace("gan-discriminator", ["discriminator"], {"generator": _HELD["generator"]})
