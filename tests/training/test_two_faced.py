"""Optimizers that measure other weights than they train, and steps that move inputs."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas.core.errors import Interrupted
from nas.core.protocols import Context
from nas.optimizers import OPTIMIZERS, Member, OptimizerSettings
from nas.training import FitOptions, TrainingRecipe, evaluate, fit
from nas.training.augment import Augmentation, Pipeline
from nas.training.averaging import OptimizersAverage
from nas.training.data.dataset import DataSet
from nas.training.randomness import generator
from nas.training.statistics import count_anew
from nas.training.stream import Placed, Stream
from tests.optimizers.members import marked

Make = Callable[..., nn.Module]
MEAN = "mean-of-a-test"
FREE = "schedule-free-adamw"


class Mean(torch.optim.SGD):
    """Measures the mean of all weights so far."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for weight in self.param_groups[0]["params"]:
            state = self.state[weight]
            count = state["count"] = state.get("count", 0) + 1
            mean = state.setdefault("mean", torch.zeros_like(weight))
            mean.add_((weight.detach() - mean) / count)
        return loss

    @torch.no_grad()
    def eval(self) -> None:
        for weight in self.param_groups[0]["params"]:
            if "mean" in self.state[weight]:
                self.state[weight]["own"] = weight.clone()
                weight.copy_(self.state[weight]["mean"])

    @torch.no_grad()
    def train(self) -> None:
        for weight in self.param_groups[0]["params"]:
            weight.copy_(self.state[weight].pop("own"))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    def make(params: Any, settings: OptimizerSettings) -> torch.optim.Optimizer:
        return Mean(params, lr=settings.learning_rate)

    OPTIMIZERS.add(MEAN, Member(OptimizerSettings, make), "of a test")
    yield
    OPTIMIZERS._rows.pop(MEAN)


def recipe(name: str, **settings: Any) -> TrainingRecipe:
    return TrainingRecipe(
        epochs=3,
        batch_size=32,
        optimizer=name,
        learning_rate=0.02,
        schedule="constant",
        cutout=2,
        precision="float32",
        **settings,
    )


@pytest.mark.parametrize("name", [MEAN, *marked([FREE])])
def test_what_is_measured_is_what_is_left(few_digits: DataSet, conv_net: Make, name: str) -> None:
    network = conv_net(dropout=0.3)
    result = fit(network, few_digits, recipe(name), seed=1)
    found = evaluate(network, few_digits.validation, few_digits, recipe=recipe(name))
    assert found == {key: result.figures[key] for key in ("error", "loss")}


def test_statistics_are_those_of_the_measured_weights(few_digits: DataSet, conv_net: Make) -> None:
    """Means over all training batches, seen as in training, of a network that drops nothing."""
    network = conv_net(dropout=0.5)
    fit(network, few_digits, recipe(MEAN), seed=1)
    first = network[0]
    placed = Placed(few_digits.train, "cpu")
    pipeline = Pipeline(few_digits.mean, few_digits.std, Augmentation(cutout=2))
    stream, chance = Stream(placed, 32, 1, "statistics"), generator(1, "statistics")
    seen = []
    with torch.no_grad():
        for number in range(stream.steps):
            seen.append(first(pipeline.train(stream.batch(number)[0], chance)))
    means = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(network[1].running_mean, means, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network[1].running_var, variances, rtol=1e-5, atol=1e-6)


def test_looks_are_paid_but_are_no_gradients(few_digits: DataSet, conv_net: Make) -> None:
    spent = fit(conv_net(), few_digits, recipe(MEAN), seed=1, options=FitOptions(macs=1.0)).spent
    images = len(few_digits.train)
    # Gradients and a measurement an epoch; statistics are counted after each and at the end.
    assert spent.macs == 3 * (3 * images + len(few_digits.validation)) + 4 * images
    assert spent.epochs == 3
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    spent = fit(plain, few_digits, recipe(MEAN), seed=1, options=FitOptions(macs=1.0)).spent
    assert spent.macs == 3 * (3 * images + len(few_digits.validation))


def test_measuring_changes_no_bit(conv_net: Make) -> None:
    network = conv_net()
    optimizer = Mean(network.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.rand(8, 1, 8, 8)).square().sum().backward()
        optimizer.step()
    images = torch.rand(8, 1, 8, 8)
    average = OptimizersAverage(
        network, optimizer, lambda: count_anew(network, lambda: network(images))
    )
    network.train()
    before = copy.deepcopy(network.state_dict())
    with average.applied():
        inside = network.state_dict()
        assert not torch.equal(inside["0.weight"], before["0.weight"])
        assert not torch.equal(inside["1.running_mean"], before["1.running_mean"])
        assert network.training
    assert network[1].momentum == 0.1
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("name", [MEAN, *marked([FREE, "prodigy", "soap"])])
def test_stopped_anywhere_and_gone_on(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, name: str
) -> None:
    chosen = recipe(name)
    straight = conv_net(dropout=0.3)
    options = FitOptions(macs=1.0)
    whole = fit(straight, few_digits, chosen, seed=5, options=options)
    network = conv_net(dropout=0.3)
    for stop in (1, 2, 5, 3):  # within epochs, at their ends
        batches = itertools.count()
        context = Context(
            scratch=tmp_path,
            should_stop=lambda batches=batches, stop=stop: next(batches) >= stop,
        )
        with pytest.raises(Interrupted):
            fit(network, few_digits, chosen, context=context, seed=5, options=options)
        network = conv_net(dropout=0.3)
    rest = fit(
        network, few_digits, chosen, context=Context(scratch=tmp_path), seed=5, options=options
    )
    assert (rest.figures, rest.curve) == (whole.figures, whole.curve)
    assert rest.spent.macs == whole.spent.macs
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, straight.state_dict()[key]), key


@pytest.mark.parametrize("name", [MEAN, *marked([FREE])])
def test_a_longer_training_goes_on_from_a_shorter_one(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, name: str
) -> None:
    chosen, state = recipe(name), tmp_path / "state.pt"
    whole = fit(conv_net(), few_digits, chosen, seed=5, options=FitOptions(macs=1.0))
    options = FitOptions(horizon=3, keep_state=state, macs=1.0)
    short = fit(conv_net(), few_digits, chosen, seed=5, epochs=1, options=options)
    rest = fit(
        conv_net(),
        few_digits,
        chosen,
        seed=5,
        options=FitOptions(horizon=3, macs=1.0),
        resume_from=state,
    )
    assert (rest.figures, rest.curve) == (whole.figures, whole.curve)
    # Each counts statistics once more for the network that it leaves.
    assert short.spent.macs + rest.spent.macs == whole.spent.macs + len(few_digits.train)


def test_adversarial_inputs_are_paid_and_counted_by_nobody(
    few_digits: DataSet, conv_net: Make
) -> None:
    found = []
    for step in ("plain", "conadv"):
        network = conv_net()
        chosen = TrainingRecipe(epochs=1, batch_size=32, step=step, learning_rate=1e-12)
        result = fit(network, few_digits, chosen, seed=1)
        norm = network[1]
        found.append((norm.running_mean, norm.running_var))
        passes = result.figures["gradient_evaluations"]
        share = 1 if step == "plain" else 2 + 2 / 3
        assert passes == pytest.approx(int(norm.num_batches_tracked) * share)
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(plain, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("way", [0.03, -0.5, 2.0])
def test_pixels_move_by_units_of_zero_to_one_and_stay_pixels(way: float) -> None:
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    mean, std = (0.2, 0.5, 0.7), (0.1, 0.3, 0.9)
    pipeline = Pipeline(mean, std, Augmentation())
    found = pipeline.moved(pipeline.plain(images), torch.full((4, 3, 5, 5), way))
    pixels = (images / 255 + way).clamp(0, 1)
    expected = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    still = pipeline.moved(pipeline.plain(images), torch.zeros(4, 3, 5, 5))
    assert torch.equal(still, pipeline.plain(images))
    gradient = torch.ones(4, 3, 5, 5)
    torch.testing.assert_close(pipeline.in_pixels(gradient)[0, :, 0, 0], 1 / torch.tensor(std))
