"""The one trainer: it learns, repeats itself bit for bit, and measures what it says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import ConfigError
from nas.core.protocols import Context
from nas.training import FitOptions, TrainingRecipe, default_recipe, evaluate, fit
from nas.training.data.dataset import DataSet, Split

Make = Callable[..., nn.Module]

EVERYTHING = TrainingRecipe(
    epochs=3,
    batch_size=32,
    learning_rate=0.05,
    warmup_epochs=0.5,
    label_smoothing=0.1,
    ema_decay=0.9,
    drop_path=0.2,
    flip=True,
    crop_padding=1,
    cutout=2,
    mixup=0.2,
)


class Recorder(nn.Module):
    """A network with an auxiliary head and drop-path that remembers what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
        self.head = nn.Linear(16, 10)
        self.auxiliary = nn.Linear(16, 10)
        self.chances: list[float] = []

    def set_drop_path(self, chance: float) -> None:
        self.chances.append(chance)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        found = self.body(images)
        if self.training:
            return self.head(found), self.auxiliary(found)
        logits: Tensor = self.head(found)
        return logits


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_digits_in_seconds(digits: DataSet, conv_net: Make) -> None:
    began = time.process_time()
    network = conv_net(width=16)
    recipe = default_recipe(digits).but(epochs=10)
    result = fit(network, digits, recipe, seed=0, split="test")
    assert result.figures["test_error"] < 0.05
    assert result.figures["error"] < 0.05
    assert time.process_time() - began < 30
    assert set(result.figures) == {
        "error",
        "loss",
        "test_error",
        "epochs",
        "gradient_evaluations",
    }
    assert len(result.curve["error"]) == len(result.curve["train_loss"]) == 10
    assert result.curve["error"][-1] == result.figures["error"]
    assert result.curve["train_loss"][-1] < result.curve["train_loss"][0] / 2
    assert result.figures["gradient_evaluations"] == 10 * 18
    assert (result.spent.epochs, result.spent.evaluations) == (10, 1)


def test_the_same_seed_gives_the_same_bits(few_digits: DataSet, conv_net: Make) -> None:
    def train(seed: int, noise: int) -> tuple[Any, dict[str, Tensor]]:
        torch.manual_seed(noise)  # what the caller did before is of no account
        network = conv_net(dropout=0.3)
        result = fit(network, few_digits, EVERYTHING, seed=seed)
        return (result.figures, result.curve), weights(network)

    first, second, other = train(1, 10), train(1, 20), train(2, 10)
    assert first[0] == second[0]
    assert same(first[1], second[1])
    assert first[0] != other[0]


def test_the_global_generator_is_given_back(few_digits: DataSet, conv_net: Make) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fit(conv_net(dropout=0.3), few_digits, EVERYTHING.but(epochs=1))
    assert torch.equal(before, torch.get_rng_state())


def test_figures_are_those_of_the_network_that_is_left(few_digits: DataSet, conv_net: Make) -> None:
    for ema in (None, 0.9):
        network = conv_net()
        recipe = EVERYTHING.but(ema_decay=ema)
        result = fit(network, few_digits, recipe, split="test")
        network.train()
        found = evaluate(network, few_digits.validation, few_digits)
        assert found == {name: result.figures[name] for name in ("error", "loss")}
        test = evaluate(network, few_digits.test_split(), few_digits)
        assert test["error"] == result.figures["test_error"]


def test_evaluation_against_a_loop(few_digits: DataSet, conv_net: Make) -> None:
    network = conv_net().eval().requires_grad_(False)
    wrong = loss = 0.0
    for image, label in zip(
        few_digits.validation.images, few_digits.validation.labels, strict=True
    ):
        x = (image[None].float() / 255 - few_digits.mean[0]) / few_digits.std[0]
        logits = network(x)[0]
        wrong += float(logits.argmax() != label)
        loss += float(logits.exp().sum().log() - logits[label])
    found = evaluate(network, few_digits.validation, few_digits)
    assert found["error"] == wrong / 100
    assert found["loss"] == pytest.approx(loss / 100, rel=1e-4)


def test_plain_training_against_a_loop(few_digits: DataSet, conv_net: Make) -> None:
    """One image a step and no augmentation: nothing but SGD is left."""
    part = few_digits.train.select(torch.arange(7))
    data = DataSet(
        "seven",
        part,
        part,
        few_digits.classes,
        few_digits.mean,
        few_digits.std,
        "7",
        part,
    )
    network, reference = Recorder(), Recorder()
    reference.load_state_dict(network.state_dict())
    recipe = TrainingRecipe(
        epochs=2,
        batch_size=7,
        learning_rate=0.1,
        optimizer_settings={"momentum": 0.0},
        weight_decay=0.0,
        schedule="constant",
        clip_norm=0.5,
        auxiliary_weight=0.4,
    )
    result = fit(network, data, recipe)
    inputs = (part.images.float() / 255 - data.mean[0]) / data.std[0]
    for _ in range(2):
        logits, auxiliary = reference(inputs)
        loss = nn.functional.cross_entropy(logits, part.labels)
        loss = loss + 0.4 * nn.functional.cross_entropy(auxiliary, part.labels)
        gradients = torch.autograd.grad(loss, list(reference.parameters()))
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        with torch.no_grad():
            for parameter, gradient in zip(reference.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient * min(1.0, 0.5 / (float(norm) + 1e-6))
    assert result.curve["train_loss"][1] == pytest.approx(loss.item(), rel=1e-5)
    for name, tensor in reference.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)


def test_drop_path_rises_and_the_auxiliary_head_trains(few_digits: DataSet) -> None:
    network = Recorder()
    before = weights(network)
    recipe = TrainingRecipe(epochs=4, drop_path=0.2, auxiliary_weight=0.4, weight_decay=0)
    fit(network, few_digits, recipe)
    assert network.chances == pytest.approx([0.0, 0.05, 0.1, 0.15])
    assert not torch.equal(network.auxiliary.weight, before["auxiliary.weight"])
    network = Recorder()
    before = weights(network)
    fit(network, few_digits, recipe.but(auxiliary_weight=0.0))
    assert torch.equal(network.auxiliary.weight, before["auxiliary.weight"])


def test_a_search_never_sees_the_test_images(
    few_digits: DataSet, conv_net: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched = []
    split = DataSet.test_split

    def counted(self: DataSet) -> Split:
        touched.append(1)
        return split(self)

    monkeypatch.setattr(DataSet, "test_split", counted)
    fit(conv_net(), few_digits, EVERYTHING)
    assert not touched
    fit(conv_net(), few_digits, EVERYTHING, split="test")
    assert len(touched) == 1


def test_merged_data_reports_on_the_test_split_alone(few_digits: DataSet, conv_net: Make) -> None:
    merged = few_digits.merged()
    result = fit(conv_net(), merged, EVERYTHING, split="test")
    assert set(result.figures) == {"test_error", "epochs", "gradient_evaluations"}
    assert set(result.curve) == {"train_loss"}
    with pytest.raises(ConfigError, match="no validation images"):
        fit(conv_net(), merged, EVERYTHING)
    with pytest.raises(ConfigError, match="no images to measure"):
        evaluate(conv_net(), merged.validation, merged)
    with pytest.raises(ConfigError, match="epochs = 0"):
        fit(conv_net(), few_digits, EVERYTHING, epochs=0)


def test_events_and_cost(few_digits: DataSet, conv_net: Make) -> None:
    events: list[tuple[str, Mapping[str, Any]]] = []
    context = Context(emit=lambda name, payload: events.append((name, payload)))
    options = FitOptions(macs=1000.0, labels={"candidate": "abc"})
    result = fit(conv_net(), few_digits, EVERYTHING, context=context, options=options)
    assert [name for name, _ in events] == ["progress"] * 3
    assert [event["step"] for _, event in events] == [1, 2, 3]
    last = events[-1][1]
    assert (last["phase"], last["steps"], last["candidate"]) == ("train", 3, "abc")
    assert set(last["scalars"]) == {"train_loss", "learning_rate", "error", "loss"}
    assert last["scalars"]["error"] == result.figures["error"]
    assert result.spent.macs == 1000.0 * 3 * (3 * 100 + 100)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "nadamw"])
def test_every_optimizer_lowers_the_loss(
    few_digits: DataSet, conv_net: Make, optimizer: str
) -> None:
    rate = 0.05 if optimizer == "sgd" else 2e-2
    recipe = TrainingRecipe(epochs=12, optimizer=optimizer, learning_rate=rate, batch_size=16)
    curve = fit(conv_net(), few_digits, recipe).curve["train_loss"]
    assert curve[-1] < 0.8 * curve[0]


def test_bfloat16_on_demand(few_digits: DataSet, conv_net: Make) -> None:
    kinds: set[torch.dtype] = set()
    network = conv_net()
    network[0].register_forward_hook(lambda *call: kinds.add(call[2].dtype))
    result = fit(network, few_digits, EVERYTHING.but(precision="bfloat16"))
    assert kinds == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert result.curve["train_loss"][-1] < result.curve["train_loss"][0]
    kinds.clear()
    fit(network, few_digits, EVERYTHING)
    assert kinds == {torch.float32}


@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_layout(few_digits: DataSet, conv_net: Make, channels_last: bool) -> None:
    layouts: set[bool] = set()
    network = conv_net()

    def look(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        layouts.add(output.is_contiguous(memory_format=torch.channels_last))

    network[0].register_forward_hook(look)
    fit(network, few_digits, EVERYTHING.but(channels_last=channels_last))
    assert layouts == {channels_last}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device(few_digits: DataSet, conv_net: Make) -> None:
    context = Context(device="cuda")
    runs = [fit(conv_net(), few_digits, EVERYTHING, context=context, seed=4) for _ in range(2)]
    assert runs[0].figures == runs[1].figures
    assert runs[0].curve == runs[1].curve


def test_devices_that_are_not_there(few_digits: DataSet, conv_net: Make) -> None:
    for device, words in (("cuda:99", "is not there"), ("gpu", "is no device")):
        with pytest.raises(ConfigError, match=words):
            fit(conv_net(), few_digits, EVERYTHING, context=Context(device=device))
