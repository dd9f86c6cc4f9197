"""Quantised error: of the right images and weights, the subject left alone, FlexRound worth it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from nas.core.errors import CandidateError
from nas.layers.rounding import quantize
from nas.measure import Subject, bound
from nas.testing.digits import digits
from nas.training import TrainingRecipe, evaluate, fit, load_data
from nas.training.data.dataset import DataSet
from search_spaces import get_space

SPACES = {
    "nasbench201": {"channels": 4, "layers": 1},
    "nasbench101": {"channels": 8, "layers": 1},
    "darts": {"channels": 4, "layers": 3},
}
QUICK = {"images": 16, "steps": 3}


@pytest.fixture(scope="module")
def few() -> DataSet:
    return load_data("digits", 0, limit=100)


def measured(subject: Subject, **settings: Any) -> float:
    return float(bound("quantized_error", settings)(subject))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", ["flexround", "nearest"])
def test_networks_of_all_spaces(space: str, method: str, few: DataSet) -> None:
    found: Any = get_space(space)
    torch.manual_seed(0)
    member = found.sample(np.random.default_rng(0))
    network = found.network(member, few.input_shape, 10, **SPACES[space]).train()
    network.classifier.eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    chance = torch.get_rng_state()
    first = measured(Subject(network, few), method=method, **QUICK)
    assert 0 <= first <= 1
    assert measured(Subject(network, few, seed=5), method=method, **QUICK) == first
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, before[k]) for k, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), chance)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, DataSet]:
    data = load_data("digits", 0)
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)),
    )
    fit(network, data, TrainingRecipe(epochs=5, batch_size=32), seed=0)
    return network, data


def test_it_is_the_error_of_the_rounded_network(trained: tuple[nn.Module, DataSet]) -> None:
    network, data = trained
    for bits in (2, 3, 8):
        rounded = copy.deepcopy(network)
        quantize(rounded, [torch.zeros(2, 1, 8, 8)], bits, learn=None)
        wanted = evaluate(rounded, data.validation, data)["error"]
        assert measured(Subject(network, data), bits=bits, method="nearest") == wanted
    assert wanted == pytest.approx(evaluate(network, data.validation, data)["error"], abs=0.01)


def test_flexround_keeps_what_rounding_to_nearest_loses(
    trained: tuple[nn.Module, DataSet],
) -> None:
    network, data = trained
    subject = Subject(network, data)
    plain = evaluate(network, data.validation, data)["error"]
    near, learnt = (measured(subject, bits=2, method=m) for m in ("nearest", "flexround"))
    assert near > plain + 0.03
    assert learnt < plain + 0.5 * (near - plain)
    # First and last layer at 8 bits, as in much of the literature.
    assert measured(subject, bits=2, method="nearest", ends=8) != near


def test_two_bits_of_a_perceptron() -> None:
    """The bar of the literature's protocol: 1.5 points, mean over three networks."""
    train_x, test_x, train_y, test_y = digits()
    gains, kept = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
        )
        steps = 15 * (len(train_x) // 64)
        optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            rows = torch.randint(len(train_x), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(train_x[rows]), train_y[rows]).backward()
            optimizer.step()
            schedule.step()

        def accuracy(network: nn.Module) -> float:
            return 100 * float((network(test_x).argmax(1) == test_y).double().mean())

        found = {}
        for learn in (None, (200, 0.01)):
            rounded = copy.deepcopy(network)
            quantize(rounded, [train_x[:256]], 2, learn=learn)
            found[learn] = accuracy(rounded)
        gains.append(found[200, 0.01] - found[None])
        kept.append(accuracy(network) - found[200, 0.01])
    assert sum(gains) / 3 >= 1.5
    assert sum(kept) / 3 <= 2


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def test_parametrised_weights_are_settled_in_the_copy(few: DataSet) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    plain = copy.deepcopy(network)
    with torch.no_grad():
        plain[1].weight.mul_(2)  # type: ignore[union-attr]
    parametrize.register_parametrization(network[1], "weight", Doubled())
    assert measured(Subject(network, few), **QUICK) == measured(Subject(plain, few), **QUICK)
    assert parametrize.is_parametrized(network[1])


def test_networks_without_such_layers_have_none(few: DataSet) -> None:
    with pytest.raises(CandidateError, match="no convolution or linear layer"):
        measured(Subject(nn.Flatten(), few))
    with pytest.raises(CandidateError, match="no validation images"):
        measured(Subject(nn.Linear(1, 1), few.merged()))
