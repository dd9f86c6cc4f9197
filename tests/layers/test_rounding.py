"""Weights of few bits: grids, the error of a layer, FlexRound, and whole networks."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.layers.order import weighted_layers
from nas.layers.rounding import Divided, Reconstruction, flexround, grid, nearest, quantize

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(32, 5), (40, 32)),
    "linear of sequences": (nn.Linear(32, 5), (10, 7, 32)),
    "plain": (nn.Conv2d(3, 4, 3, padding=1), (8, 3, 6, 6)),
    "strided": (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), (8, 3, 7, 6)),
    "depthwise": (nn.Conv2d(4, 4, 5, padding=4, dilation=2, groups=4), (8, 4, 6, 6)),
    "grouped": (nn.Conv2d(4, 6, 3, padding="same", dilation=2, groups=2), (8, 4, 6, 6)),
    "even and same": (nn.Conv2d(2, 3, 4, padding="same"), (8, 2, 6, 5)),
    "circular": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (8, 2, 6, 6)),
    "valid": (nn.Conv2d(2, 3, 3, padding="valid"), (8, 2, 6, 6)),
}


def drawn(name: str) -> tuple[Any, Tensor]:
    torch.manual_seed(1)
    layer, shape = LAYERS[name]
    layer = copy.deepcopy(layer).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer, torch.rand(shape, dtype=torch.float64)  # as behind a ReLU: with a mean


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_rounding_to_nearest_is_the_best_of_the_grid(bits: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(7, 3, 3, 3, dtype=torch.float64) * torch.logspace(-3, 2, 7).view(
        -1, 1, 1, 1
    )
    found, steps = nearest(weight, bits), grid(weight.flatten(1), bits)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for row, rounded, step in zip(weight.flatten(1), found.flatten(1), steps, strict=True):
        points = step * torch.arange(low, high + 1)
        best = points[(row[:, None] - points).abs().argmin(1)]
        torch.testing.assert_close(rounded, best, rtol=1e-12, atol=0)
        assert len(rounded.unique()) <= 2**bits
        error = (rounded - row).square().sum()
        largest = row.abs().max() / high
        for share in torch.linspace(0.05, 1, 20, dtype=torch.float64):
            other = largest * share
            rival = other * (row / other).round().clamp(low, high)
            assert error <= 1.02 * (rival - row).square().sum()  # the grid of 80 is nearly the best


def test_rows_of_zeros_stay_zero() -> None:
    weight = torch.zeros(2, 5)
    weight[1] = torch.randn(5)
    assert torch.equal(nearest(weight, 4)[0], torch.zeros(5))
    assert torch.isfinite(nearest(weight, 4)).all()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_flexround_begins_at_the_nearest_exactly(name: str, bits: int) -> None:
    layer, _ = drawn(name)
    begin = Divided(layer.weight.detach(), bits)
    assert torch.equal(begin().view_as(layer.weight), nearest(layer.weight.detach(), bits))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", LAYERS)
def test_the_error_is_that_of_outputs(name: str) -> None:
    """Of inputs that are no longer what they were, against two forward passes."""
    layer, was = drawn(name)
    now = was + 0.3 * torch.randn_like(was)
    other = copy.deepcopy(layer)
    nn.init.normal_(other.weight)
    seen = Reconstruction(layer)
    for old, new in zip(was.split(4), now.split(4), strict=True):
        seen.see(new, layer(old).detach())

    def apart(network: nn.Module) -> Tensor:
        return (network(now) - layer(was)).square().sum()

    bias = 0 if layer.bias is None else layer.bias.view(-1, *[1] * (was.ndim - 2) * (was.ndim == 4))
    unit = (layer(now) - bias).square().sum()
    wanted = (apart(other) - apart(layer)) / unit
    found = seen.error(other.weight.flatten(1))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("rate", [0.003, 10.0])
def test_flexround_is_never_worse_than_its_beginning(name: str, bits: int, rate: float) -> None:
    """Not even at a rate at which it does not learn; at a good one it is better."""
    layer, x = drawn(name)
    outputs = layer(x).detach()
    seen = Reconstruction(layer)
    seen.see(x, outputs)
    losses = []
    for weight in (
        nearest(layer.weight.detach(), bits),
        flexround(layer.weight, bits, seen.error, 100, rate),
    ):
        assert all(len(row.unique()) <= 2**bits for row in weight.flatten(1))
        rounded = copy.deepcopy(layer)
        with torch.no_grad():
            rounded.weight.copy_(weight)
        losses.append(float((rounded(x) - outputs).detach().square().sum()))
    assert losses[1] <= losses[0] * (1 + 1e-9)
    if rate == 0.003:
        assert losses[1] < 0.97 * losses[0]


class Twice(nn.Module):
    """Applies a layer twice, changes what it gave in place, and has one that nothing reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)
        self.inner = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.inner(x), inplace=True)
        x = nn.functional.relu(self.inner(x), inplace=True)
        logits: Tensor = self.last(x)
        return logits


def test_layers_are_found_in_the_order_of_their_use() -> None:
    network = Twice()
    assert weighted_layers(network, torch.rand(2, 6)) == {"inner": 2, "last": 1}
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("learn", [None, (30, 0.003)])
def test_whole_networks(learn: tuple[int, float] | None) -> None:
    torch.manual_seed(0)
    network, x = Twice(), torch.rand(50, 6)
    first = copy.deepcopy(network)
    names = quantize(network, [x[:25], x[25:]], 3, ends=8, learn=learn)
    assert names == ["inner", "last", "unused"]
    levels = {n: max(len(r.unique()) for r in network.get_submodule(n).weight) for n in names}  # type: ignore[union-attr]
    assert levels["unused"] <= 8
    torch.testing.assert_close(network.inner.weight, first.inner.weight, rtol=0, atol=0.05)
    assert torch.equal(network.unused.weight, nearest(first.unused.weight.detach(), 3))
    assert torch.equal(network.last.bias, first.last.bias)
    again = copy.deepcopy(first)
    quantize(again, [x[:25], x[25:]], 3, ends=8, learn=learn)
    assert all(map(torch.equal, again.state_dict().values(), network.state_dict().values()))
    for (name, rounded), old in zip(network.named_parameters(), first.parameters(), strict=True):
        assert torch.equal(rounded, old) is ("bias" in name)


def test_later_layers_make_up_for_earlier_ones() -> None:
    """Each layer is taught by what it reads now; errors do not add up as in rounding to nearest."""
    torch.manual_seed(0)
    network = nn.Sequential(*itertools.chain(*((nn.Linear(16, 16), nn.ReLU()) for _ in range(4))))
    x = torch.rand(200, 16)
    outputs = network(x)
    losses = {}
    for learn in (None, (100, 0.003)):
        rounded = copy.deepcopy(network)
        quantize(rounded, [x], 3, learn=learn)
        losses[learn] = float((rounded(x) - outputs).detach().square().mean())
    assert losses[100, 0.003] < 0.4 * losses[None]
