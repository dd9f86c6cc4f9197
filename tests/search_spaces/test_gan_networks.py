"""Networks of GANs against few lines of their own, counts against hooks, equality in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.measure import count_macs, count_parameters
from search_spaces import get_space
from search_spaces.gan.discriminator import Discriminator, DownCell
from search_spaces.gan.equal import (
    canonical_discriminator,
    canonical_generator,
    kinds_discriminator,
    kinds_generator,
)
from search_spaces.gan.generator import Generator, UpCell
from search_spaces.gan.genes import NONE, SKIP, Row, living_discriminator, living_generator
from search_spaces.gan.operations import doubled, enlarged
from search_spaces.gan.pair import Pair
from search_spaces.gan.rows import DISCRIMINATORS, GENERATORS, Rows
from search_spaces.gan.space import GanSpace

SMALL = {"generator_channels": 6, "latent": 12, "discriminator_channels": 5}
SIDES = (8, 16, 24, 32, 48, 64)


def space_of(name: str) -> GanSpace:
    space = get_space(name)
    assert isinstance(space, GanSpace)
    return space


# -- against few lines -----------------------------------------------------------------------------


def conv(state: dict[str, Tensor], name: str, x: Tensor, op: str, stride: int = 1) -> Tensor:
    kernel, spread = int(op[-1]), 2 if op.startswith("dil") else 1
    weight, bias = state[f"{name}.{op}.conv.weight"], state[f"{name}.{op}.conv.bias"]
    return functional.conv2d(x, weight, bias, stride, kernel // 2 * spread, spread)


def on(state: dict[str, Tensor], name: str, x: Tensor, number: int, bare: bool = False) -> Tensor:
    if number < 2:
        return x * number
    op = ("conv_1x1", "conv_3x3", "conv_5x5", "dil_conv_3x3", "dil_conv_5x5")[number - 2]
    return conv(state, name, x if bare else x.clamp(min=0), op)


def up(state: dict[str, Tensor], name: str, x: Tensor, number: int) -> Tensor:
    op = ("nearest", "bilinear", "transposed")[number]
    if number < 2:
        x = functional.interpolate(x, scale_factor=2, mode=op)
        return conv_1x1(state, f"{name}.{op}.conv", x.clamp(min=0))
    weight = state[f"{name}.{op}.spread.weight"]
    x = functional.conv_transpose2d(x.clamp(min=0), weight, None, 2, 1, 1, len(weight))
    return functional.conv2d(x, state[f"{name}.{op}.conv.weight"])


def conv_1x1(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"])


def drawn(network: Generator, genotype: list[list[int]], z: Tensor) -> Tensor:
    """The generator as the paper draws it, in evaluation mode."""
    state, h, kept = network.state_dict(), None, []
    for k, (row, part) in enumerate(zip(genotype, z.chunk(3, 1), strict=True)):
        fresh = part @ state[f"dense.{k}.weight"].T + state[f"dense.{k}.bias"]
        fresh = fresh.view(len(z), -1, network.bottom * 2**k, network.bottom * 2**k)
        h = fresh if h is None else h + fresh
        cell = f"cells.{k}.edges"
        n0, n1 = up(state, f"{cell}.up0", h, row[0]), up(state, f"{cell}.up1", h, row[1])
        n2 = on(state, f"{cell}.2_0", n0, row[2]) + on(state, f"{cell}.2_1", n1, row[3])
        for j, earlier in enumerate(kept):
            mode = ("nearest", "bilinear", "nearest")[k]
            larger = functional.interpolate(earlier, scale_factor=2 ** (k - j), mode=mode)
            n2 = n2 + conv_1x1(state, f"cells.{k}.skips.{j}", larger)
        kept.append(n2)
        h = on(state, f"{cell}.3_0", n0, row[4]) + on(state, f"{cell}.3_1", n1, row[5])
        h = h + on(state, f"{cell}.3_2", n2, row[6])
    mean, variance = state["norm.running_mean"], state["norm.running_var"]
    h = functional.batch_norm(h, mean, variance, state["norm.weight"], state["norm.bias"])
    h = functional.conv2d(h.clamp(min=0), state["to_image.weight"], state["to_image.bias"], 1, 1)
    return torch.tanh(h)


def scored(network: Discriminator, genotype: list[list[int]], x: Tensor) -> Tensor:
    """The discriminator as the paper draws it."""
    state = network.state_dict()

    def plain(name: str, x: Tensor) -> Tensor:
        weight = state[f"first.{name}.weight"]
        return functional.conv2d(x, weight, state[f"first.{name}.bias"], 1, weight.shape[-1] // 2)

    h = functional.avg_pool2d(plain("conv2", plain("conv1", x).clamp(min=0)), 2)
    h = h + plain("shortcut", functional.avg_pool2d(x, 2))
    for k, row in enumerate(genotype):
        cell = f"cells.{k}.edges"
        n1 = on(state, f"{cell}.1_0", h, row[0])
        n2 = on(state, f"{cell}.2_0", h, row[1]) + on(state, f"{cell}.2_1", n1, row[2])
        n3 = on(state, f"{cell}.3_1", n1, row[3]) + on(state, f"{cell}.3_0", h, row[4], bare=True)
        if row[5] >= 0:
            n2 = halved(state, f"{cell}.down2", n2, row[5])
            n3 = halved(state, f"{cell}.down3", n3, row[6])
        h = n2 + n3
    return h.clamp(min=0).sum((2, 3)) @ state["score.weight"].T


def halved(state: dict[str, Tensor], name: str, x: Tensor, number: int) -> Tensor:
    if number == 0:
        return functional.avg_pool2d(x, 2, ceil_mode=True)
    if number == 1:
        return functional.max_pool2d(x, 2, ceil_mode=True)
    op = ("conv_3x3", "conv_5x5", "dil_conv_3x3", "dil_conv_5x5")[number - 2]
    return conv(state, name, x.clamp(min=0), op, stride=2)


@pytest.mark.parametrize("side", SIDES)
def test_they_compute_what_the_paper_draws(side: int) -> None:
    gan, rng = space_of("gan"), np.random.default_rng(side)
    torch.manual_seed(side)
    known = [gan.members["EAGAN_STL"], gan.members["AdversarialNAS"]]
    for member in [*known, *(gan.sample(rng) for _ in range(6))]:
        shape = (1 + side % 3, side, side)
        pair = gan.network(member, shape, spectral_norm=False, **SMALL).double()
        nn.init.normal_(pair.generator.norm.running_mean)
        generator, discriminator = (
            rows.numbers(gan.paths(member)[rows.name]) for rows in gan.parts
        )
        z = torch.randn(3, 12, dtype=torch.float64)
        images = pair.eval()(z)
        assert images.shape == (3, *shape)
        assert (images - drawn(pair.generator, generator, z)).abs().max() < 1e-12
        scores = pair.discriminator(images)
        assert scores.shape == (3, 1)
        expected = scored(pair.discriminator, discriminator, images)
        assert (scores - expected).abs().max() < 1e-10 * max(1, expected.abs().max())


def test_spectral_normalisation_bounds_every_layer() -> None:
    space = space_of("gan-discriminator")
    torch.manual_seed(0)
    network = space.network(space.members["EAGAN_C"], (1, 8, 8), discriminator_channels=5)
    for _ in range(50):
        network(torch.randn(2, 1, 8, 8))
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3 + 3 + 1 + 2 + 1
    for layer in layers:
        largest = float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2))
        assert largest == pytest.approx(1, abs=1e-2)
    plain = space.network(
        space.members["EAGAN_C"], (1, 8, 8), discriminator_channels=5, spectral_norm=False
    )
    assert not any("original" in name for name in plain.state_dict())
    assert count_parameters(plain) == count_parameters(network)


def test_a_pair_computes_images_and_is_made_of_plain_values() -> None:
    gan = space_of("gan")
    pair = gan.network(gan.members["EAGAN"], (1, 8, 8), **SMALL)
    assert isinstance(pair, Pair)
    z = torch.randn(4, pair.generator.latent)
    assert torch.equal(pair.eval()(z), pair.generator(z))
    assert pair(z).abs().max() <= 1
    again = type(pair)(**pair.arguments)
    again.load_state_dict(pair.state_dict())
    assert torch.equal(again.eval()(z), pair(z))


# -- counts and what has no part -------------------------------------------------------------------


@pytest.mark.slow
def test_counts_are_those_of_hooks() -> None:
    gan, rng = space_of("gan"), np.random.default_rng(0)
    for number in range(24):
        member, side = gan.sample(rng), SIDES[number % len(SIDES)]
        scale = {**SMALL, "spectral_norm": number % 4 == 0}
        pair = gan.network(member, (3, side, side), **scale)
        found = gan.costs(member, (3, side, side), **scale)
        for part, taken in (("generator", (12,)), ("discriminator", (3, side, side))):
            network = getattr(pair, part)
            counted = count_parameters(network), count_macs(network, taken)
            assert (found[part].params, found[part].macs) == counted
        cost = gan.cost(member, (3, side, side), **SMALL)
        assert (cost.params, cost.macs) == (count_parameters(pair), count_macs(pair, (12,)))


def test_the_published_generator_has_one_dead_branch() -> None:
    gan = space_of("gan")
    assert gan.dead(gan.members["EAGAN"]) == {"generator/cell3/up0": 65_792}


def test_dead_are_those_without_a_gradient() -> None:
    gan, rng = space_of("gan"), np.random.default_rng(1)
    torch.manual_seed(1)
    parts = Counter[str]()
    for number in range(60):
        member = gan.sample(rng)
        if number % 3 == 0:  # where node 2 of the last cells is read by nobody
            path = gan.paths(member)
            rows = [(*row[:4], "skip", "conv_1x1", NONE) for row in path["generator"]]
            member = gan.from_paths({**path, "generator": [path["generator"][0], *rows[1:]]})
        pair = gan.network(member, (2, 16, 16), spectral_norm=False, **SMALL)
        pair.discriminator(pair(torch.randn(4, 12))).square().sum().backward()
        found = Counter[str]()
        for name, parameter in pair.named_parameters():
            if parameter.grad is None:
                part, _, cell, *rest = name.split(".")
                gene = rest[1] if rest[0] == "edges" else rest[0]
                found[f"{part}/cell{int(cell) + 1}/{gene.replace('_', '<-')}"] += parameter.numel()
        assert dict(found) == gan.dead(member, **SMALL)
        parts.update(name.rpartition("/")[2] for name in found)
    assert {"up0", "up1", "2<-0", "2<-1", "skips", "1<-0"} <= set(parts)


# -- equality --------------------------------------------------------------------------------------

CHANNELS = 6  # with few, a ReLU may see nothing but negative numbers, and hide what differs
ROWS = 300
POOL: dict[tuple[object, ...], list[dict[str, Tensor]]] = {}


def fixed(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def function_of_generator(row: Row, entered: bool, exported: bool) -> tuple[float, ...]:
    """A number for what a cell computes, the same however its weights are moved about."""
    after = ("nearest", "nearest", SKIP, NONE, SKIP, NONE, SKIP if exported else NONE)
    alive = living_generator([row, after])[0]
    cell = UpCell(row, CHANNELS, int(entered), "nearest", False).double()
    for name, tensor in cell.skips.state_dict().items():
        tensor.copy_(fixed(*tensor.shape, seed=len(name)))
    x, earlier = fixed(2, CHANNELS, 3, 3), [fixed(2, CHANNELS, 3, 3, seed=8)] * entered

    def compute() -> Tensor:
        second, third = cell(x, earlier, row, alive)
        return torch.stack([second, third]) if exported else third

    return over_all_moves(cell, GENERATORS, row, alive, compute)


def function_of_discriminator(row: Row) -> tuple[float, ...]:
    alive = living_discriminator([row])[0]
    cell = DownCell(row, CHANNELS, False, False).double()
    x = fixed(2, CHANNELS, 6, 6)
    return over_all_moves(cell, DISCRIMINATORS, row, alive, lambda: cell(x, row, alive))


@torch.no_grad()
def over_all_moves(
    cell: nn.Module, rows: Rows, row: Row, alive: frozenset[str], compute: Callable[[], Tensor]
) -> tuple[float, ...]:
    """The least of what comes out when layers of a kind have the same weights in every order."""
    layers: dict[tuple[object, ...], list[nn.Module]] = {}
    for gene, name in zip(rows.genes, row, strict=True):
        edge = cell.edges[gene.replace("<-", "_")]
        if gene in alive and any(True for _ in edge.parameters()):
            layers.setdefault((name, gene[:2] in ("up", "do")), []).append(edge)
    for kind, edges in layers.items():
        weights = POOL.setdefault(kind, [])
        while len(weights) < len(edges):
            seed = 100 + 100 * sum(map(len, POOL.values()))  # no two have the same numbers
            state = edges[0].state_dict()
            weights.append({n: fixed(*t.shape, seed=seed + len(n)) for n, t in state.items()})
    found = []
    for orders in product(*(permutations(POOL[k][: len(v)]) for k, v in layers.items())):
        for edges, order in zip(layers.values(), orders, strict=True):
            for edge, weights in zip(edges, order, strict=True):
                edge.load_state_dict(weights)
        y = compute()
        found.append(round(float((y * fixed(*y.shape, seed=9)).sum()), 7))
    return (min(found), float(y.dim()))


def simple(rows: Rows, rng: np.random.Generator) -> Row:
    """A row with many skips and nothings, among which equalities are."""
    while True:
        found = [
            name
            if gene[:2] in ("up", "do")
            else str(rng.choice([NONE, SKIP, SKIP, "conv_1x1", "conv_1x1", name]))
            for gene, name in zip(rows.genes, rows.draw(rng), strict=True)
        ]
        if rng.random() < 0.7:
            found = [
                n if g[:2] != "up" else "nearest" for g, n in zip(rows.genes, found, strict=True)
            ]
        if rows is DISCRIMINATORS and rng.random() < 0.7:
            found[5:] = [[NONE, NONE], ["avg_pool"] * 2][int(rng.integers(2))]
        if not rows.refusal([found]):
            return tuple(found)


def check_partition(kinds: list[int], functions: list[tuple[float, ...]]) -> None:
    """Rows are of one kind if and only if they compute the same."""
    groups = len(set(kinds))
    assert 100 < groups < len(kinds) - 100
    assert groups == len(set(functions)) == len(set(zip(kinds, functions, strict=True)))


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize("entered", [pytest.param(False, marks=pytest.mark.slow), True])
def test_generator_cells_of_a_kind_are_those_that_compute_the_same(
    entered: bool, exported: bool
) -> None:
    first, rng = kinds_generator(entered=entered, exported=exported), np.random.default_rng(11)
    rows = [simple(GENERATORS, rng) for _ in range(ROWS)]
    rows += [GENERATORS.at(int(first[GENERATORS.place(row)])) for row in rows]
    check_partition(
        [int(first[GENERATORS.place(row)]) for row in rows],
        [function_of_generator(row, entered, exported) for row in rows],
    )


def test_discriminator_cells_of_a_kind_are_those_that_compute_the_same() -> None:
    first, rng = kinds_discriminator(), np.random.default_rng(12)
    rows = [simple(DISCRIMINATORS, rng) for _ in range(2 * ROWS)]
    rows += [DISCRIMINATORS.at(int(first[DISCRIMINATORS.place(row)])) for row in rows]
    check_partition(
        [int(first[DISCRIMINATORS.place(row)]) for row in rows],
        [function_of_discriminator(row) for row in rows],
    )


def test_canonical_genotypes() -> None:
    rng = np.random.default_rng(13)
    for name in ("gan", "gan-generator", "gan-discriminator"):
        space = space_of(name)
        for member in [*space.members.values(), *(space.sample(rng) for _ in range(100))]:
            first = space.canonical(member)
            assert space.canonical(first) == first
            assert space.identity(member) == space.identity(first)
            assert space.cost(first).params <= space.cost(member).params
    for _ in range(100):  # the mirror of a cell is the same cell
        path = [GENERATORS.draw(rng) for _ in range(3)]
        mirrored = [tuple(row[i] for i in (1, 0, 3, 2, 5, 4, 6)) for row in path]
        assert canonical_generator(tuple(mirrored)) == canonical_generator(tuple(path))
    # EAGAN's second cell has a node that is its input: the convolution before it may be anything.
    eagan = DISCRIMINATORS.from_numbers([[1, 0, 3, 0, 1, -1, -1]] * 3)
    plain = DISCRIMINATORS.from_numbers([[5, 3, 0, 0, 1, -1, -1]] * 3)
    assert canonical_discriminator(eagan) == canonical_discriminator(plain)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 3, 1, 5), (1, 2, 6, 1)])
def test_twice_the_size_is_what_the_library_makes(shape: tuple[int, ...]) -> None:
    """It takes its place on GPUs, where the library's gradient has no order."""
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    size = (2 * shape[2], 2 * shape[3])
    expected = enlarged(x, size, "bilinear")
    found = doubled(doubled(x, 2), 3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    slope = torch.randn_like(found)
    (a,), (b,) = (torch.autograd.grad(y, x, slope) for y in (found, expected))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
