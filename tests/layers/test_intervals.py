"""Interval bounds: they hold, are exact without width, grow with it, and know their limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import UnsupportedError
from nas.layers.intervals import Interval, bounds, margins
from search_spaces import get_space

POINTS = 1000
SPACES = {
    "nasbench201": {"channels": 4, "layers": 1},
    "nasbench101": {"channels": 8, "layers": 1},
    "darts": {"channels": 2, "layers": 3},
}


def network(space: str, seed: int, side: int = 8) -> nn.Module:
    """A random member in float64, whose normalisations do something, with negative factors too."""
    found: Any = get_space(space)
    torch.manual_seed(seed)
    member = found.sample(np.random.default_rng(seed))
    made: nn.Module = found.network(member, (2, side, side), 5, **SPACES[space]).double()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return made.eval()


def ball(x: Tensor, epsilon: float) -> Interval:
    return Interval(x - epsilon, x + epsilon)


@torch.no_grad()
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_points_of_a_ball_keep_the_bounds(space: str, seed: int) -> None:
    net, x = network(space, seed, side=5), torch.rand(1, 2, 5, 5, dtype=torch.float64)
    for epsilon in (1e-3, 0.3):
        found = bounds(net, ball(x, epsilon))
        corners = torch.rand(POINTS // 2, *x.shape[1:], dtype=torch.float64) < 0.5
        inside = 2 * torch.rand(POINTS // 2, *x.shape[1:], dtype=torch.float64) - 1
        points = x + epsilon * torch.cat([2.0 * corners - 1, inside])
        logits = net(points)
        assert (logits >= found.lower - 1e-9).all()
        assert (logits <= found.upper + 1e-9).all()
        labels = torch.tensor([3])
        lead = logits[:, labels] - logits
        assert (lead >= margins(found, labels) - 1e-9).all()


@torch.no_grad()
@pytest.mark.parametrize("space", SPACES)
def test_without_width_they_are_the_logits_and_widths_grow(space: str) -> None:
    net, x = network(space, 7), torch.rand(3, 2, 8, 8, dtype=torch.float64)
    exact = bounds(net, ball(x, 0.0))
    torch.testing.assert_close(exact.lower, net(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(exact.upper, net(x), rtol=0, atol=1e-10)
    labels = torch.tensor([0, 4, 2])
    own = net(x).gather(1, labels.unsqueeze(1)) - net(x)
    torch.testing.assert_close(margins(exact, labels), own, rtol=0, atol=1e-10)
    before = exact
    for epsilon in (1e-4, 1e-3, 1e-2, 1e-1):
        wider = bounds(net, ball(x, epsilon))
        assert (wider.lower <= before.lower + 1e-10).all()
        assert (wider.upper >= before.upper - 1e-10).all()
        assert (margins(wider, labels) <= margins(before, labels) + 1e-10).all()
        before = wider


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).double()


@torch.no_grad()
def test_two_layers_against_the_formula() -> None:
    net, x, e = mlp(), torch.randn(5, 6, dtype=torch.float64), 0.1
    (a, b), (c, d) = net[0].parameters(), net[2].parameters()
    middle, radius = x @ a.T + b, e * a.abs().sum(1)
    low, high = (middle - radius).clamp_min(0), (middle + radius).clamp_min(0)
    middle, radius = (low + high) / 2, (high - low) / 2
    found = bounds(net, ball(x, e))
    torch.testing.assert_close(
        found.lower, middle @ c.T + d - radius @ c.abs().T, rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        found.upper, middle @ c.T + d + radius @ c.abs().T, rtol=1e-12, atol=0
    )
    labels = torch.tensor([0, 1, 2, 3, 0])
    for row, label in enumerate(labels.tolist()):
        for other in range(4):
            apart = c[label] - c[other]
            wanted = apart @ middle[row] + d[label] - d[other] - apart.abs() @ radius[row]
            assert margins(found, labels)[row, other] == pytest.approx(float(wanted), rel=1e-9)


@torch.no_grad()
def test_margins_of_the_last_layer_are_tighter_than_those_of_the_logits() -> None:
    found = bounds(mlp(), ball(torch.randn(50, 6, dtype=torch.float64), 0.1))
    labels = torch.randint(0, 4, (50,))
    plain = Interval(found.lower, found.upper)
    assert (margins(found, labels) >= margins(plain, labels) - 1e-12).all()
    assert (margins(found, labels) > margins(plain, labels) + 1e-3).any()
    assert (margins(plain, labels).gather(1, labels.unsqueeze(1)) == 0).all()


CALLS: dict[str, Callable[[Any, Tensor], Any]] = {
    "difference": lambda x, t: x - x,
    "from a tensor": lambda x, t: t - x,
    "from a number": lambda x, t: 1 - x,
    "less a tensor": lambda x, t: x - t,
    "less some": lambda x, t: torch.sub(x, t, alpha=3),
    "sum": lambda x, t: t + x + x,
    "multiple": lambda x, t: -2.5 * x,
    "by a tensor": lambda x, t: t * x,
    "quotient": lambda x, t: x / t,
    "negative": lambda x, t: -x,
    "clamp": lambda x, t: x.clamp(-0.5, 0.5),
    "leaky": lambda x, t: functional.leaky_relu(x, 0.2),
    "sigmoid": lambda x, t: torch.sigmoid(x),
    "mean": lambda x, t: x.mean((2, 3)),
    "cat": lambda x, t: torch.cat([x, t, x[:, :1]], dim=1),
    "max": lambda x, t: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "average": lambda x, t: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "adaptive": lambda x, t: functional.adaptive_avg_pool2d(x, 2),
    "pad": lambda x, t: functional.pad(x, (1, 0, 0, 1), mode="reflect"),
    "shape": lambda x, t: x.flatten(2).transpose(1, 2).reshape(len(x), -1),
    "parts": lambda x, t: torch.cat([2 * y for y in x.tensor_split(2)[::-1]]) - x,
    "split": lambda x, t: torch.cat([y + 1 for y in x.split([1, 2])], dim=0),
    "order": lambda x, t: (
        x.clone(memory_format=torch.contiguous_format)
        if x.is_cuda or x.is_contiguous(memory_format=torch.channels_last)
        else x.contiguous()
    ),
    "zeros": lambda x, t: torch.zeros_like(x[:, :, ::2]) + 1,
    "circular": lambda x, t: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular").to(t)(x),
    "dilated": lambda x, t: nn.Conv2d(2, 4, 3, 2, "valid", dilation=2, groups=2).to(t)(x),
}


@torch.no_grad()
@pytest.mark.parametrize("name", CALLS)
def test_each_rule_holds(name: str) -> None:
    torch.manual_seed(0)
    call = CALLS[name]
    low, t = torch.randn(2, 3, 2, 6, 6, dtype=torch.float64)
    high = low + torch.rand_like(low)
    generator = torch.get_rng_state()
    found = call(Interval(low, high, nominal=(low + high) / 2), t)
    corner = False
    for _ in range(200):
        share = torch.rand_like(low).round() if corner else torch.rand_like(low)
        corner = not corner
        kept = torch.get_rng_state()
        torch.set_rng_state(generator)  # the same layers
        y = call(low + share * (high - low), t)
        torch.set_rng_state(kept)
        assert (y >= found.lower - 1e-12).all()
        assert (y <= found.upper + 1e-12).all()
    torch.set_rng_state(generator)
    torch.testing.assert_close(found.nominal, call((low + high) / 2, t), rtol=1e-12, atol=1e-12)


def test_changes_in_place_are_seen_wherever_the_tensor_is() -> None:
    low, high = torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 3.0])
    x = Interval(low, high)
    same = x
    functional.relu(x, inplace=True)
    x += 1
    x *= -2
    assert same.lower.tolist() == [-4.0, -8.0]
    assert same.upper.tolist() == [-2.0, -6.0]
    assert low.tolist() == [-1.0, 2.0]


@torch.no_grad()
def test_statistics_of_a_batch_are_those_of_the_clean_one() -> None:
    torch.manual_seed(0)
    layer, other = nn.BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
    nn.init.normal_(layer.weight)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(8, 3, 4, 4, dtype=torch.float64)
    found = layer(Interval(x - 0.1, x + 0.2, nominal=x))
    torch.testing.assert_close(found.nominal, other(x), rtol=1e-12, atol=1e-12)
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])  # counted once
    scale = layer.weight / (x.var((0, 2, 3), correction=0) + layer.eps).sqrt()
    width = 0.3 * scale.abs().view(1, 3, 1, 1)
    torch.testing.assert_close(found.upper - found.lower, width.expand_as(x), rtol=1e-9, atol=0)
    with pytest.raises(UnsupportedError, match="nominal"):
        layer(Interval(x, x))


def test_one_mask_of_dropout_for_all() -> None:
    torch.manual_seed(0)
    x = torch.ones(4, 100)
    found: Any = nn.Dropout(0.5)(Interval(x, 2 * x, nominal=1.5 * x))
    assert torch.equal(found.upper, 2 * found.lower)
    assert torch.equal(found.nominal, 1.5 * found.lower)
    assert 0.3 < float((found.lower == 0).float().mean()) < 0.7
    assert nn.Dropout(0.5).eval()(Interval(x, x)).lower is x


class Odd(nn.Module):
    def __init__(self, forward: Callable[[Any], Any]) -> None:
        super().__init__()
        self.odd = forward

    def forward(self, x: Any) -> Any:
        return self.odd(x)


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (torch.randn_like, "'randn_like'"),
        (lambda x: x.softmax(1), "'softmax'"),
        (lambda x: functional.softmax(x, 1), "'softmax'"),
        (lambda x: x**2, "'pow'"),
        (lambda x: x @ torch.ones(4, 4), "'matmul'"),
        (lambda x: torch.ones(4, 4) @ x, "'matmul'"),
        (lambda x: x.relu_(), "'relu_'"),
        (lambda x: x * x, "product"),
        (lambda x: x / x, "division"),
        (lambda x: functional.linear(torch.ones(1, 4), x), "weights that inputs decide"),
        (lambda x: functional.leaky_relu(x, -0.1), "negative slope"),
        (lambda x: functional.gelu(x), "'gelu'"),
        (lambda x: functional.layer_norm(x, (4,)), "'layer_norm'"),
    ],
)
def test_what_has_no_rule_is_named(forward: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(UnsupportedError, match=words) as caught:
        bounds(Odd(forward), ball(torch.rand(4, 4), 0.1))
    assert "\n" not in str(caught.value)


def test_what_others_of_the_batch_decide_has_no_bounds() -> None:
    layer = nn.BatchNorm2d(2, track_running_stats=False).eval()
    with pytest.raises(UnsupportedError, match="running statistics"):
        bounds(layer, ball(torch.rand(4, 2, 3, 3), 0.1))


def test_a_network_that_ignores_its_input_has_outputs_without_width() -> None:
    found = bounds(Odd(lambda x: torch.ones(len(x), 3)), ball(torch.rand(4, 4), 0.1))
    assert torch.equal(found.lower, found.upper)


def test_gradients_flow_to_weights() -> None:
    net = mlp()
    found = bounds(net, ball(torch.randn(5, 6, dtype=torch.float64), 0.1))
    margins(found, torch.tensor([0, 1, 2, 3, 0])).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
