"""A batch whose gradient is asked for twice is counted once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.training import TrainingRecipe, fit
from nas.training.data.dataset import DataSet
from nas.training.statistics import unmoved_statistics


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Linear(12, 10))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_stay_and_batches_are_normalised(momentum: float | None) -> None:
    layer = nn.BatchNorm1d(4, momentum=momentum)
    x = torch.randn(16, 4)
    expected = layer(x)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    with unmoved_statistics(layer):
        assert torch.equal(layer(x), expected)
    assert layer.momentum == momentum
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name])


def test_sam_counts_a_batch_once(few_digits: DataSet) -> None:
    """With a rate of next to nothing both trainings see the same activations."""
    found = []
    for step in ("plain", "sam"):
        model = network()
        recipe = TrainingRecipe(epochs=1, batch_size=32, step=step, learning_rate=1e-12)
        result = fit(model, few_digits, recipe, seed=1)
        norm = model[2]  # type: ignore[index]
        found.append((norm.running_mean, norm.running_var, int(norm.num_batches_tracked)))
        passes = result.figures["gradient_evaluations"]
        assert passes == found[-1][2] * (1 if step == "plain" else 2)
    assert found[0][2] == found[1][2]
    for plain, sam in zip(found[0][:2], found[1][:2], strict=True):
        torch.testing.assert_close(plain, sam, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("optimizer", "batch", "expected"), [("sgd", 128, 0.2), ("adamw", 128, 0.1 * 2**0.5)]
)
def test_rates_follow_the_batch(optimizer: str, batch: int, expected: float) -> None:
    recipe = TrainingRecipe(
        optimizer=optimizer, batch_size=batch, reference_batch=64, learning_rate=0.1
    )
    assert recipe.all_optimizer_settings()["learning_rate"] == pytest.approx(expected)
