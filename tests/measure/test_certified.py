"""Certified error: what is proven survives attacks, and the ball is the one in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError
from nas.layers.intervals import Interval, bounds, margins
from nas.measure import Subject, bound
from nas.training import TrainingRecipe, evaluate, fit, load_data
from nas.training.augment import Augmentation, Pipeline
from nas.training.data.dataset import DataSet
from search_spaces import get_space


@pytest.fixture(scope="module")
def data() -> DataSet:
    return load_data("digits", 0)


def measured(network: nn.Module, data: DataSet, epsilon: float) -> float:
    return float(bound("certified_error", {"epsilon": epsilon})(Subject(network, data)))


def mlp(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.fixture(scope="module")
def network(data: DataSet) -> nn.Module:
    """Trained for a small radius, so that some images are proven at each of some radii."""
    made = mlp()
    settings = {"loss": "certified", "loss_settings": {"epsilon": 0.04}}
    recipe = TrainingRecipe(epochs=8, learning_rate=0.01, optimizer="adam", weight_decay=0.0)
    fit(made, data, recipe.but(**settings), seed=0)
    return made


def test_without_a_radius_it_is_the_error_and_it_grows_with_it(
    network: nn.Module, data: DataSet
) -> None:
    found = [measured(network, data, epsilon) for epsilon in (0, 0.01, 0.03, 0.08, 1)]
    assert found[0] == evaluate(network, data.validation, data)["error"]
    assert found == sorted(found)
    assert found[1] < 0.4 < 0.9 < found[-1]


def test_the_ball_is_in_pixels_and_ends_at_black_and_white(data: DataSet) -> None:
    pipeline = Pipeline([0.2, 0.5], [0.1, 0.3], Augmentation())
    pixels = torch.randint(0, 256, (3, 2, 4, 4), dtype=torch.uint8)
    pixels[0, 0, 0, :2] = torch.tensor([0, 255], dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 2, 1, 1) for v in ([0.2, 0.5], [0.1, 0.3]))
    for epsilon in (0.0, 0.07, 1.0):
        inputs = pipeline.plain(pixels)
        lower, upper = pipeline.ball(inputs, epsilon)
        share = pixels / 255
        torch.testing.assert_close(lower, ((share - epsilon).clamp(0, 1) - mean) / std)
        torch.testing.assert_close(upper, ((share + epsilon).clamp(0, 1) - mean) / std)
        assert (lower <= inputs).all()
        assert (inputs <= upper).all()


def attacked(network: nn.Module, box: Interval, labels: Tensor) -> Tensor:
    """Inputs of the box that a network errs on if they are easy to find: projected gradients."""
    x = box.lower + torch.rand_like(box.lower) * (box.upper - box.lower)
    for _ in range(20):
        x.requires_grad_()
        (slope,) = torch.autograd.grad(nn.functional.cross_entropy(network(x), labels), [x])
        step = 0.25 * (box.upper - box.lower) * slope.sign()
        x = torch.minimum(torch.maximum(x.detach() + step, box.lower), box.upper)
    return x


@pytest.mark.parametrize("epsilon", [0.02, 0.05])
def test_what_is_proven_no_attack_turns(network: nn.Module, data: DataSet, epsilon: float) -> None:
    pipeline = Pipeline(data.mean, data.std, Augmentation())
    inputs, labels = pipeline.plain(data.validation.images), data.validation.labels
    box = Interval(*pipeline.ball(inputs, epsilon))
    with torch.no_grad():
        lead = margins(bounds(network.eval(), box), labels)
    proven = ((lead > 0) | (lead == 0).scatter(1, labels[:, None], True)).all(1)
    assert 1 - float(proven.double().mean()) == pytest.approx(measured(network, data, epsilon))
    wrong = network(attacked(network, box, labels)).argmax(1) != labels
    assert not (wrong & proven).any()
    assert 0 < wrong.double().mean() <= measured(network, data, epsilon)


@pytest.mark.parametrize("space", ["nasbench201", "nasbench101", "darts"])
def test_networks_of_all_spaces_are_left_as_they_were(space: str) -> None:
    few, found = load_data("digits", 0, limit=60), get_space(space)
    made: Any = found.network(  # type: ignore[attr-defined]
        found.sample(np.random.default_rng(0)), few.input_shape, 10, channels=8, layers=3
    )
    before = {key: tensor.clone() for key, tensor in made.state_dict().items()}
    made.classifier.eval()
    modes = [module.training for module in made.modules()]
    first = measured(made, few, 0.01)
    assert 0 <= first <= 1
    assert measured(made, few, 0.01) == first
    assert [module.training for module in made.modules()] == modes
    assert all(torch.equal(tensor, before[k]) for k, tensor in made.state_dict().items())
    assert measured(made, few, 0.0) == evaluate(made, few.validation, few)["error"]


def test_a_network_without_bounds_says_which_operation(data: DataSet) -> None:
    made = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))
    with pytest.raises(CandidateError, match="'softmax'"):
        measured(made, data, 0.1)
    with pytest.raises(CandidateError, match="no validation images"):
        measured(mlp(), data.merged(), 0.1)
