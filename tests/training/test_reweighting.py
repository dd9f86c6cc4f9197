"""What examples count by their losses, against the formula and in training."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from nas.core.errors import ConfigError, PluginError
from nas.training import TrainingRecipe, fit
from nas.training.data.dataset import DataSet
from nas.training.losses import Loss, Moment

LATE = Moment(step=100, steps=200, epoch_steps=10)
FORMS = {
    "linear-upper": lambda h: min(h + 1, 1.0),
    "quadratic": lambda h: 1 - h * h,
    "extremes": abs,
}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 4, dtype=torch.float64, requires_grad=True), torch.arange(6) % 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_loss_is_the_formula(form: str, temperature: float) -> None:
    logits, labels = batch()
    recipe = TrainingRecipe(reweighting=form, reweighting_settings={"temperature": temperature})
    losses = F.cross_entropy(logits, labels, reduction="none").tolist()
    top, bottom = max(losses), min(losses)
    scores = [FORMS[form]((2 * x - top - bottom) / (top - bottom)) for x in losses]
    shares = [math.exp(score / temperature) for score in scores]
    wanted = sum(s * x for s, x in zip(shares, losses, strict=True)) / sum(shares)
    found = Loss(recipe).of(logits, [(labels, 1.0)], LATE)
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-12)


def test_weights_are_constants_to_the_gradient() -> None:
    logits, labels = batch()
    loss = Loss(TrainingRecipe(reweighting="linear-upper"))
    (found,) = torch.autograd.grad(loss.of(logits, [(labels, 1.0)], LATE), logits)
    losses = F.cross_entropy(logits, labels, reduction="none")
    values = losses.detach()
    h = (2 * values - values.max() - values.min()) / (values.max() - values.min())
    (wanted,) = torch.autograd.grad(((h + 1).clamp_max(1).softmax(0) * losses).sum(), logits)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def test_all_count_alike_at_first_and_at_great_temperatures() -> None:
    logits, labels = batch()
    plain = F.cross_entropy(logits, labels)
    weighed = TrainingRecipe(reweighting="linear-upper", reweighting_settings={"burn_in": 2.0})
    early = Moment(step=19, steps=200, epoch_steps=10)
    assert torch.equal(Loss(weighed).of(logits, [(labels, 1.0)], early), plain)
    later = Moment(step=20, steps=200, epoch_steps=10)
    assert not torch.equal(Loss(weighed).of(logits, [(labels, 1.0)], later), plain)
    warm = TrainingRecipe(reweighting="linear-upper", reweighting_settings={"temperature": 1e9})
    torch.testing.assert_close(Loss(warm).of(logits, [(labels, 1.0)], LATE), plain)


def test_equal_losses_are_no_division_by_zero() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    loss = Loss(TrainingRecipe(reweighting="linear-upper"))
    found = loss.of(logits, [(torch.tensor([0, 1, 2]), 1.0)], LATE)
    assert float(found.detach()) == pytest.approx(math.log(4))


def test_it_trains_to_the_bit_and_otherwise_than_without(digits: DataSet) -> None:
    def trained(**settings: object) -> dict[str, float]:
        torch.manual_seed(0)
        size = math.prod(digits.input_shape)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, 10))
        recipe = TrainingRecipe(epochs=3, batch_size=32, mixup=0.2, **settings)
        return dict(fit(network, digits, recipe, seed=0).figures)

    weighed = trained(reweighting="linear-upper")
    assert weighed == trained(reweighting="linear-upper")
    assert weighed["loss"] != trained()["loss"]


def test_bad_settings_are_said() -> None:
    with pytest.raises(PluginError, match="linear-upper"):
        TrainingRecipe(reweighting="linear-uper")
    with pytest.raises(ConfigError, match="temperature"):
        TrainingRecipe(reweighting="extremes", reweighting_settings={"temperature": 0})
    with pytest.raises(ConfigError, match="burn_in"):
        TrainingRecipe(reweighting_settings={"burn_in": 1})
