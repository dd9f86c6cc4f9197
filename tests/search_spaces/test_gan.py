"""The spaces of GANs: sizes, cardinality, samplers, operators, notation, what they refuse."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from nas.core.errors import SpaceError
from nas.measure import count_parameters
from search_spaces import get_space
from search_spaces.gan.equal import kinds_discriminator, kinds_generator
from search_spaces.gan.genes import CELLS, NONE, OPERATIONS, SKIP
from search_spaces.gan.rows import DISCRIMINATORS, GENERATORS, Rows
from search_spaces.gan.space import GanSpace

NAMES = ("gan", "gan-generator", "gan-discriminator")
BOTH = pytest.mark.parametrize("rows", [GENERATORS, DISCRIMINATORS], ids=lambda rows: rows.name)


def space_of(name: str) -> GanSpace:
    space = get_space(name)
    assert isinstance(space, GanSpace)
    return space


def built(name: str, member: str, side: int) -> nn.Module:
    space = space_of(name)
    with torch.device("meta"):
        return space.network(space.members[member], (3, side, side))


@pytest.mark.parametrize(
    ("name", "member", "side", "params"),
    [
        ("gan-generator", "EAGAN", 32, 7_142_403),
        ("gan-generator", "AdversarialNAS", 32, 8_846_851),
        ("gan-discriminator", "EAGAN_C", 32, 906_240),
        ("gan-discriminator", "EAGAN_S", 48, 1_578_112),
        ("gan-discriminator", "AutoGAN", 32, 1_053_824),
        ("gan", "EAGAN", 32, 7_142_403 + 906_240),
    ],
)
def test_published_sizes(name: str, member: str, side: int, params: int) -> None:
    assert count_parameters(built(name, member, side)) == params


def test_published_sizes_part_by_part() -> None:
    generator = built("gan-generator", "EAGAN", 32)
    assert [count_parameters(layer) for layer in generator.dense] == [167_936, 671_744, 2_686_976]
    assert [count_parameters(cell) for cell in generator.cells] == [787_456, 1_377_536, 1_443_328]
    assert count_parameters(generator.norm) + count_parameters(generator.to_image) == 7_427


def test_published_multiply_accumulates() -> None:
    gan, pairs = space_of("gan"), {"EAGAN": 32, "EAGAN_STL": 48, "EAGAN_G": 32}
    found = {n: gan.costs(gan.members[n], (3, side, side)) for n, side in pairs.items()}
    billions = {n: round(2 * cost["discriminator"].macs / 1e9, 3) for n, cost in found.items()}
    assert billions == {"EAGAN": 0.525, "EAGAN_STL": 1.375, "EAGAN_G": 0.544}
    # The authors' code computes the branch that has no part in the image, too.
    dead = 256 * 256 * 32 * 32
    assert round(2 * (found["EAGAN"]["generator"].macs + dead) / 1e9, 3) == 3.779


def test_sizes_of_the_networks_that_hold_everything() -> None:
    with torch.device("meta"):
        pair = space_of("gan").supernet(spectral_norm=False)
    assert count_parameters(pair.generator) == 72_776_963
    assert count_parameters(pair.discriminator) == 23_806_592


def test_smallest_and_largest() -> None:
    generators, discriminators = space_of("gan-generator"), space_of("gan-discriminator")

    def params(space: GanSpace, row: tuple[str, ...]) -> int:
        return space.cost(space.from_paths({space.parts[0].name: [row] * CELLS})).params

    def extremes(space: GanSpace) -> tuple[int, int]:
        """A gene's parameters depend on nothing else, so groups are taken one by one."""
        found = []
        for pick in (min, max):
            row: tuple[str, ...] = ()
            groups = space.parts[0].groups
            for index, group in enumerate(groups):
                rest = sum((g[0] for g in groups[index + 1 :]), ())
                row += pick(group, key=lambda t: params(space, (*row, *t, *rest)))
            found.append(params(space, row))
        return found[0], found[1]

    assert extremes(discriminators) == (151_808, 8_756_096)
    assert extremes(generators) == (4_126_211, 28_718_339)
    # With one way of enlarging for all that is smaller or larger: 2,048 parameters a branch.
    small, large = (NONE, SKIP, NONE, NONE, SKIP), ("dil_conv_5x5",) * 5
    assert params(generators, ("transposed", "transposed", *small)) == 4_138_499
    assert params(generators, ("bilinear", "nearest", *large)) == 28_706_051


@BOTH
def test_cells_are_counted_by_going_through_all_tuples(rows: Rows) -> None:
    every = list(rows.enumerate())
    assert len(set(every)) == rows.count == (147_744 if rows is GENERATORS else 511_488)
    for place in (0, 1, 54_321, rows.count - 1):
        assert rows.place(every[place]) == place
        assert rows.at(place) == every[place]
    if rows is GENERATORS:
        allowed = [
            row
            for row in product(*([["nearest", "bilinear", "transposed"]] * 2 + [OPERATIONS] * 5))
            if row[2:4] != (NONE,) * 2 and row[4:] != (NONE,) * 3
        ]
        assert allowed == every


def test_kinds_of_cells() -> None:
    def count(**asked: bool) -> int:
        return len(np.unique(kinds_generator(**asked)))

    for entered in (False, True):  # of mirrors and of what has no part, as published
        assert count(entered=entered, exported=True, passing=False) == 72_576
        assert count(entered=entered, exported=False, passing=False) == 62_559
    assert count(entered=True, exported=True) == 72_576
    assert count(entered=False, exported=True) < 72_576
    assert count(entered=True, exported=False) < 62_559
    assert len(np.unique(kinds_discriminator())) < DISCRIMINATORS.count


def test_sizes_of_spaces() -> None:
    assert f"{space_of('gan-generator').size:.3e}" == "3.225e+15"
    assert space_of("gan-generator").size == 147_744**3
    assert space_of("gan-discriminator").size == 511_488**3
    assert f"{space_of('gan').size:.1e}" == "4.3e+32"


@BOTH
def test_rows_are_drawn_uniformly(rows: Rows) -> None:
    rng, draws = np.random.default_rng(1), 100_000
    drawn = [rows.draw(rng) for _ in range(draws)]
    counts = np.bincount([rows.place(row) for row in drawn], minlength=rows.count)
    expected = draws / rows.count
    statistic = ((counts - expected) ** 2 / expected).sum()
    # Of equal cells, chi-square has this mean and variance however few draws a cell has.
    mean, variance = rows.count - 1, 2 * (rows.count - 1) * (draws - 1) / draws
    assert abs(statistic - mean) < 4 * variance**0.5
    for position, gene in enumerate(rows.genes):
        seen = {row[position] for row in drawn}
        assert seen == {row[position] for row in rows.enumerate()}, gene


@pytest.mark.parametrize("name", NAMES)
def test_members_are_drawn_cell_by_cell(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(2)
    drawn = [space.paths(space.sample(rng)) for _ in range(4000)]
    for rows in space.parts:
        for cell in range(CELLS):
            ends = [paths[rows.name][cell][-1] for paths in drawn]
            share = np.mean([end == NONE for end in ends])
            exact = 48 / 342 if rows is GENERATORS else 1 / 37
            assert share == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 4000) ** 0.5)


def differing(space: GanSpace, first: object, second: object) -> set[tuple[int, str, str]]:
    """Edges that differ; the two ways of halving are one edge where one cell does not halve."""
    found = set()
    for rows in space.parts:
        pairs = zip(space.paths(first)[rows.name], space.paths(second)[rows.name], strict=True)
        for cell, (one, other) in enumerate(pairs):
            halved = {one[-1] == NONE, other[-1] == NONE}
            for gene, a, b in zip(rows.genes, one, other, strict=True):
                merged = rows is DISCRIMINATORS and gene.startswith("down") and len(halved) > 1
                if a != b:
                    found.add((cell, rows.name, "size" if merged else gene))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_mutation_changes_one_edge(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(3)
    changed = set()
    for _ in range(600):
        parent = space.sample(rng)
        child = space.mutate(parent, rng)
        assert child == space.architecture(child.choices)
        (edge,) = differing(space, parent, child)
        changed.add(edge)
    genes = sum(CELLS * len(rows.genes) for rows in space.parts)
    assert len(changed) == genes + CELLS * (DISCRIMINATORS in space.parts)


@pytest.mark.parametrize("name", NAMES)
def test_crossover_takes_one_edge(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(4)
    for _ in range(300):
        first, second = space.sample(rng), space.sample(rng)
        child = space.crossover(first, second, rng)
        assert child == space.architecture(child.choices)
        (edge,) = differing(space, first, child)
        assert edge not in differing(space, second, child)
        assert space.crossover(first, first, rng) == first


def test_crossover_finds_the_only_edge_there_is() -> None:
    space, rng = space_of("gan-generator"), np.random.default_rng(5)
    rows = ("nearest", "nearest", "none", "skip", "skip", "none", "none")
    other = ("nearest", "nearest", "skip", "none", "skip", "none", "none")
    first, second = (space.from_paths({"generator": [row, rows, rows]}) for row in (rows, other))
    for _ in range(10):  # the other edge would leave node 2 without any
        child = space.crossover(first, second, rng)
        assert space.paths(child)["generator"][0][2:4] == ("skip", "skip")


@pytest.mark.parametrize("name", NAMES)
def test_notation(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(6)
    for member in [*space.members.values(), *(space.sample(rng) for _ in range(50))]:
        assert space.parse(space.format(member)) == member
        assert space.from_paths(space.paths(member)) == member
        assert space.from_dict(json.loads(json.dumps(member.to_dict()))) == member
        assert space.decode(space.encode(member)) == member


@pytest.mark.parametrize(
    "text",
    [
        "genotype",
        "3",
        "[[1,1,1,0,2,3,1]]",
        "[[1,1,1,0,2,3],[1,1,0,1,3,0,5],[0,1,0,3,0,0,3]]",
        "[[1,1,1,0,2,3,7],[1,1,0,1,3,0,5],[0,1,0,3,0,0,3]]",
        "[[1,1,1,0,2,3,true],[1,1,0,1,3,0,5],[0,1,0,3,0,0,3]]",
        "[[1,3,1,0,2,3,1],[1,1,0,1,3,0,5],[0,1,0,3,0,0,3]]",
        "[[1,1,0,0,2,3,1],[1,1,0,1,3,0,5],[0,1,0,3,0,0,3]]",
        "[[1,1,1,0,2,3,-1],[1,1,0,1,3,0,5],[0,1,0,3,0,0,3]]",
        "[" * 5000,
    ],
)
def test_what_is_no_genotype(text: str) -> None:
    with pytest.raises(SpaceError) as refused:
        space_of("gan-generator").parse(text)
    assert refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "[[0,0,3,0,2,0,0],[3,0,3,0,1,-1,-1],[3,0,3,0,1,-1,-1]]",
        "[[3,0,3,0,2,0,-1],[3,0,3,0,1,-1,-1],[3,0,3,0,1,-1,-1]]",
        "[[3,0,3,0,0,0,0],[3,0,3,0,1,-1,-1],[3,0,3,0,1,-1,-1]]",
    ],
)
def test_what_is_no_discriminator(text: str) -> None:
    with pytest.raises(SpaceError, match="cell 1 of the discriminator"):
        space_of("gan-discriminator").parse(text)


def test_a_pair_is_two_genotypes() -> None:
    with pytest.raises(SpaceError, match="3 genotypes"):
        space_of("gan").parse("[[1],[2],[3]]")


def test_a_search_of_one_part_holds_the_other() -> None:
    gan, generators = space_of("gan"), space_of("gan-generator")
    member = generators.members["EAGAN"]
    assert generators.candidate(member).architecture == gan.members["EAGAN_G"]
    assert generators.member(generators.candidate(member)) == member
    discriminators = space_of("gan-discriminator").holding("generator", gan.members["smallest"])
    found = discriminators.candidate(discriminators.members["EAGAN_C"]).architecture
    paths = {part: gan.paths(found)[part] for part in ("generator", "discriminator")}
    assert paths["generator"] == gan.paths(gan.members["smallest"])["generator"]
    assert paths["discriminator"] == gan.paths(gan.members["EAGAN"])["discriminator"]
    with pytest.raises(SpaceError, match="does not hold"):
        generators.holding("generator", member)
    with pytest.raises(SpaceError, match="has no discriminator"):
        generators.holding("discriminator", member)


@pytest.mark.parametrize(
    ("shape", "scale", "word"),
    [
        ((1, 28, 28), {}, "28x28"),
        ((3, 72, 72), {}, "72x72"),
        ((3, 32, 16), {}, "32x16"),
        ((0, 32, 32), {}, "input_shape"),
        ((3, 32, 32), {"latent": 100}, "latent is 100"),
        ((3, 32, 32), {"channels": 8}, "channels"),
        ((3, 32, 32), {"spectral_norm": 1}, "spectral_norm"),
    ],
)
def test_what_is_refused(shape: tuple[int, int, int], scale: dict[str, object], word: str) -> None:
    gan = space_of("gan")
    for ask in (gan.network, gan.cost):
        with pytest.raises(SpaceError, match=word):
            ask(gan.members["EAGAN"], shape, **scale)
    with pytest.raises(SpaceError, match=word):
        gan.supernet(shape, **scale)
