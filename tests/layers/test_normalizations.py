"""Normalisations against references, what they leave of a network, and how files carry them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.architecture import Candidate
from nas.core.config import RunConfig
from nas.core.errors import ConfigError, DataError, Interrupted, UnsupportedError
from nas.core.protocols import Context
from nas.core.work import Evaluate
from nas.evaluators.train import TrainEvaluator
from nas.export import ExportRequest, export
from nas.layers import NORMALIZATIONS, settle
from nas.layers.adapt import adaptations
from nas.layers.normalizations import BatchChannelNorm2d, GhostBatchNorm2d, groups_of
from nas.training import TrainingRecipe, fit, save_weights
from nas.training.data.dataset import DataSet
from nas.training.statistics import unmoved_statistics
from nas.training.weights import load_weights
from search_spaces import get_space

Make = Callable[..., nn.Module]

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ghost", {"chunk": 5}),
    ("group", {"group_size": 4}),
    ("batch-channel", {"group_size": 4}),
    ("batch-channel", {"group_size": 4, "speed": 0.1}),
)


def images(batch: int, channels: int = 4) -> Tensor:
    chance = torch.Generator().manual_seed(batch)
    return torch.randn(batch, channels, 3, 2, dtype=torch.float64, generator=chance) * 3 + 1


def batch_norm(**more: Any) -> nn.BatchNorm2d:
    """One that is no longer as it was initialised."""
    layer = nn.BatchNorm2d(4, **more).double()
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(1 + torch.rand(tensor.shape, generator=chance))
    return layer


def exchanged(layer: nn.Module, name: str, settings: dict[str, Any]) -> Any:
    network = nn.Sequential(layer)
    NORMALIZATIONS.get(name).to(network, settings)
    return network[0]


def same_state(a: nn.Module, b: nn.Module) -> None:
    assert a.state_dict().keys() == b.state_dict().keys()
    for key, value in a.state_dict().items():
        torch.testing.assert_close(value, b.state_dict()[key], rtol=0, atol=1e-12)


class TestGhost:
    @pytest.mark.parametrize("more", [{}, {"affine": False}, {"momentum": None}], ids=str)
    @pytest.mark.parametrize("batch", [6, 11])
    def test_one_chunk_is_batch_norm(self, batch: int, more: dict[str, Any]) -> None:
        plain, x = batch_norm(**more), images(batch).requires_grad_()
        ghost = exchanged(batch_norm(**more), "ghost", {"chunk": 6})
        for _ in range(2):
            a, b = plain(x), ghost(x)
            assert torch.equal(a, b)
            upstream = images(batch)
            gradients = [torch.autograd.grad(y, x, upstream)[0] for y in (a, b)]
            assert torch.equal(*gradients)
        same_state(ghost, plain)

    @pytest.mark.parametrize(("batch", "sizes"), [(12, (4, 4, 4)), (14, (5, 5, 4)), (9, (5, 4))])
    @pytest.mark.parametrize("momentum", [0.3, None])
    def test_against_chunks_by_hand(
        self, batch: int, sizes: tuple[int, ...], momentum: float | None
    ) -> None:
        ghost = exchanged(batch_norm(momentum=momentum), "ghost", {"chunk": 4})
        mean, var = ghost.running_mean.clone(), ghost.running_var.clone()
        x, found = images(batch), ghost(images(batch))
        begin = 0
        for count, size in enumerate(sizes, start=1):
            part = x[begin : begin + size].movedim(1, 0).flatten(1)
            center = part.mean(1)
            squares = (part - center[:, None]).square().sum(1)
            share = 1 / count if momentum is None else momentum
            mean = (1 - share) * mean + share * center
            var = (1 - share) * var + share * squares / (part.shape[1] - 1)
            scale = ghost.weight / (squares / part.shape[1] + 1e-5).sqrt()
            expected = (x[begin : begin + size] - center[:, None, None]) * scale[:, None, None]
            expected = expected + ghost.bias[:, None, None]
            torch.testing.assert_close(found[begin : begin + size], expected, rtol=0, atol=1e-12)
            begin += size
        torch.testing.assert_close(ghost.running_mean, mean, rtol=0, atol=1e-12)
        torch.testing.assert_close(ghost.running_var, var, rtol=0, atol=1e-12)
        assert int(ghost.num_batches_tracked) == len(sizes)

    def test_evaluation_is_batch_norm(self) -> None:
        plain, ghost = batch_norm().eval(), exchanged(batch_norm(), "ghost", {"chunk": 2}).eval()
        assert torch.equal(plain(images(9)), ghost(images(9)))
        same_state(ghost, plain)

    def test_settles_to_the_plain_layer_of_the_same_tensors(self) -> None:
        layer = batch_norm(momentum=0.2, eps=1e-3)
        network = nn.Sequential(layer, nn.Sequential(layer))
        NORMALIZATIONS.get("ghost").to(network, {"chunk": 2})
        ghost = network[0]
        assert type(ghost) is GhostBatchNorm2d
        assert network[1][0] is ghost, "one layer in two places stays one"
        x = images(8)
        network(x)
        before = ghost.eval()(x)
        settle(network)
        settled = network[0]
        assert type(settled) is nn.BatchNorm2d
        assert network[1][0] is settled
        assert (settled.momentum, settled.eps, settled.training) == (0.2, 1e-3, False)
        assert settled.weight is layer.weight
        assert settled.running_mean is layer.running_mean
        assert torch.equal(settled(x), before)


class TestGroups:
    @pytest.mark.parametrize(
        ("channels", "size", "groups"),
        [
            (16, 8, 2),
            (36, 8, 4),
            (37, 8, 1),
            (4, 8, 1),
            (8, 8, 1),
            (12, 5, 2),
            (6, 1, 6),
            (1, 1, 1),
        ],
    )
    def test_sizes(self, channels: int, size: int, groups: int) -> None:
        assert groups_of(channels, size) == groups

    @pytest.mark.parametrize("affine", [True, False])
    def test_group_norm(self, affine: bool) -> None:
        layer = batch_norm(affine=affine, eps=1e-3)
        group, x = exchanged(layer, "group", {"group_size": 2}), images(3)
        parts = x.reshape(3, 2, -1)
        center = parts.mean(2, keepdim=True)
        spread = (parts - center).square().mean(2, keepdim=True)
        expected = ((parts - center) / (spread + 1e-3).sqrt()).reshape(x.shape)
        if affine:
            expected = expected * layer.weight[:, None, None] + layer.bias[:, None, None]
        torch.testing.assert_close(group(x), expected, rtol=0, atol=1e-12)
        assert len(list(group.parameters())) == 2 * affine


class TestBatchChannel:
    def by_groups(self, layer: BatchChannelNorm2d, y: Tensor) -> Tensor:
        parts = y.reshape(len(y), layer.groups, -1)
        center = parts.mean(2, keepdim=True)
        spread = (parts - center).square().mean(2, keepdim=True)
        normal = (parts - center) / (spread + layer.eps).sqrt()
        if layer.group_weight is not None:
            normal = normal * layer.group_weight[:, None] + layer.group_bias[:, None]
        return normal.reshape(y.shape)

    def changed(self, layer: BatchChannelNorm2d) -> BatchChannelNorm2d:
        if layer.group_weight is not None:
            with torch.no_grad():
                layer.group_weight.copy_(torch.tensor([0.5, 2.0]))
                layer.group_bias.copy_(torch.tensor([-1.0, 3.0]))
        return layer.double()

    @pytest.mark.parametrize("affine", [True, False])
    @pytest.mark.parametrize("training", [True, False])
    def test_batch_norm_and_then_groups(self, affine: bool, training: bool) -> None:
        plain = batch_norm(affine=affine).train(training)
        layer = exchanged(batch_norm(affine=affine), "batch-channel", {"group_size": 2})
        layer = self.changed(layer).train(training)
        x = images(5)
        expected = self.by_groups(layer, plain(x))
        torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
        assert torch.equal(layer.running_mean, plain.running_mean)
        shapes = [tuple(p.shape) for p in layer.parameters()]
        assert shapes == ([(4,), (4,), (2,), (2,)] if affine else [])

    def test_estimates(self) -> None:
        settings = {"group_size": 2, "speed": 0.25}
        layer = self.changed(exchanged(batch_norm(), "batch-channel", settings))
        mean, var, x = layer.running_mean.clone(), layer.running_var.clone(), images(2)
        x.requires_grad_()
        found = layer(x)
        flat = x.detach().movedim(1, 0).flatten(1)
        var = 0.75 * var + 0.25 * (flat - mean[:, None]).square().mean(1)
        mean = 0.75 * mean + 0.25 * flat.mean(1)
        y = (x - mean[:, None, None]) / (var[:, None, None] + layer.eps).sqrt()
        y = y * layer.weight[:, None, None] + layer.bias[:, None, None]
        expected = self.by_groups(layer, y)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.running_mean, mean, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.running_var, var, rtol=0, atol=1e-12)
        gradients = [torch.autograd.grad(z, x, images(2))[0] for z in (found, expected)]
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
        state = {key: value.clone() for key, value in layer.state_dict().items()}
        layer.eval()(images(3))
        assert all(torch.equal(layer.state_dict()[key], state[key]) for key in state)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
@pytest.mark.parametrize("more", [{}, {"affine": False}, {"momentum": None}], ids=str)
def test_statistics_can_be_left_alone(
    name: str, settings: dict[str, Any], more: dict[str, Any]
) -> None:
    if more.get("momentum", 0) is None and settings.get("speed"):
        more = {}
    layer = exchanged(batch_norm(**more), name, settings)
    x = images(16)
    if settings.get("speed"):
        layer(x)
        with unmoved_statistics(layer):
            expected = layer(x)  # by the estimates as they are
    else:
        expected = layer(x)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    momentum = getattr(layer, "momentum", 0)
    with unmoved_statistics(layer):
        assert torch.equal(layer(x), expected)
    assert getattr(layer, "momentum", 0) == momentum
    assert all(torch.equal(layer.state_dict()[key], before[key]) for key in before)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_sam_counts_a_batch_once(
    few_digits: DataSet, conv_net: Make, name: str, settings: dict[str, Any]
) -> None:
    """With a rate of next to nothing both trainings see the same activations."""
    found = []
    for step in ("plain", "sam"):
        network = conv_net()
        how = TrainingRecipe(
            epochs=1,
            batch_size=32,
            step=step,
            learning_rate=1e-12,
            normalization=name,
            normalization_settings=settings,
        )
        fit(network, few_digits, how, seed=1)
        found.append({k: v for k, v in network.named_buffers() if "running" in k or "num" in k})
    assert bool(found[0]) == (name != "group")
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_stopped_and_resumed(
    few_digits: DataSet,
    conv_net: Make,
    tmp_path: Path,
    name: str,
    settings: dict[str, Any],
    precision: str,
) -> None:
    how = TrainingRecipe(
        epochs=2,
        batch_size=32,
        learning_rate=0.05,
        normalization=name,
        normalization_settings=settings,
        weights="standardized",
        ema_decay=0.9,
        precision=precision,  # type: ignore[arg-type]
    )
    straight, network = conv_net(), conv_net(seed=2)
    expected = fit(straight, few_digits, how, seed=3)
    batches = itertools.count()
    context = Context(scratch=tmp_path, should_stop=lambda: next(batches) >= 5)
    with pytest.raises(Interrupted):
        fit(conv_net(), few_digits, how, context=context, seed=3)
    found = fit(network, few_digits, how, context=Context(scratch=tmp_path), seed=3)
    assert found.figures == expected.figures
    for key, value in straight.state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key
    kinds = {"ghost": nn.BatchNorm2d, "group": nn.GroupNorm, "batch-channel": BatchChannelNorm2d}
    assert [type(network[place]) for place in (1, 5)] == [kinds[name]] * 2


@pytest.mark.parametrize(("name", "settings"), CASES[1:], ids=str)
def test_files_carry_what_stays(
    few_digits: DataSet, tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    """A network of a space, trained, saved, built anew, exported and run without this project."""
    space, scale = get_space("nasbench201"), {"channels": 8, "layers": 1}
    architecture = space.sample(np.random.default_rng(1))
    torch.manual_seed(0)
    network = space.network(architecture, (1, 8, 8), 10, **scale)
    how = TrainingRecipe(epochs=1, normalization=name, normalization_settings=settings)
    fit(network, few_digits, how, seed=1)
    assert not any(type(module) is nn.BatchNorm2d for module in network.modules())
    ((_, kept),) = adaptations(network)
    assert kept == NORMALIZATIONS.get(name).settings(**settings).model_dump()

    weights = tmp_path / "w.safetensors"
    save_weights(network, weights)
    again = space.network(architecture, (1, 8, 8), 10, **scale)
    load_weights(again, weights)
    x = torch.randn(6, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(x), network.eval()(x), rtol=1e-5, atol=1e-5)
    other = space.network(architecture, (1, 8, 8), 10, **scale)
    NORMALIZATIONS.get("group").to(other, {"group_size": 3})
    with pytest.raises(DataError, match="adapted otherwise"):
        load_weights(other, weights)

    about = {"scale": scale, "input_shape": (1, 8, 8), "num_classes": 10}
    out = tmp_path / "best" / "model.py"
    request = ExportRequest(architecture, out, weights=weights, **about)
    result = export("python", request)
    assert result.difference is not None
    assert result.difference <= 1e-6
    text = out.read_text()
    assert "from nas" not in text
    assert "normalization(network" in text


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), CASES[1:], ids=str)
def test_onnx_form(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    space, scale = get_space("nasbench201"), {"channels": 8, "layers": 1}
    architecture = space.sample(np.random.default_rng(1))
    network = space.network(architecture, (1, 8, 8), 10, **scale)
    NORMALIZATIONS.get(name).to(network, settings)
    network(torch.randn(32, 1, 8, 8))
    request = ExportRequest(
        architecture,
        tmp_path / "model.onnx",
        network=network,
        scale=scale,
        input_shape=(1, 8, 8),
    )
    difference = export("onnx", request).difference
    assert difference is not None
    assert difference <= 1e-4


def test_what_an_evaluation_counts_is_the_network_that_is_left() -> None:
    def params(normalization: str) -> float:
        config = RunConfig(
            space="nasbench201",
            strategy="random",
            data_settings={"limit": 40},
            network={"channels": 8, "layers": 1},
            recipe={"epochs": 1, "normalization": normalization},
        )
        cell = get_space("nasbench201").members["all-skip"]
        evaluator = TrainEvaluator(config.model_dump(mode="json"))
        return evaluator.evaluate(Evaluate(Candidate(cell)), Context()).figures["params"]

    plain = params("batch")
    assert params("ghost") == params("group") == plain
    assert params("batch-channel") > plain


class TestRefused:
    @pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
    def test_nothing_to_exchange(self, name: str, settings: dict[str, Any]) -> None:
        network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        with pytest.raises(UnsupportedError, match="no batch normalisation"):
            NORMALIZATIONS.get(name).to(network, settings)
        assert not adaptations(network)

    def test_asking_again_changes_nothing(self, conv_net: Make) -> None:
        network = conv_net()
        for _ in range(2):
            NORMALIZATIONS.get("group").to(network, {"group_size": 4})
        assert len(adaptations(network)) == 1
        with pytest.raises(UnsupportedError, match="no batch normalisation"):
            NORMALIZATIONS.get("batch-channel").to(network, {})

    @pytest.mark.parametrize(
        ("name", "settings"),
        [
            ("ghost", {"chunk": 1}),
            ("group", {"group_size": 0}),
            ("batch-channel", {"speed": 1.0}),
            ("batch", {"chunk": 4}),
            ("ghost", {"group_size": 4}),
        ],
    )
    def test_settings(self, name: str, settings: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(settings))):
            TrainingRecipe(normalization=name, normalization_settings=settings)
