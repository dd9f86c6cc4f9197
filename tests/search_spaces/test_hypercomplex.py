"""Hypercomplex convolutions against dense, quaternion and Kronecker references."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.measure import count_macs, count_parameters
from search_spaces.costs import hypercomplex
from search_spaces.hypercomplex import PHConv2d, ReLUPHConvNorm
from search_spaces.layers import form_of

# What two units of quaternions make: (sign, unit) of i-th times j-th among 1, i, j, k.
UNITS = (
    ((1, 0), (1, 1), (1, 2), (1, 3)),
    ((1, 1), (-1, 0), (1, 3), (-1, 2)),
    ((1, 2), (-1, 3), (-1, 0), (1, 1)),
    ((1, 3), (1, 2), (-1, 1), (-1, 0)),
)


def images(channels: int, size: tuple[int, int] = (5, 6)) -> Tensor:
    return torch.randn(2, channels, *size, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_one_component_is_a_convolution(kernel: int, stride: int) -> None:
    layer = PHConv2d(3, 5, kernel, 1, stride=stride).double()
    nn.init.ones_(layer.algebra)
    dense = nn.Conv2d(3, 5, kernel, stride, kernel // 2, bias=False).double()
    dense.weight = layer.filters
    x = images(3)
    torch.testing.assert_close(layer(x), dense(x), rtol=0, atol=1e-12)


def test_hamiltons_algebra_gives_a_quaternion_convolution() -> None:
    layer = PHConv2d(8, 12, 3, 4).double()
    with torch.no_grad():
        layer.algebra.zero_()
        for i, row in enumerate(UNITS):
            for j, (sign, unit) in enumerate(row):
                layer.algebra[i, unit, j] = sign
    x = images(8)
    expected = [torch.zeros(2, 3, 5, 6, dtype=torch.float64) for _ in range(4)]
    for i, row in enumerate(UNITS):
        for j, (sign, unit) in enumerate(row):
            filters, part = layer.filters[3 * i : 3 * i + 3], x[:, 2 * j : 2 * j + 2]
            expected[unit] = expected[unit] + sign * functional.conv2d(part, filters, padding=1)
    torch.testing.assert_close(layer(x), torch.cat(expected, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_weight_is_a_sum_of_kronecker_products(n: int) -> None:
    layer = PHConv2d(2 * n, 3 * n, 3, n).double()
    weight, filters = layer.weight(), layer.filters.unflatten(0, (n, 3))
    for y in range(3):
        for x in range(3):
            parts = [torch.kron(layer.algebra[i], filters[i, :, :, y, x]) for i in range(n)]
            torch.testing.assert_close(
                weight[:, :, y, x], torch.stack(parts).sum(0), rtol=0, atol=1e-12
            )


@pytest.mark.parametrize(("n", "count"), [(1, 4609), (2, 2312), (4, 1216), (8, 1088)])
def test_parameters_shrink_and_multiply_accumulates_do_not(n: int, count: int) -> None:
    layer = PHConv2d(16, 32, 3, n)
    assert count_parameters(layer) == count == 16 * 32 * 9 // n + n**3
    dense = count_macs(nn.Conv2d(16, 32, 3, padding=1, bias=False), (16, 8, 8))
    assert count_macs(layer, (16, 8, 8)) == dense
    cost = hypercomplex(16, 32, 3, (8, 8), n)
    assert (cost.params, cost.macs) == (count + 64, dense)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_initial_weights_are_as_large_as_those_of_a_convolution(n: int) -> None:
    found = [PHConv2d(64, 64, 3, n).weight().std().item() for _ in range(20)]
    assert sum(found) / 20 == pytest.approx(nn.Conv2d(64, 64, 3).weight.std().item(), rel=0.1)
    algebra = PHConv2d(64, 64, 3, n).algebra.detach().flatten(1)
    torch.testing.assert_close(algebra @ algebra.T, n * torch.eye(n), rtol=0, atol=1e-5)


def test_channels_last_and_gradients() -> None:
    layer, x = PHConv2d(8, 8, 3, 4, stride=2).double(), images(8)
    expected = layer(x)
    (gradient,) = torch.autograd.grad(expected.square().sum(), layer.filters)
    layer.to(memory_format=torch.channels_last)
    found = layer(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    (again,) = torch.autograd.grad(found.square().sum(), layer.filters)
    torch.testing.assert_close(again, gradient, rtol=0, atol=1e-11)
    small = PHConv2d(2, 2, 1, 2).double()
    pixel = images(2, (1, 1))

    def run(algebra: Tensor, filters: Tensor) -> Tensor:
        values = {"algebra": algebra, "filters": filters}
        result: Tensor = torch.func.functional_call(small, values, (pixel,))
        return result

    assert torch.autograd.gradcheck(run, (small.algebra, small.filters))


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 8), (8, 6)])
def test_channels_that_do_not_divide(inputs: int, outputs: int) -> None:
    with pytest.raises(ValueError, match="multiples of n = 4"):
        PHConv2d(inputs, outputs, 3, 4)


def test_as_an_operation() -> None:
    layer, x = ReLUPHConvNorm(8, 3, 2, 2, form_of(False)), torch.randn(16, 8, 7, 5)
    y = layer(x)
    assert y.shape == (16, 8, 4, 3)
    assert y.mean().abs() < 1e-6
    assert math.isclose(y.std(correction=0).item(), 1, abs_tol=1e-3)
    assert torch.equal(layer(x.clamp_min(0)), layer(x))
