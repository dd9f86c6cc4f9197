"""FBNetV3: the released networks and others, counted by four counters that share no code."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas.core.architecture import Architecture
from nas.measure import count_macs, count_parameters
from search_spaces import get_space
from search_spaces.fbnetv3.blocks import SqueezeExcitation
from search_spaces.fbnetv3.space import FBNetV3Space

CLASSES = 1000
# Pixels, parameters, weights ("params"), MACs, MACs and pools ("flops"), MACs if padded alike.
PUBLISHED = {
    "A0": (224, 6_309_976, 6_275_532, 217_917_744, 218_578_288, 217_917_744),
    "A": (224, 8_598_480, 8_542_224, 355_514_328, 356_598_280, 407_508_576),
    "B": (248, 8_598_480, 8_542_224, 460_150_000, 461_550_136, 520_022_232),
    "D": (248, 10_306_296, 10_237_552, 642_628_864, 644_420_352, 642_628_864),
    "E": (264, 10_772_896, 10_699_464, 759_952_160, 762_046_336, 858_534_728),
    "G": (320, 16_623_920, 16_513_648, 2_125_187_200, 2_129_656_384, 2_125_187_200),
}
# Published as rounded numbers of millions only.
ROUNDED = {"C": (248, 557), "F": (272, 1182)}
QUICK = ("A0", "C")
SMALL_SHAPES = ((1, 8, 8), (3, 32, 32), (2, 5, 13))


def space_of(name: str = "fbnetv3") -> FBNetV3Space:
    space = get_space(name)
    assert isinstance(space, FBNetV3Space)
    return space


def built(
    space: FBNetV3Space,
    architecture: Architecture,
    shape: tuple[int, int, int],
    classes: int = CLASSES,
    **scale: Any,
) -> nn.Module:
    with torch.device("meta"):
        return space.network(architecture, shape, classes, **scale).eval()


def weights_of(network: nn.Module) -> int:
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return sum(layer.weight.numel() for layer in layers)


def hooked(network: Any, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Multiply-accumulates, and these with pooled numbers, from the shapes that layers give."""
    macs, pooled = [], []

    def multiply(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        macs.append(prod(output.shape[1:]) * prod(layer.weight.shape[1:]))

    def pool(layer: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        pooled.append(prod(inputs[0].shape[1:]))

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(multiply)
        if isinstance(module, SqueezeExcitation):
            module.register_forward_hook(pool)
    network.expand.register_forward_hook(lambda m, i, out: pooled.append(prod(out.shape[1:])))
    network.features.register_forward_hook(lambda m, i, out: pooled.append(prod(out.shape[1:])))
    with torch.no_grad():
        network(torch.empty(2, *shape, device="meta"))
    return sum(macs), sum(macs) + sum(pooled)


def exported(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates from the nodes of an exported graph."""
    program = torch.export.export(network, (torch.empty(2, *shape, device="meta"),))
    aten, total = torch.ops.aten, 0
    for node in program.graph.nodes:
        if node.target in {aten.conv2d.default, aten.linear.default}:
            weight, output = node.args[1].meta["val"], node.meta["val"]
            total += prod(output.shape[1:]) * prod(weight.shape[1:])
    return total


@pytest.mark.parametrize("name", PUBLISHED)
def test_released_networks_have_their_published_counts(name: str) -> None:
    space = space_of()
    pixels, *published, same = PUBLISHED[name]
    member = space.members[name]
    assert member.choices["resolution"] == pixels
    account = space.account(member, (3, pixels, pixels), CLASSES)
    assert [account.params, account.weights, account.macs, account.published_flops] == published
    assert space.cost(member, (3, pixels, pixels), CLASSES).macs == account.macs
    assert space.cost(member, (3, pixels, pixels), CLASSES, padding="same").macs == same


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in (*PUBLISHED, *ROUNDED)],
)
def test_counters_agree_on_released_networks(name: str) -> None:
    space = space_of()
    assert set(space.members) == {*PUBLISHED, *ROUNDED}
    for padding in ("published", "same"):
        account = space.account(space.members[name], (3, 32, 32), CLASSES, padding=padding)
        network = built(space, space.members[name], (3, 32, 32), padding=padding)
        assert count_parameters(network) == account.params
        assert weights_of(network) == account.weights
        assert count_macs(network, (3, 32, 32)) == account.macs
        assert hooked(network, (3, 32, 32)) == (account.macs, account.published_flops)


@pytest.mark.parametrize("name", ROUNDED)
def test_networks_whose_exact_counts_are_not_published(name: str) -> None:
    space, (pixels, millions) = space_of(), ROUNDED[name]
    assert space.members[name].choices["resolution"] == pixels
    account = space.account(space.members[name], (3, 32, 32), CLASSES)
    assert round(account.published_flops / 1e6) == millions


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PUBLISHED, *ROUNDED])
def test_exported_graphs_of_released_networks(name: str) -> None:
    space, member = space_of(), space_of().members[name]
    shape, classes = space.default_input(member)
    network = built(space, member, shape, classes)
    assert exported(network, shape) == space.cost(member, shape, classes).macs


@pytest.mark.parametrize(
    ("count", "seed"),
    [(2, 0), *(pytest.param(20, seed, marks=pytest.mark.slow) for seed in range(1, 11))],
)
def test_counters_agree_on_random_networks(count: int, seed: int) -> None:
    space, rng = space_of(), np.random.default_rng(seed)
    for _ in range(count):
        member = space.sample(rng)
        account = space.account(member, (3, 224, 224), CLASSES)
        network = built(space, member, (3, 224, 224))
        assert count_parameters(network) == account.params
        assert weights_of(network) == account.weights
        assert count_macs(network, (3, 224, 224)) == account.macs
        assert hooked(network, (3, 224, 224)) == (account.macs, account.published_flops)


@pytest.mark.slow
def test_exported_graphs_of_random_networks() -> None:
    space, rng = space_of(), np.random.default_rng(5)
    for _ in range(4):
        member = space.sample(rng)
        macs = space.cost(member, (3, 200, 100), CLASSES).macs
        assert exported(built(space, member, (3, 200, 100)), (3, 200, 100)) == macs


@pytest.mark.parametrize("shape", SMALL_SHAPES)
def test_counters_agree_on_small_networks(shape: tuple[int, int, int]) -> None:
    space, rng = space_of("fbnetv3-small"), np.random.default_rng(6)
    for index in range(3):
        member = space.sample(rng)
        account = space.account(member, shape, 7)
        network = built(space, member, shape, 7)
        assert (count_parameters(network), weights_of(network)) == (account.params, account.weights)
        assert count_macs(network, shape) == account.macs
        assert hooked(network, shape) == (account.macs, account.published_flops)
        if index == 0:
            assert exported(network, shape) == account.macs


def ends(space: FBNetV3Space) -> tuple[Architecture, Architecture]:
    """The members with the first and with the last value of every choice."""
    values = {choice.name: list(choice.values()) for choice, _ in space.tree.slots}
    first = {name: options[0] for name, options in values.items()}
    last = {name: options[-1] for name, options in values.items()}
    return space.architecture(first), space.architecture(last)


def test_smallest_and_largest_members() -> None:
    space = space_of()
    costs = [space.cost(member, (3, 224, 224), CLASSES, padding="same") for member in ends(space)]
    assert [cost.macs for cost in costs] == [137_843_408, 4_021_684_928]
    assert [cost.params for cost in costs] == [5_264_888, 20_973_488]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_small_members_differ_enough_to_choose(shape: tuple[int, int, int]) -> None:
    space = space_of("fbnetv3-small")
    smallest, largest = (space.cost(member, shape).macs for member in ends(space))
    assert largest > 30 * smallest
    rng = np.random.default_rng(0)
    macs = sorted(space.cost(space.sample(rng), shape).macs for _ in range(400))
    assert macs[-1] > 10 * macs[0] / 2


def test_maps_of_a_released_network() -> None:
    network = built(space_of(), space_of().members["A"], (3, 224, 224))
    sides: list[int] = []
    for module in (network.stem, *network.stages.values()):
        module.register_forward_hook(lambda m, i, out: sides.append(out.shape[-1]))
    with torch.no_grad():
        network(torch.empty(2, 3, 224, 224, device="meta"))
    assert sides == [112, 112, 56, 28, 13, 13, 6, 6]
