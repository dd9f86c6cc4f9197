"""Cells of generators and discriminators as rows of names, and which parts of them matter.

A genotype is three rows, one a cell, of seven genes each. An exported ``model.py`` holds the source
of some of this, so it needs nothing but Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

__all__ = [
    "CELLS",
    "DISCRIMINATOR",
    "DOWNS",
    "GENERATOR",
    "NONE",
    "OPERATIONS",
    "SKIP",
    "UPS",
    "Genotype",
    "Row",
    "candidates",
    "living_discriminator",
    "living_generator",
]

Row: TypeAlias = tuple[str, ...]
"""The genes of one cell, in the order of `GENERATOR` or `DISCRIMINATOR`."""

Genotype: TypeAlias = Sequence[Sequence[str]]
"""One row a cell."""

CELLS = 3

NONE = "none"
SKIP = "skip"

OPERATIONS = (
    NONE,
    SKIP,
    "conv_1x1",
    "conv_3x3",
    "conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""What may lie on an edge between nodes, numbered as in published genotypes."""

UPS = ("nearest", "bilinear", "transposed")
"""How a generator's cell doubles the size."""

DOWNS = ("avg_pool", "max_pool", "conv_3x3", "conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
"""How a discriminator's cell halves the size; `none` on both of its edges leaves it as it is."""

GENERATOR = ("up0", "up1", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")
"""Genes of a generator's cell; nodes 0 and 1 are the enlarged input, node 3 is the output."""

DISCRIMINATOR = ("1<-0", "2<-0", "2<-1", "3<-1", "3<-0", "down2", "down3")
"""Genes of a discriminator's cell; node 0 is the input, the output is the sum of nodes 2 and 3."""


def candidates(gene: str) -> tuple[str, ...]:
    """The names that a gene may have; `none` is one of a down gene's, too."""
    if gene.startswith("up"):
        return UPS
    return (NONE, *DOWNS) if gene.startswith("down") else OPERATIONS


def living_generator(path: Genotype) -> list[frozenset[str]]:
    """For each cell, the genes whose operation has a part in the image.

    "skips" is among them if the cell's node 2, and so what it receives from the cells before, has.
    Node 2 of a cell goes into node 2 of every later cell.
    """
    found: list[frozenset[str]] = []
    exported = False
    for row in reversed(path):
        names = dict(zip(GENERATOR, row, strict=True))
        exported = exported or names["3<-2"] != NONE
        nodes = ("2", "3") if exported else ("3",)
        alive = {g for g in GENERATOR[2:] if g[0] in nodes and names[g] != NONE}
        alive |= {f"up{source}" for source in "01" if any(g.endswith(f"<-{source}") for g in alive)}
        found.insert(0, frozenset(alive | ({"skips"} if exported else set())))
    return found


def living_discriminator(path: Genotype) -> list[frozenset[str]]:
    """For each cell, the genes whose operation has a part in the score."""
    found: list[frozenset[str]] = []
    for row in path:
        names = dict(zip(DISCRIMINATOR, row, strict=True))
        alive = {gene for gene in DISCRIMINATOR if names[gene] != NONE}
        if not alive & {"2<-1", "3<-1"}:
            alive.discard("1<-0")
        found.append(frozenset(alive))
    return found
