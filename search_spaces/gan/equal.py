"""Cells that compute the same, and one of each kind that stands for the others; no torch here.

Two cells are of a kind if, whatever the weights of one are, the other computes the same with these
weights moved to other places: the two enlarged inputs of a generator's cell change places, what has
no part in the result is anything, and what a skip only passes on may enter before or after it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np

from search_spaces.gan.genes import NONE, Row, candidates
from search_spaces.gan.rows import DISCRIMINATORS, GENERATORS, Rows

__all__ = [
    "canonical_discriminator",
    "canonical_generator",
    "kinds_discriminator",
    "kinds_generator",
]

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

_SKIP: Final = 1
_AVERAGE: Final = 1
_MIRRORED: Final = [1, 0, 3, 2, 5, 4, 6]
_TERMS: Final = 24


def canonical_generator(path: tuple[Row, ...]) -> tuple[Row, ...]:
    """The first of all genotypes of generators that compute what this one does."""
    found: list[Row] = []
    exported = False
    for number in reversed(range(len(path))):
        kinds = kinds_generator(entered=number > 0, exported=exported)
        found.insert(0, _first(GENERATORS, path[number], kinds))
        exported = exported or found[0][-1] != NONE
    return tuple(found)


def canonical_discriminator(path: tuple[Row, ...]) -> tuple[Row, ...]:
    """The first of all genotypes of discriminators that compute what this one does."""
    return tuple(_first(DISCRIMINATORS, row, kinds_discriminator()) for row in path)


@cache
def kinds_generator(*, entered: bool, exported: bool, passing: bool = True) -> Numbers:
    """For every valid cell, in the order of `Rows.enumerate`, the first one that computes the same.

    Args:
        entered: Whether node 2 gets something from cells before.
        exported: Whether a cell after this one has a use for node 2.
        passing: Whether to see that a skip only passes on; without, 72,576 kinds remain of cells
            whose node 2 is exported, and 62,559 of others, as is known of this space.
    """
    rows = _numbers(GENERATORS)
    codes = [
        _code(_settled(oriented, entered, exported, passing), 7)
        for oriented in (rows, rows[:, _MIRRORED])
    ]
    return _first_of_each(np.minimum(*codes))


def _settled(rows: Numbers, entered: bool, exported: bool, passing: bool) -> Numbers:
    """Rows of which those that compute the same, up to the mirror, are equal."""
    up0, up1, p, q, a, b, c = rows.T.copy()
    if passing and not entered:
        # Node 2 is one of the nodes it reads: what reads either may read the other.
        first, second = (p == _SKIP) & (q == 0), (p == 0) & (q == _SKIP)
        a, c = _ordered(a, c, first)
        b, c = _ordered(b, c, second)
        both = (p == _SKIP) & (q == _SKIP) & (c == _SKIP) & (a == 0) & (b == 0)
        a, b, c = np.where(both, [[1], [1], [0]], [a, b, c])
        if not exported:  # as a sum that node 2 passes on
            early = (first | second) & (c > 0)
            inner = np.where(first, [a, c, b, 0 * b], [a, 0 * a, b, c])
            p, a, q, b, c = np.where(early, [*inner, np.ones_like(c)], [p, a, q, b, c])
    if passing and not exported:
        passed = c == _SKIP
        p, a = _ordered(p, a, passed)
        q, b = _ordered(q, b, passed)
        if not entered:  # a sum of which node 3 has room for every term
            fits = passed & (a == 0) & (b == 0)
            a, b, c = np.where(fits, [p, q, 0 * c], [a, b, c])
    dead = (c == 0) & (not exported)
    p, q = np.where(dead, [[0], [1]], [p, q])
    up0 = np.where((a > 0) | ((p > 0) & ~dead), up0, 0)
    up1 = np.where((b > 0) | ((q > 0) & ~dead), up1, 0)
    return np.stack([up0, up1, p, q, a, b, c], axis=1)


@cache
def kinds_discriminator() -> Numbers:
    """For every valid cell, in the order of `Rows.enumerate`, the first one that computes the same.

    There are 423,451 kinds.
    """
    into1, into2, also2, into3, also3, down2, down3 = _numbers(DISCRIMINATORS).T
    alias = into1 == _SKIP  # node 1 is node 0
    # Node 1 is read once, as it is: its operation may as well lie on that edge.
    inside2, inside3 = (also2 == _SKIP) & (into3 == 0), (also2 == 0) & (into3 == _SKIP)
    # Terms: 1 to 6 of node 0, to 11 those without ReLU, and from 13 on those of node 1.
    late = np.where(alias, 0, 12)
    of1 = [
        np.where(inside, into1, np.where(term > 0, term + late, 0))
        for term, inside in ((also2, inside2), (into3, inside3))
    ]
    bare = np.where(also3 > _SKIP, also3 + 5, also3)
    terms2, terms3 = np.sort([into2, of1[0]], axis=0), np.sort([of1[1], bare], axis=0)
    unused = alias | inside2 | inside3 | ((also2 == 0) & (into3 == 0))
    into1 = np.where(unused, 0, into1)
    # Averages and nothing at all are linear: one sum; else two sums that may change places.
    linear = (down2 == down3) & (down2 <= _AVERAGE)
    one = _code(np.sort([*terms2, *terms3], axis=0).T, _TERMS)
    parts = [
        _code(np.stack([*t, d], axis=1), _TERMS) for t, d in ((terms2, down2), (terms3, down3))
    ]
    two = _code(np.sort(parts, axis=0).T, _TERMS**3)
    kind = np.where(linear, 1 + down2, 0)
    return _first_of_each((into1 * 3 + kind) * _TERMS**6 + np.where(linear, one, two))


def _ordered(first: Numbers, second: Numbers, where: Any) -> tuple[Numbers, Numbers]:
    """The larger before the smaller, there."""
    larger, smaller = np.maximum(first, second), np.minimum(first, second)
    return np.where(where, larger, first), np.where(where, smaller, second)


def _code(columns: Numbers, base: int) -> Numbers:
    """One number for each row."""
    code = np.zeros(len(columns), np.int64)
    for column in columns.T:
        code = code * base + column
    return code


def _first_of_each(codes: Numbers) -> Numbers:
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    found: Numbers = first[inverse]
    return found


def _numbers(rows: Rows) -> Numbers:
    """All valid rows as numbers of names, in the order of `Rows.enumerate`."""
    names = iter(rows.genes)
    groups = []
    for group in rows.groups:
        genes = [candidates(next(names)) for _ in group[0]]
        groups.append(
            np.array([[known.index(n) for known, n in zip(genes, t, strict=True)] for t in group])
        )
    places = np.indices([len(group) for group in groups]).reshape(len(groups), -1)
    return np.concatenate([g[place] for g, place in zip(groups, places, strict=True)], axis=1)


def _first(rows: Rows, row: Row, kinds: Numbers) -> Row:
    return rows.at(int(kinds[rows.place(row)]))
