"""Trainings on a GPU: no step waits, recorded ones are those that are called, to the bit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import Interrupted
from nas.core.protocols import Context
from nas.layers import NORMALIZATIONS, WEIGHTS
from nas.optimizers import OPTIMIZERS
from nas.testing.closures import parts
from nas.testing.waiting import no_waiting
from nas.training import TrainingRecipe, default_recipe, evaluate, fit, gradients, graphs
from nas.training.data.dataset import DataSet
from nas.training.evaluation import pipeline_of, place
from nas.training.randomness import seeded
from nas.training.reweighting import REWEIGHTINGS
from nas.training.stepper import Stepper
from nas.training.stream import Placed
from search_spaces import get_space
from tests.optimizers.members import STEPPED, marked

Make = Callable[..., nn.Module]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEVICE = "cuda"
WAITING = {"adafactor", "soap", "prodigy"}
"""Libraries' steps that wait, see `tests/optimizers/test_gpu.py`."""
TITLES = [n for n in OPTIMIZERS.names() if not n.startswith(("visiting", "wrong"))] + STEPPED
LAYERS = {"darts": 3, "darts-extended": 3}
PICTURES: dict[str, Any] = {
    "flip": True,
    "crop_padding": 1,
    "cutout": 2,
    "mixup": 0.2,
    "label_smoothing": 0.1,
    "ema_decay": 0.9,
    "clip_norm": 1.0,
    "learning_rate": 0.05,
}
KINDS: dict[str, dict[str, Any]] = {
    "pictures": PICTURES,
    "float32": {**PICTURES, "precision": "float32"},
    "planes": {**PICTURES, "channels_last": False},
    **{name: {"normalization": name} for name in NORMALIZATIONS.names()},
    **{name: {"weights": name} for name in WEIGHTS.names()},
    **{name: {"reweighting": name} for name in REWEIGHTINGS.names()},
    "certified": {"loss": "certified", "optimizer": "adam"},
    "pruned": {"prune": (0.5,), "optimizer_settings": {"momentum": 0.9}},
    "autolrs": {
        "schedule": "autolrs",
        "schedule_settings": {"stage": 5, "doublings": 1, "tries": 3, "share": 0.4},
    },
}
"""What recipes choose beside the optimizer."""


def recipe(**settings: Any) -> TrainingRecipe:
    return TrainingRecipe(**{"epochs": 2, "batch_size": 16, "learning_rate": 0.01, **settings})


def optimized(title: str) -> TrainingRecipe:
    """A recipe with an optimizer such as "sgd" or "sam(sgd)", at a middling rate."""
    optimizer, step = parts(title)
    traits = OPTIMIZERS.get(optimizer).traits
    schedule = next(iter(traits.schedules), "cosine")
    rate = math.prod(traits.rates) ** 0.5
    return recipe(optimizer=optimizer, step=step, schedule=schedule, learning_rate=rate)


def train(
    made: TrainingRecipe,
    data: DataSet,
    network: nn.Module,
    folder: Path | None = None,
    steps: int | None = None,
) -> tuple[Any, dict[str, Tensor]]:
    """Figures and weights; `steps` batches from now the training is asked to stop."""
    batches = itertools.count()
    context = Context(
        device=DEVICE,
        scratch=folder,
        should_stop=lambda: steps is not None and next(batches) >= steps,
    )
    result = fit(network, data, made, context=context, seed=5)
    return (result.figures, result.curve), network.state_dict()


def check_same(a: tuple[Any, dict[str, Tensor]], b: tuple[Any, dict[str, Tensor]]) -> None:
    assert a[0] == b[0]
    assert a[1].keys() == b[1].keys()
    for name, tensor in a[1].items():
        assert torch.equal(tensor, b[1][name]), name


def step_without_waiting(made: TrainingRecipe, data: DataSet, network: nn.Module) -> None:
    device = torch.device(DEVICE)
    place(network, device, made)
    placed, pipeline = Placed(data.train, device), pipeline_of(data, made, device)
    stepper = Stepper(network, placed, pipeline, made, 9, 0)
    for epoch in range(4):  # libraries load their kernels, states are made, and recordings
        stepper.begin_epoch(epoch)
        for _ in range(stepper.steps):
            stepper.take_step()
        stepper.end_epoch()
    stepper.begin_epoch(4)
    stepper.take_step()  # draws the order of the images
    with no_waiting():
        for _ in range(stepper.steps - 1):
            stepper.take_step()
    assert stepper.loss() < 100


def recordable(network: nn.Module, says: bool = True) -> nn.Module:
    network.recordable = says  # type: ignore[assignment]
    return network


@pytest.fixture(autouse=True)
def short_trainings_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "WORTH", 8)


@pytest.mark.parametrize("title", marked(n for n in TITLES if n not in WAITING))
@pytest.mark.parametrize("says", [False, True], ids=["called", "recorded"])
def test_no_step_waits(title: str, says: bool, few_digits: DataSet, conv_net: Make) -> None:
    step_without_waiting(optimized(title), few_digits, recordable(conv_net(), says))


@pytest.mark.parametrize("kind", ["pictures", "float32", "planes"])
def test_no_step_waits_for_pictures_or_averages(
    kind: str, few_digits: DataSet, conv_net: Make
) -> None:
    network = recordable(conv_net(dropout=0.3))
    step_without_waiting(recipe(**KINDS[kind]), few_digits, network)


def check_repeats(made: TrainingRecipe, data: DataSet, make: Make, folder: Path) -> None:
    """Called, recorded, and stopped and gone on with: the same."""
    called = train(made, data, recordable(make(dropout=0.3), says=False))
    torch.cuda.manual_seed(12345)  # whatever is drawn before or in between changes nothing
    check_same(called, train(made, data, recordable(make(dropout=0.3))))
    with pytest.raises(Interrupted):
        train(made, data, recordable(make(dropout=0.3)), folder, steps=9)
    torch.cuda.manual_seed(6789)
    check_same(called, train(made, data, recordable(make(dropout=0.3)), folder))


@pytest.mark.parametrize("title", marked(TITLES))
def test_every_optimizer_repeats_itself(
    title: str, few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    check_repeats(optimized(title), few_digits, conv_net, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_repeats_itself(
    kind: str, few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    check_repeats(recipe(**KINDS[kind]), few_digits, conv_net, tmp_path)


def test_it_learns_what_it_learns_on_the_host(digits: DataSet, conv_net: Make) -> None:
    """Chance differs between devices; what is learnt does not."""
    made = default_recipe(digits).but(epochs=10)
    network = conv_net(width=16)
    result = fit(network, digits, made, context=Context(device=DEVICE), seed=0, split="test")
    assert result.figures["test_error"] < 0.05
    here = evaluate(network, digits.validation, digits, recipe=made.but(precision="float32"))
    there = evaluate(
        network, digits.validation, digits, device=DEVICE, recipe=made.but(precision="float32")
    )
    assert here["error"] == there["error"]
    assert here["loss"] == pytest.approx(there["loss"], abs=1e-3)  # convolutions round to TF32


@pytest.mark.parametrize(
    "name", ["darts", "darts-extended", "nasbench101", "nasbench201", "fbnetv3-small"]
)
def test_networks_of_our_spaces_are_recorded(
    name: str, few_digits: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without max pooling, whose gradient torch adds up in whatever order comes."""
    space: Any = get_space(name)
    scale = {} if name.startswith("fbnet") else {"channels": 8, "layers": LAYERS.get(name, 1)}
    rng = np.random.default_rng(0)
    members = (space.sample(rng) for _ in range(1000))
    member = next(m for m in members if "max_pool" not in str(m) and "maxpool" not in str(m))
    replays: list[int] = []
    replay = graphs._Graph.replay
    monkeypatch.setattr(
        graphs._Graph, "replay", lambda self, inputs: replays.append(1) or replay(self, inputs)
    )

    def make(dropout: float = 0.0) -> nn.Module:
        with seeded(0, "network"):
            found: nn.Module = space.network(member, few_digits.input_shape, 10, **scale)
        return found

    made = recipe(**{**PICTURES, "drop_path": 0.1, "epochs": 3, "batch_size": 8})
    check_repeats(made, few_digits, make, tmp_path)
    assert len(replays) > 10
