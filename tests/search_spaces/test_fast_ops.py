"""The kernels behind the fast supernets, against the ordinary layers and autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from search_spaces import fastops
from search_spaces.gains import Gains
from search_spaces.lanes import each, same
from search_spaces.normalise import centre_, normalise

DOUBLE = torch.float64


def images(*shape: int) -> torch.Tensor:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=DOUBLE)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 4), (4, 3), (5, 5), (7, 9), (8, 8)])
@pytest.mark.parametrize(("times", "dilation"), [(1, 1), (3, 1), (2, 2)])
def test_depthwise_gradients(
    kernel: int, stride: int, size: tuple[int, int], times: int, dilation: int
) -> None:
    x = images(2, 3, *size).requires_grad_()
    weight = torch.randn(3 * times, 1, kernel, kernel, dtype=DOUBLE, requires_grad=True)
    wide = fastops.repeat_channels(x, times)
    y = fastops.depthwise(wide, weight, stride, dilation)
    direction = torch.randn_like(y)
    into_x, into_weight = torch.autograd.grad(y, [x, weight], direction)
    found = fastops.depthwise_weight_gradient(
        direction, x.detach(), kernel, stride, dilation, times
    )
    torch.testing.assert_close(found, into_weight, rtol=1e-10, atol=1e-10)
    back = fastops.depthwise_input_gradient(direction, wide.detach(), weight, stride, dilation)
    torch.testing.assert_close(
        fastops.sum_repeats(back.detach(), times), into_x, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("channels", [2, 20])
def test_sums_of_repeats(channels: int) -> None:
    x = images(2, 3 * channels, 2, 3)
    expected = x.unflatten(1, (3, channels)).sum(1)
    torch.testing.assert_close(fastops.sum_repeats(x, 3), expected)


@pytest.mark.parametrize("kernel", [3, 5])
def test_dilation_is_an_ordinary_convolution_of_phases(kernel: int) -> None:
    x = images(2, 3, 6, 8)
    weight = torch.randn(3, 1, kernel, kernel, dtype=DOUBLE)
    expected = fastops.depthwise(x, weight, 1, 2)
    found = fastops.depthwise(fastops.split_phases(x), weight, 1)
    assert found.shape == (8, 3, 3, 4)
    torch.testing.assert_close(found, fastops.split_phases(expected))


def test_phases_are_a_view_that_can_be_written() -> None:
    x = torch.zeros(3, 2, 4, 6, 5)
    view = fastops.phases(x)
    assert view.shape == (3, 2, 2, 2, 2, 3, 5)
    view[:, 1, 0] = 1
    assert torch.equal(x[:, :, 1::2, ::2], torch.ones(3, 2, 2, 3, 5))
    assert x.sum().item() == 3 * 2 * 2 * 3 * 5


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("gained", [False, True])
def test_fold_is_convolution_and_normalisation(shared: bool, gained: bool) -> None:
    torch.manual_seed(0)
    groups, rows, outputs, inputs = 3, 20, 4, 5
    z = (3 + torch.randn(1 if shared else groups, rows, inputs, dtype=DOUBLE)).requires_grad_()
    weight = torch.randn(groups, outputs, inputs, dtype=DOUBLE, requires_grad=True)
    gain = torch.rand(groups, dtype=DOUBLE, requires_grad=True) if gained else None
    flat = (z @ weight.transpose(1, 2)).transpose(1, 2).flatten(0, 1).t()
    expected = functional.batch_norm(flat, None, None, training=True)
    expected = expected.t().unflatten(0, (groups, outputs)).transpose(1, 2)
    if gain is not None:
        expected = expected * gain[:, None, None]
    with torch.no_grad():
        centred = torch.stack([centre_(part.clone()) for part in z])
        folded = fastops.fold(weight, centred.transpose(1, 2) @ centred, rows, gain)
        found = centred @ folded.matrix.transpose(1, 2)
    torch.testing.assert_close(found, expected)

    direction = torch.randn_like(expected)
    wanted = [z, weight] + ([] if gain is None else [gain])
    gradients = torch.autograd.grad(expected, wanted, direction)
    with torch.no_grad():
        back = fastops.fold_backward(
            folded, direction.transpose(1, 2) @ centred, direction.sum(1), rows, weights=True
        )
        slope = direction @ folded.matrix + centred @ back.mixing + back.offset
        if shared:
            slope = slope.sum(0, keepdim=True)
    torch.testing.assert_close(slope, gradients[0])
    torch.testing.assert_close(back.weight, gradients[1])
    if gained:
        torch.testing.assert_close(back.gain, gradients[2])


def test_fold_of_a_constant_input_is_finite() -> None:
    z = centre_(torch.full((50, 3), 1e4)).unsqueeze(0)
    weight = torch.randn(1, 3, 3)
    folded = fastops.fold(weight, z.transpose(1, 2) @ z, 50, None)
    assert all(torch.isfinite(part).all() for part in folded if part is not None)


@pytest.mark.parametrize("weighted", [False, True])
def test_normalise_to_the_second_derivative(weighted: bool) -> None:
    x = (2 + images(3, 2, 4, 5)).permute(0, 2, 3, 1).requires_grad_()
    weight = torch.tensor([0.5, -2.0], dtype=DOUBLE, requires_grad=True) if weighted else None
    inputs = [x] if weight is None else [x, weight]
    direction = torch.randn(x.shape, dtype=DOUBLE)

    def library() -> torch.Tensor:
        y = functional.batch_norm(x.permute(0, 3, 1, 2), None, None, weight, training=True)
        return y.permute(0, 2, 3, 1)

    results = []
    for function in (library, lambda: normalise(x, weight)):
        y = function()
        plain = torch.autograd.grad(y, inputs, direction, retain_graph=True)
        slopes = torch.autograd.grad(y, inputs, direction, create_graph=True)
        inner = sum(slope.square().sum() for slope in slopes)
        results.append((y, *plain, *torch.autograd.grad(inner, inputs)))
    for found, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, expected)


def test_normalise_is_exact_over_many_rows() -> None:
    x = 3 + images(64, 4, 32, 32).float().permute(0, 2, 3, 1)
    expected = normalise(x.double())
    assert (normalise(x) - expected).abs().max().item() < 2e-6


def test_each_computes_once_what_is_the_same() -> None:
    calls = []

    def double(x: torch.Tensor) -> torch.Tensor:
        calls.append(x)
        return 2 * x

    a, b = torch.ones(2), torch.ones(2)
    results = each(double, [a, b, a])
    assert len(calls) == 2
    assert results[0] is results[2]
    assert results[0] is not results[1]
    assert same([a, a])
    assert not same([a, b])


def test_gains_find_zeros_and_differences() -> None:
    first = {"normal": torch.tensor([[0.5, 0.0], [0.25, 0.75]])}
    second = {"normal": torch.tensor([[0.5, 0.0], [0.0, 0.75]])}
    gains = Gains([first, second])
    assert gains.masked(0, "normal") == {(0, 1)}
    assert gains.masked(1, "normal") == {(0, 1), (1, 0)}
    assert gains.varied("normal") == {1}
    assert gains.row(1, "normal", 1) == [0.0, 0.75]
    learnt = {"normal": first["normal"].clone().requires_grad_()}
    assert Gains([learnt]).masked(0, "normal") == frozenset()


def test_gains_include_the_weights_of_edges() -> None:
    mixture = {"normal": torch.ones(2, 3), "normal/edges": torch.tensor([0.5, 2.0])}
    gains = Gains([mixture])
    assert gains.table(0, "normal").tolist() == [[0.5] * 3, [2.0] * 3]
    edges = gains.edges(0, "normal")
    assert edges is not None
    assert edges.tolist() == [0.5, 2.0]
