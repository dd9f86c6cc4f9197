"""Parametrised weights against references, and whole trainings with them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nas.core.errors import ConfigError, Interrupted, UnsupportedError
from nas.core.protocols import Context
from nas.layers import WEIGHTS, settle
from nas.layers.weights_compander import Compander
from nas.layers.weights_standardized import Standardized
from nas.layers.weights_statsq import StatsQ
from nas.training import FitOptions, TrainingRecipe, fit, save_weights
from nas.training.data.dataset import DataSet
from nas.training.weights import load_weights

Make = Callable[..., nn.Module]

NAMES = ("standardized", "compander", "statsq")


def weight(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class TestStandardized:
    @pytest.mark.parametrize("shape", [(6, 4, 3, 3), (6, 1, 5, 5), (3, 2, 1, 1)])
    def test_against_a_loop(self, shape: tuple[int, ...]) -> None:
        w = weight(*shape) * 3 + 1
        found = Standardized(1e-5)(w)
        for one, row in zip(found, w, strict=True):
            values = row.flatten().tolist()
            mean = sum(values) / len(values)
            std = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
            assert torch.allclose(one, (row - mean) / (std + 1e-5), rtol=0, atol=1e-12)
            assert abs(one.mean()) < 1e-12
            assert abs(one.std() - 1) < 1e-4

    def test_scale_and_shift_do_not_matter(self) -> None:
        w = weight(5, 3, 3, 3).requires_grad_()
        layer = Standardized(1e-12)
        torch.testing.assert_close(layer(2.5 * w - 0.7), layer(w), rtol=0, atol=1e-10)
        (gradient,) = torch.autograd.grad((layer(w) * weight(5, 3, 3, 3).roll(1)).sum(), w)
        along = (gradient * w.detach()).sum((1, 2, 3))
        assert torch.all(along.abs() < 1e-9), "a step along a filter would change nothing"

    def test_only_convolutions_and_only_filters_of_several_elements(self) -> None:
        network = nn.Sequential(
            nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 6, 1), nn.Flatten(), nn.Linear(6, 2)
        )
        WEIGHTS.get("standardized").to(network, {})
        assert [parametrize.is_parametrized(m) for m in network] == [False, True, False, False]
        assert torch.isfinite(network(torch.randn(2, 4, 1, 1))).all()


class TestCompander:
    @pytest.mark.parametrize("bound", [1.2, 2.0, 8.0])
    @pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
    def test_starts_at_the_plain_weights(self, bound: float, slope: float) -> None:
        w = weight(6, 4, 3, 3)
        layer = Compander(w, bound, slope)
        v = layer.right_inverse(w)
        torch.testing.assert_close(layer(v), w, rtol=1e-12, atol=0)
        a, b = layer.start.tolist()
        assert a * math.pi / 2 == pytest.approx(bound * w.abs().max().item())
        assert a / b == pytest.approx(slope)
        (rise,) = torch.autograd.grad(layer(u := torch.zeros((), requires_grad=True)), u)
        assert rise.item() == pytest.approx(slope)

    def test_the_form(self) -> None:
        layer, v = Compander(weight(5), 2.0, 1.0), 50 * weight(7)
        with torch.no_grad():
            layer.logarithms.copy_(torch.tensor([0.3, -0.2], dtype=torch.float64))
        a, b = (s * math.exp(x) for s, x in zip(layer.start.tolist(), (0.3, -0.2), strict=True))
        expected = [a * math.atan(x / b) for x in v.tolist()]
        assert layer(v).tolist() == pytest.approx(expected, rel=1e-12)
        assert layer(v).abs().max() < a * math.pi / 2
        layer(v).square().sum().backward()
        assert torch.all(layer.logarithms.grad != 0)

    def test_a_layer_of_zeros(self) -> None:
        layer = Compander(torch.zeros(3, 3), 2.0, 1.0)
        assert torch.equal(layer(layer.right_inverse(torch.zeros(3, 3))), torch.zeros(3, 3))


class TestStatsQ:
    def test_golden(self) -> None:
        w = torch.tensor([[-1, -0.2, 0.1, 0.7]], dtype=torch.float64, requires_grad=True)
        assert StatsQ(2)(w).tolist() == [[-0.75, -0.25, 0.25, 0.75]]

    @pytest.mark.parametrize("bits", range(1, 9))
    @pytest.mark.parametrize("shape", [(5, 300), (4, 3, 5, 5)])
    def test_against_a_loop(self, bits: int, shape: tuple[int, ...]) -> None:
        w = weight(*shape)
        found, n = StatsQ(bits)(w), 2 ** (bits - 1)
        for one, row in zip(found, w, strict=True):
            values = row.flatten().tolist()
            scale = 2 * sum(map(abs, values)) / len(values)
            for got, value in zip(one.flatten().tolist(), values, strict=True):
                level = min(max(math.floor(value / scale * n), -n), n - 1)
                assert got == pytest.approx(scale * (level + 0.5) / n, rel=1e-12)
            assert len(one.unique()) <= 2**bits

    def test_the_gradient_passes_everywhere(self) -> None:
        w = (10 * weight(3, 7)).requires_grad_()
        upstream = weight(7, 3).T
        (gradient,) = torch.autograd.grad((StatsQ(3)(w) * upstream).sum(), w)
        assert torch.equal(gradient, upstream)

    def test_a_row_of_zeros_stays_one(self) -> None:
        w = torch.stack([torch.zeros(4), torch.ones(4)])
        assert torch.equal(StatsQ(2)(w)[0], torch.zeros(4))


def recipe(name: str, **more: Any) -> TrainingRecipe:
    settings = {"epochs": 2, "batch_size": 32, "learning_rate": 0.05, **more}
    return TrainingRecipe(weights=name, **settings)


def values_per_row(network: nn.Module) -> int:
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers
    return max(len(row.unique()) for m in layers for row in m.weight.detach())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [{}, {"ema_decay": 0.9}, {"precision": "bfloat16"}], ids=str)
def test_training_leaves_a_plain_network(
    few_digits: DataSet,
    conv_net: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    more: dict[str, Any],
) -> None:
    network, plain = conv_net(), conv_net(seed=1)
    images, before = torch.randn(8, 1, 8, 8), []

    def settled(trained: nn.Module) -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled="precision" in more):
            before.append(trained.eval()(images))
        settle(trained)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled="precision" in more):
            assert torch.equal(trained(images), before[0]), "to the bit"

    monkeypatch.setattr("nas.training.trainer.settle", settled)
    result = fit(network, few_digits, recipe(name, **more), seed=1)
    assert len(before) == 1
    assert math.isfinite(result.figures["loss"])
    assert not any(parametrize.is_parametrized(m) for m in network.modules())
    assert network.state_dict().keys() == plain.state_dict().keys()
    assert all(type(a) is type(b) for a, b in zip(network.modules(), plain.modules(), strict=True))
    save_weights(network, tmp_path / "w.safetensors")
    load_weights(plain, tmp_path / "w.safetensors")
    for key, value in network.state_dict().items():
        assert torch.equal(plain.state_dict()[key], value), key
    with torch.no_grad():  # tensors that lie in memory in another order round otherwise
        torch.testing.assert_close(plain.eval()(images), network(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("more", [{}, {"ema_decay": 0.9}], ids=str)
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_settled_weights_have_few_values(
    few_digits: DataSet, conv_net: Make, bits: int, more: dict[str, Any]
) -> None:
    network = conv_net()
    assert values_per_row(network) > 8
    fit(network, few_digits, recipe("statsq", weights_settings={"bits": bits}, **more), seed=1)
    assert values_per_row(network) <= 2**bits


def test_standardized_filters_are_left_so(few_digits: DataSet, conv_net: Make) -> None:
    network = conv_net()
    fit(network, few_digits, recipe("standardized"), seed=1)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            filters = layer.weight.detach().flatten(1)
            assert filters.mean(1).abs().max() < 1e-6
            assert (filters.std(1) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_stopped_at_every_batch(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, name: str
) -> None:
    how = recipe(name, ema_decay=0.9, optimizer="adamw", learning_rate=0.01)
    straight = conv_net()
    expected = fit(straight, few_digits, how, seed=5)
    for attempt in range(100):
        batches = itertools.count()
        network = conv_net(seed=attempt)  # the checkpoint has what is trained
        context = Context(scratch=tmp_path, should_stop=lambda b=batches: next(b) >= 1)
        try:
            found = fit(network, few_digits, how, context=context, seed=5)
            break
        except Interrupted:
            continue
    assert attempt > 3
    assert found.figures == expected.figures
    for key, value in straight.state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key


def test_a_longer_training_goes_on_from_a_shorter_one(
    few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    how, kept = recipe("compander"), tmp_path / "state.pt"
    straight, network = conv_net(), conv_net(seed=3)
    expected = fit(straight, few_digits, how, seed=5, epochs=3)
    options = FitOptions(horizon=3, keep_state=kept)
    fit(conv_net(), few_digits, how, seed=5, epochs=1, options=options)
    options = FitOptions(horizon=3)
    found = fit(network, few_digits, how, seed=5, epochs=3, options=options, resume_from=kept)
    assert found.figures["loss"] == expected.figures["loss"]
    assert found.spent.epochs == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimizer", ["adamp", "muon", "sm3", "sophia-h", "m-fac"])
def test_every_kind_of_optimizer_trains_it(
    few_digits: DataSet, conv_net: Make, name: str, optimizer: str
) -> None:
    """0-d and other small parameters, projections, second derivatives."""
    how = recipe(name, optimizer=optimizer, learning_rate=1e-3, epochs=1)
    assert math.isfinite(fit(conv_net(), few_digits, how, seed=1).figures["loss"])


def test_weight_decay_is_of_what_is_trained(few_digits: DataSet, conv_net: Make) -> None:
    """a and b of the compander are drawn to where they start, which is not 0."""
    network = conv_net()
    WEIGHTS.get("compander").to(network, {})
    start = {k: v.clone() for k, v in network.state_dict().items() if k.endswith("start")}
    optimizer = torch.optim.SGD(network.parameters(), 0.5, weight_decay=1.0)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(20):
        optimizer.step()
    for key, value in network.state_dict().items():
        if key.endswith("start"):
            assert torch.equal(value, start[key])
        elif key.endswith("logarithms"):
            assert torch.all(value == 0)
        elif key.endswith("original"):
            assert value.abs().max() < 1e-4


class TestRefused:
    def test_nothing_to_parametrise(self) -> None:
        for name in NAMES:
            with pytest.raises(UnsupportedError, match="ReLU"):
                WEIGHTS.get(name).to(nn.ReLU(), {})
        with pytest.raises(UnsupportedError, match="Sequential"):
            WEIGHTS.get("standardized").to(nn.Sequential(nn.Linear(2, 2)), {})

    def test_parametrised_already(self, conv_net: Make) -> None:
        network = conv_net()
        WEIGHTS.get("statsq").to(network, {})
        with pytest.raises(UnsupportedError, match="'0' are parametrised already"):
            WEIGHTS.get("compander").to(network, {})

    def test_shared_weights(self) -> None:
        network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        network[1].weight = network[0].weight
        with pytest.raises(UnsupportedError, match="'1' and '0' share"):
            WEIGHTS.get("statsq").to(network, {})

    @pytest.mark.parametrize(
        ("name", "settings"),
        [
            ("statsq", {"bits": 0}),
            ("statsq", {"bits": 9}),
            ("statsq", {"bit": 2}),
            ("compander", {"bound": 1.0}),
            ("compander", {"slope": 0.0}),
            ("standardized", {"epsilon": 0.0}),
            ("plain", {"bits": 2}),
        ],
    )
    def test_settings(self, name: str, settings: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(settings))):
            TrainingRecipe(weights=name, weights_settings=settings)
