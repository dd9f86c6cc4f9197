"""Gradients of the bilevel problem against differences and literal optimiser steps (float64).

The net is a small supernet made smooth (SiLU for ReLU, average for max pooling): on kinks the
published finite difference does not converge to anything, so nothing is asserted there.
"""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.oneshot import bilevel
from nas.oneshot.bilevel import WeightStep, gradients, second_order
from search_spaces import get_space, layers

XI = 0.025


class Net:
    """A smooth supernet with a training and a validation batch."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        self.supernet = get_space("darts").supernet((3, 8, 8), 4, channels=2, layers=3, fast=False)
        for module in list(self.supernet.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.MaxPool2d):
                    setattr(module, name, nn.AvgPool2d(3, child.stride, 1, count_include_pad=False))
        self.supernet.double()
        with torch.no_grad():
            for alpha in self.supernet.alpha_parameters():
                alpha.normal_(0, 0.3)
        self.batches = {
            split: (torch.randn(6, 3, 8, 8).double(), torch.randint(0, 4, (6,)))
            for split in ("train", "valid")
        }
        self.alphas = self.supernet.alpha_parameters()
        self.weights = self.supernet.weight_parameters()

    def loss(self, split: str) -> torch.Tensor:
        inputs, labels = self.batches[split]
        return functional.cross_entropy(self.supernet(inputs), labels)

    def train(self) -> torch.Tensor:
        return self.loss("train")

    def valid(self) -> torch.Tensor:
        return self.loss("valid")


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    smooth = SimpleNamespace(**{**vars(functional), "relu": functional.silu})
    monkeypatch.setattr(layers, "functional", smooth)
    return Net()


def plain_step(net: Net) -> WeightStep:
    return WeightStep(XI, 0.0, 0.0, [None] * len(net.weights))


def flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def relative(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    return float((flat(found) - flat(wanted)).norm() / flat(wanted).norm())


def test_first_order_is_the_derivative_of_the_validation_loss(net: Net) -> None:
    found = gradients(net.valid(), net.alphas)
    chance = torch.Generator().manual_seed(0)
    for alpha, gradient in zip(net.alphas, found, strict=True):
        direction = torch.randn(alpha.shape, generator=chance, dtype=torch.float64)
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                alpha.add_(direction, alpha=step)
                ends.append(float(net.valid()))
                alpha.sub_(direction, alpha=step)
        slope = (ends[0] - ends[1]) / 2e-5
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


def test_difference_converges_to_the_exact_product_quadratically(net: Net) -> None:
    vector = gradients(net.valid(), net.weights)
    exact = bilevel._product(net.alphas, net.weights, net.train, vector)
    here = [w.detach().clone() for w in net.weights]
    errors = []
    lengths = (1e-1, 1e-2, 1e-3, 1e-4)
    for length in lengths:
        line = (here, vector)
        errors.append(
            relative(bilevel._difference(net.alphas, net.weights, net.train, line, length), exact)
        )
        bilevel._move(net.weights, here, here, 0.0)
    slope = (math.log(errors[0]) - math.log(errors[-1])) / (
        math.log(lengths[0]) - math.log(lengths[-1])
    )
    assert slope == pytest.approx(2, abs=0.1)


def test_paper_step_is_close_to_exact_in_total(net: Net) -> None:
    losses = (net.train, net.valid)
    paper, _ = second_order(net.alphas, net.weights, losses, plain_step(net))
    exact, _ = second_order(net.alphas, net.weights, losses, plain_step(net), exact=True)
    first = gradients(net.valid(), net.alphas)
    assert relative(paper, exact) < 1e-3
    assert relative(first, exact) > 0.01  # the test would be empty if the term were negligible


@pytest.mark.parametrize("exact", [False, True])
def test_second_order_is_first_order_without_a_step(net: Net, exact: bool) -> None:
    step = WeightStep(0.0, 0.9, 3e-4, [None] * len(net.weights))
    found, _ = second_order(net.alphas, net.weights, (net.train, net.valid), step, exact=exact)
    wanted = gradients(net.valid(), net.alphas)
    assert relative(found, wanted) < 1e-12


def test_exact_is_the_derivative_through_the_step(net: Net) -> None:
    """Against a central difference of L_val(w - xi grad L_train(w, alpha), alpha) in alpha."""
    found, _ = second_order(
        net.alphas, net.weights, (net.train, net.valid), plain_step(net), exact=True
    )
    here = [w.detach().clone() for w in net.weights]

    def unrolled() -> float:
        steps = gradients(net.train(), net.weights)
        bilevel._move(net.weights, here, steps, -XI)
        value = float(net.valid().detach())
        bilevel._move(net.weights, here, here, 0.0)
        return value

    alpha, gradient = net.alphas[0], found[0]
    direction = torch.randn(alpha.shape, generator=torch.Generator().manual_seed(1)).double()
    ends = []
    for step in (1e-4, -1e-4):
        with torch.no_grad():
            alpha.add_(direction, alpha=step)
        ends.append(unrolled())
        with torch.no_grad():
            alpha.sub_(direction, alpha=step)
    slope = (ends[0] - ends[1]) / 2e-4
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-5)


def test_the_step_is_what_the_optimiser_does(net: Net) -> None:
    optimizer = torch.optim.SGD(net.weights, lr=XI, momentum=0.9, weight_decay=3e-4)
    for _ in range(2):  # so that momentum buffers exist
        optimizer.zero_grad()
        net.train().backward()
        optimizer.step()
    slope = gradients(net.train(), net.weights)
    directions = WeightStep.of(optimizer).direction([w.detach() for w in net.weights], slope)
    wanted = copy.deepcopy([w.detach() for w in net.weights])
    for weight, direction in zip(wanted, directions, strict=True):
        weight.sub_(direction, alpha=XI)
    optimizer.zero_grad()
    net.train().backward()
    optimizer.step()
    assert relative([w.detach() for w in net.weights], wanted) < 1e-14


@pytest.mark.parametrize("exact", [False, True])
def test_weights_are_put_back_bit_by_bit(net: Net, exact: bool) -> None:
    before = [w.detach().clone() for w in net.weights]
    second_order(net.alphas, net.weights, (net.train, net.valid), plain_step(net), exact=exact)
    assert all(torch.equal(a, b) for a, b in zip(before, net.weights, strict=True))

    def fails() -> torch.Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="memory"):
        second_order(net.alphas, net.weights, (net.train, fails), plain_step(net), exact=exact)
    assert all(torch.equal(a, b) for a, b in zip(before, net.weights, strict=True))


def test_a_loss_flat_in_the_weights_has_no_implicit_term() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.float64))
    alpha = nn.Parameter(torch.ones(2, dtype=torch.float64))
    step = WeightStep(XI, 0.0, 0.0, [None])
    losses = (lambda: (weight * alpha).sum(), lambda: alpha.square().sum() + 0 * weight.sum())
    found, _ = second_order([alpha], [weight], losses, step)
    assert torch.equal(found[0], torch.full((2,), 2.0, dtype=torch.float64))
