"""Steps that are recorded are those that are not: what may be, when it is dropped, what it gives.

Here recordings are stand-ins (`replayed.py`); `test_on_cuda.py` has the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.protocols import Context
from nas.optimizers import OPTIMIZERS
from nas.testing.closures import parts
from nas.training import TrainingRecipe, fit, gradients
from nas.training.augment import Augmentation, Pipeline
from nas.training.data.dataset import DataSet
from nas.training.losses import CrossEntropy, Moment, loss_of
from nas.training.stepper import Stepper
from nas.training.stream import Placed
from search_spaces import get_space, list_spaces
from tests.optimizers.members import STEPPED, marked

from .replayed import Replayed

Make = Callable[..., nn.Module]

TITLES = ["sgd", "adamw", "sophia-g", "mezo", "m-fac", "schedule-free-sgd", *STEPPED]
"""Of each kind of step one; all of them train on a GPU in `test_on_cuda.py`."""
KINDS: dict[str, dict[str, Any]] = {
    "mixup": {"mixup": 0.2, "label_smoothing": 0.1, "ema_decay": 0.9, "clip_norm": 1.0},
    "dropout": {"dropout": 0.3},
    "reweighting": {"reweighting": "extremes", "reweighting_settings": {"burn_in": 0.5}},
    "pruned": {"prune": (0.5,)},
    "autolrs": {
        "schedule": "autolrs",
        "schedule_settings": {"stage": 5, "doublings": 1, "tries": 3, "share": 0.4},
    },
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Replayed]:
    Replayed.made.clear()
    monkeypatch.setattr(gradients, "RECORDING", frozenset({"cpu"}))
    monkeypatch.setattr(gradients, "Recorded", Replayed)
    return Replayed.made


def recipe(**settings: Any) -> TrainingRecipe:
    return TrainingRecipe(**{"epochs": 4, "batch_size": 9, "learning_rate": 0.01, **settings})


def optimized(title: str) -> TrainingRecipe:
    optimizer, step = parts(title)
    schedule = next(iter(OPTIMIZERS.get(optimizer).traits.schedules), "cosine")
    return recipe(optimizer=optimizer, step=step, schedule=schedule, learning_rate=1e-3)


def trained(network: nn.Module, data: DataSet, how: TrainingRecipe, recordable: bool) -> Any:
    network.recordable = recordable  # type: ignore[assignment]
    result = fit(network, data, how, context=Context(), seed=3)
    return (result.figures, result.curve), network.state_dict()


def check_alike(make: Make, data: DataSet, how: TrainingRecipe, made: list[Replayed]) -> None:
    plain = trained(make(dropout=0.3), data, how, recordable=False)
    assert not made
    again = trained(make(dropout=0.3), data, how, recordable=True)
    assert plain[0] == again[0]
    for name, tensor in plain[1].items():
        assert torch.equal(tensor, again[1][name]), name


@pytest.mark.parametrize("title", marked(TITLES))
def test_optimizers_are_given_the_same(
    title: str, few_digits: DataSet, conv_net: Make, made: list[Replayed]
) -> None:
    check_alike(conv_net, few_digits, optimized(title), made)
    asks = OPTIMIZERS.get(parts(title)[0]).traits.gradients >= 1
    assert bool(sum(m.calls for m in made)) == asks


@pytest.mark.parametrize("kind", KINDS)
def test_every_recipe_is(
    kind: str, few_digits: DataSet, conv_net: Make, made: list[Replayed]
) -> None:
    check_alike(conv_net, few_digits, recipe(**KINDS[kind]), made)
    assert sum(m.calls for m in made) > 0


def test_steps_are_recorded_by_what_they_do(
    few_digits: DataSet, conv_net: Make, made: list[Replayed]
) -> None:
    """SAM's second pass counts no statistics; an example counts otherwise from some moment on."""
    settings = {"reweighting": "linear-upper", "reweighting_settings": {"burn_in": 2.0}}
    trained(conv_net(), few_digits, recipe(step="sam", **settings), recordable=True)
    steps = 4 * 12
    assert [m.calls for m in made] == [steps / 2] * 4
    assert [m.forgotten for m in made] == [1] * 4  # at the end


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "certified", "optimizer": "adam", "learning_rate": 1e-3},
        {"epochs": 1},  # 12 steps are too few
        {"drop_path": 0.1},  # as are the 12 between two changes
    ],
    ids=str,
)
def test_what_is_not_worth_it_or_differs_from_step_to_step_is_not_recorded(
    settings: dict[str, Any], few_digits: DataSet, conv_net: Make, made: list[Replayed]
) -> None:
    network = conv_net()
    network.set_drop_path = lambda chance: None  # type: ignore[assignment]
    trained(network, few_digits, recipe(**settings), recordable=True)
    assert not made


def test_another_chance_of_paths_is_another_recording(
    few_digits: DataSet, conv_net: Make, made: list[Replayed]
) -> None:
    network = conv_net()
    chances: list[float] = []
    network.set_drop_path = chances.append  # type: ignore[assignment]
    trained(network, few_digits, recipe(drop_path=0.2, batch_size=2), recordable=True)
    assert chances == pytest.approx([0.0, 0.05, 0.1, 0.15])
    assert [m.forgotten for m in made] == [1, 1, 1, 1]


def test_a_loss_that_says_nothing_has_no_phase() -> None:
    pipeline = Pipeline((0.5,), (0.2,), Augmentation())
    at = Moment(5, 100, 10)
    assert loss_of(recipe(), pipeline).phase(at) is False
    assert loss_of(recipe(loss="certified"), pipeline).phase(at) is None
    weighed = recipe(reweighting="quadratic", reweighting_settings={"burn_in": 0.5})
    found = loss_of(weighed, pipeline)
    assert isinstance(found, CrossEntropy)
    assert [found.phase(Moment(step, 100, 10)) for step in (4, 5)] == [False, True]


SMALL = {
    "channels": 8,
    "layers": 3,
    "generator_channels": 6,
    "discriminator_channels": 6,
    "latent": 12,
}


@pytest.mark.parametrize("name", [n for n in list_spaces() if not n.startswith("recipe")])
def test_networks_read_nothing_back(name: str) -> None:
    """On the device `meta` whatever reads a value raises."""
    space: Any = get_space(name)
    scale = {key: value for key, value in SMALL.items() if key in space.scale}
    rng = np.random.default_rng(0)
    for _ in range(2):
        built = space.network(space.sample(rng), (3, 32, 32), 10, **scale).to("meta").train()
        sides = [getattr(built, side, None) for side in ("generator", "discriminator")]
        for network in [side for side in sides if side is not None] or [built]:
            assert gradients.recordable(network)
            shape = (2, network.latent) if hasattr(network, "latent") else (2, 3, 32, 32)
            found = network(torch.empty(shape, device="meta"))
            (found if isinstance(found, Tensor) else found[0]).sum().backward()


# -- gradients themselves --------------------------------------------------------------------------


def backward(*weights: nn.Parameter) -> gradients.Backward:
    found = gradients.Backward(weights, sound=True)
    found.forget(gradients.WORTH)
    return found


@pytest.mark.parametrize("recording", [False, True])
def test_what_is_given_stays(recording: bool, made: list[Replayed]) -> None:
    """Somebody may keep a gradient, or a loss, until the next of any kind is asked for."""
    one, two = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(3))
    taught = backward(one, two)
    kept: list[tuple[list[Tensor], Tensor, Tensor]] = []
    for number in range(4):
        kind = f"kind {number % 2}" if recording else None

        def minimised(x: Tensor) -> tuple[Tensor, Tensor]:
            return (x * one * two).sum(), x.sum()

        values = taught(kind, minimised, torch.full((2, 3), float(number)))
        assert one.grad is not None
        assert two.grad is not None
        kept.append((values, one.grad, two.grad))
    for number, (values, a, b) in enumerate(kept):
        assert [float(value.detach()) for value in values] == [6.0 * number, 6.0 * number]
        assert torch.equal(a, torch.full((2, 3), float(number)))
        assert torch.equal(b, torch.full((3,), 2.0 * number))
    assert [m.calls for m in made] == ([2, 2] if recording else [])


@pytest.mark.parametrize("kind", [None, "a kind"])
def test_weights_that_are_added_up_have_gradients_of_their_own(
    kind: str | None, made: list[Replayed]
) -> None:
    weights = [nn.Parameter(torch.ones(3)) for _ in range(3)]
    backward(*weights)(kind, lambda x: ((sum(weights) * x).sum(),), torch.ones(3))
    found = [weight.grad for weight in weights if weight.grad is not None]
    assert len({gradient.data_ptr() for gradient in found}) == 3
    found[0].mul_(0)
    assert all(torch.equal(gradient, torch.ones(3)) for gradient in found[1:])


@pytest.mark.parametrize("kind", [None, "a kind"])
def test_gradients_lie_in_memory_as_their_weights(kind: str | None, made: list[Replayed]) -> None:
    last = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    weights = [nn.Parameter(w) for w in (last, last.contiguous(), last[:, :, :1, :1].clone())]
    slopes = [torch.randn_like(w).contiguous() for w in weights]

    def minimised(x: Tensor) -> tuple[Tensor]:
        return (sum((x * w * s).sum() for w, s in zip(weights, slopes, strict=True)),)

    backward(*weights)(kind, minimised, torch.ones(()))
    for weight, slope in zip(weights, slopes, strict=True):
        assert weight.grad is not None
        assert weight.grad.stride() == weight.stride()
        assert torch.equal(weight.grad, slope)


def test_recordings_are_given_back_at_the_end(
    few_digits: DataSet, conv_net: Make, made: list[Replayed]
) -> None:
    trained(conv_net(), few_digits, recipe(), recordable=True)
    assert [m.forgotten for m in made] == [1]


def test_what_is_left_of_a_training_counts(few_digits: DataSet, conv_net: Make) -> None:
    """Resumed in its last epoch, 12 steps before the end, it is not worth recording any more."""
    network = conv_net()
    network.recordable = True  # type: ignore[assignment]
    pipeline = Pipeline((0.5,), (0.2,), Augmentation())
    for epoch, records in ((0, True), (3, False)):
        stepper = Stepper(network, Placed(few_digits.train, "cpu"), pipeline, recipe(), 4, 0)
        stepper.begin_epoch(epoch)
        assert stepper._backward._record == records
