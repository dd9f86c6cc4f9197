"""Which rows of genes are cells: enumerated, drawn uniformly, checked, numbered; no torch here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np

from nas.core.choices import Categorical, Choice
from nas.core.errors import SpaceError
from search_spaces.gan.genes import (
    CELLS,
    DISCRIMINATOR,
    DOWNS,
    GENERATOR,
    NONE,
    OPERATIONS,
    UPS,
    Genotype,
    Row,
    candidates,
)

__all__ = ["DISCRIMINATORS", "GENERATORS", "Rows"]

SIZE: Final = "size"
KEEP: Final = "keep"
HALVE: Final = "halve"


@dataclass(frozen=True)
class Rows:
    """The cells of a generator or of a discriminator.

    A row is valid if the genes of each of its groups are together one of the group's tuples, so
    there are as many as the product of their numbers, and a row of uniformly drawn tuples is
    uniformly drawn.

    Attributes:
        name: ``generator`` or ``discriminator``.
        prefix: What names of its choices begin with.
        genes: Names of the genes.
        groups: The tuples that are allowed, for genes in a row.
        wrong: What is wrong with a tuple that is not allowed, for each group.
    """

    name: str
    prefix: str
    genes: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    wrong: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of valid rows of one cell."""
        return prod(map(len, self.groups))

    def enumerate(self) -> Iterator[Row]:
        """All valid rows of one cell."""
        return (sum(parts, ()) for parts in product(*self.groups))

    def draw(self, rng: np.random.Generator) -> Row:
        """A valid row, uniformly."""
        parts = (group[int(rng.integers(len(group)))] for group in self.groups)
        return sum(parts, ())

    def refusal(self, path: Genotype) -> str:
        """Why rows of valid genes are no genotype; empty if they are one."""
        for number, row in enumerate(path, 1):
            start = 0
            for places, wrong in zip(self._places, self.wrong, strict=True):
                end = start + len(next(iter(places)))
                if tuple(row[start:end]) not in places:
                    return f"in cell {number} of the {self.name} {wrong}"
                start = end
        return ""

    def place(self, row: Row) -> int:
        """Where a valid row is in `enumerate`, from 0."""
        found = start = 0
        for group, places in zip(self.groups, self._places, strict=True):
            end = start + len(group[0])
            found = found * len(group) + places[tuple(row[start:end])]
            start = end
        return found

    def at(self, place: int) -> Row:
        """The row in that place; the inverse of `place`."""
        parts: list[Row] = []
        for group in reversed(self.groups):
            place, inside = divmod(place, len(group))
            parts.insert(0, group[inside])
        return sum(parts, ())

    @cached_property
    def _places(self) -> tuple[dict[Row, int], ...]:
        return tuple({names: n for n, names in enumerate(group)} for group in self.groups)

    # -- as choices -----------------------------------------------------------------------------

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices of a tree, ``PREFIX/CELL/GENE``.

        Whether a discriminator's cell keeps or halves the size is one choice, under which the two
        ways of halving are.
        """
        found: list[Choice] = []
        for cell in range(1, CELLS + 1):
            below: list[Choice] = []
            for gene in self.genes:
                allowed = DOWNS if gene.startswith("down") else candidates(gene)
                if gene == "1<-0":
                    allowed = allowed[1:]
                choice = Categorical(self._choice(cell, gene), allowed)
                (below if gene.startswith("down") else found).append(choice)
            if below:
                name = self._choice(cell, SIZE)
                found.append(Categorical(name, (KEEP, HALVE), {HALVE: tuple(below)}))
        return tuple(found)

    def _choice(self, cell: int, gene: str) -> str:
        return f"{self.prefix}/{cell}/{gene}"

    def mine(self, choices: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the choices that are of such cells."""
        return {n: value for n, value in choices.items() if n.startswith(f"{self.prefix}/")}

    def path(self, choices: Mapping[str, Any]) -> tuple[Row, ...]:
        """The rows that choices stand for."""
        return tuple(
            tuple(str(choices.get(self._choice(cell, gene), NONE)) for gene in self.genes)
            for cell in range(1, CELLS + 1)
        )

    def from_path(self, path: Genotype) -> dict[str, str]:
        """The choices that stand for rows; the inverse of `path`."""
        found: dict[str, str] = {}
        for cell, row in enumerate(path, 1):
            names = dict(zip(self.genes, row, strict=True))
            downs = {gene: name for gene, name in names.items() if gene.startswith("down")}
            if downs:
                halved = any(name != NONE for name in downs.values())
                found[self._choice(cell, SIZE)] = HALVE if halved else KEEP
                if not halved:
                    names = {gene: name for gene, name in names.items() if gene not in downs}
            found.update({self._choice(cell, gene): name for gene, name in names.items()})
        return found

    # -- as published -----------------------------------------------------------------------------

    def numbers(self, path: Genotype) -> list[list[int]]:
        """The genotype as it is published: a row of whole numbers a cell."""
        return [
            [
                candidates(gene).index(name) - _base(gene)
                for gene, name in zip(self.genes, row, strict=True)
            ]
            for row in path
        ]

    def from_numbers(self, numbers: Any) -> tuple[Row, ...]:
        """Read a published genotype.

        Raises:
            SpaceError: It is no genotype of such cells.
        """
        shape = f"expected {CELLS} rows of {len(self.genes)} whole numbers"
        if not isinstance(numbers, Sequence) or len(numbers) != CELLS:
            raise SpaceError(f"not the genotype of a {self.name}", shape)
        path = []
        for row in numbers:
            if not isinstance(row, Sequence) or len(row) != len(self.genes):
                raise SpaceError(f"not the genotype of a {self.name}", shape)
            path.append(
                tuple(_name(gene, number) for gene, number in zip(self.genes, row, strict=True))
            )
        if refusal := self.refusal(path):
            raise SpaceError(f"not the genotype of a {self.name}: {refusal}", "change it")
        return tuple(path)


def _base(gene: str) -> int:
    """The place of number 0: -1 is `none` for genes of halving."""
    return 1 if gene.startswith("down") else 0


def _name(gene: str, number: Any) -> str:
    known, base = candidates(gene), _base(gene)
    if (
        isinstance(number, bool)
        or not isinstance(number, int)
        or not 0 <= number + base < len(known)
    ):
        raise SpaceError(
            f"gene {gene} is {number!r}", f"expected {-base} to {len(known) - 1 - base}"
        )
    return known[number + base]


def _some(genes: int) -> tuple[Row, ...]:
    """Every tuple of operations of which not all are `none`."""
    every = product(OPERATIONS, repeat=genes)
    return tuple(row for row in every if any(name != NONE for name in row))


_ENTERED = "nothing enters node {}"

GENERATORS: Final = Rows(
    "generator",
    "g",
    GENERATOR,
    (tuple(product(UPS, repeat=2)), _some(2), _some(3)),
    ("a way of enlarging is missing", _ENTERED.format(2), _ENTERED.format(3)),
)
"""147,744 cells."""

DISCRIMINATORS: Final = Rows(
    "discriminator",
    "d",
    DISCRIMINATOR,
    (
        tuple((name,) for name in OPERATIONS[1:]),
        _some(2),
        _some(2),
        ((NONE, NONE), *product(DOWNS, repeat=2)),
    ),
    (
        _ENTERED.format(1),
        _ENTERED.format(2),
        _ENTERED.format(3),
        "one of the nodes 2 and 3 is halved and the other is not",
    ),
)
"""511,488 cells."""
