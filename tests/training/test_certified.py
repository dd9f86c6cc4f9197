"""Certified training: its loss by hand, initial weights, costs, refusals, and that it works."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nas.core.errors import CandidateError, ConfigError, Interrupted, UnsupportedError
from nas.core.protocols import Context
from nas.layers.intervals import Interval
from nas.measure import Subject, bound
from nas.training import FitOptions, TrainingRecipe, TrainingResult, fit, load_data
from nas.training.augment import Augmentation, Pipeline
from nas.training.certified import TINY, CertifiedLoss, initialize, regularizers
from nas.training.criteria import LOSSES
from nas.training.data.dataset import DataSet
from nas.training.losses import Moment, loss_of
from nas.training.randomness import generator

Make = Callable[..., nn.Module]

CERTIFIED: dict[str, Any] = {"loss": "certified", "loss_settings": {"epsilon": 0.05}}
STEPS = 4
"""Of an epoch of 100 images in batches of 32."""


def mlp(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()),
        nn.Linear(64, 10),
    )


def loss(data: DataSet, **settings: Any) -> CertifiedLoss:
    recipe = TrainingRecipe(loss="certified", loss_settings=settings)
    found = loss_of(recipe, Pipeline(data.mean, data.std, Augmentation()))
    assert isinstance(found, CertifiedLoss)
    return found


def test_the_loss_by_hand(few_digits: DataSet) -> None:
    """At the end: no regulariser, the whole radius, logits at their worst for the label."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    weight, bias = network[1].parameters()
    pipeline = Pipeline(few_digits.mean, few_digits.std, Augmentation())
    inputs, labels = pipeline.plain(few_digits.train.images[:9]), few_digits.train.labels[:9]
    lower, upper = (end.flatten(1) for end in pipeline.ball(inputs, 0.05))
    worst = torch.empty(9, 10)
    for row, label in enumerate(labels.tolist()):
        for other in range(10):
            apart = weight[other] - weight[label]
            ends = torch.where(apart > 0, upper[row], lower[row])
            worst[row, other] = apart @ ends + bias[other] - bias[label]
    wanted = nn.functional.cross_entropy(worst, labels)
    found = loss(few_digits, epsilon=0.05)(network, inputs, [(labels, 1.0)], Moment(99, 100, STEPS))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert found > nn.functional.cross_entropy(network(inputs), labels)


def test_the_radius_rises_and_regularisers_go(few_digits: DataSet) -> None:
    network, pipeline = mlp(), Pipeline(few_digits.mean, few_digits.std, Augmentation())
    inputs, targets = pipeline.plain(few_digits.train.images), [(few_digits.train.labels, 1.0)]

    def at(step: int, **settings: Any) -> float:
        made = loss(few_digits, epsilon=0.05, **settings)
        return float(made(network, inputs, targets, Moment(step, 200, STEPS)).detach())

    plain = [at(step, regularization=0.0) for step in (0, 24, 49, 99, 150, 199)]
    clean = float(nn.functional.cross_entropy(network(inputs), targets[0][0]).detach())
    assert plain[0] == pytest.approx(clean, rel=1e-4)
    assert plain[:4] == sorted(plain[:4])
    assert plain[3] == plain[4] == plain[5] > plain[2]
    for step, share in ((0, 1e-8), (49, 0.5**4), (99, 1.0), (150, 1.0)):
        radius = share * 0.05
        wider = loss(few_digits, epsilon=radius, ramp=0.0)
        wanted = float(wider(network, inputs, targets, Moment(0, 200, STEPS)).detach())
        assert at(step, regularization=0.0) == pytest.approx(wanted, rel=1e-5)
        extra = at(step) - at(step, regularization=0.0)
        twice = at(step, regularization=1.0) - at(step, regularization=0.0)
        assert twice == pytest.approx(2 * extra, rel=1e-3, abs=1e-6)
        if step:  # at first the radius is less than single precision resolves
            assert (extra > 1e-3) is (share < 1)
    line = at(49, power=1.0, regularization=0.0)
    assert line == pytest.approx(
        float(
            loss(few_digits, epsilon=0.025, ramp=0.0)(
                network, inputs, targets, Moment(0, 200, STEPS)
            ).detach()
        ),
        rel=1e-5,
    )


def test_regularisers_by_hand() -> None:
    torch.manual_seed(0)
    box = Interval(torch.zeros(5, 3, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64))
    middles = torch.randn(3, 40, 6, dtype=torch.float64)
    radii = torch.rand(3, 40, 6, dtype=torch.float64) * torch.tensor([0.1, 1, 9]).view(3, 1, 1)
    wanted = 0.0
    for middle, radius in zip(middles, radii, strict=True):
        on, off = middle - radius > 0, middle + radius < 0
        wanted += max(0, 0.5 - float(box.radius.mean() / radius.mean())) / 0.5
        alpha = float(middle[on].sum() / -middle[off].sum())
        wanted += max(0, 0.5 - min(alpha, 1 / alpha)) / 0.5
        away = (middle - middle.mean()) ** 2
        beta = float(away[on].sum() / away[off].sum())
        wanted += max(0, 0.5 - min(beta, 1 / beta)) / 0.5
    found = [Interval(m - r, m + r) for m, r in zip(middles, radii, strict=True)]
    assert float(regularizers(box, found, 0.5)) == pytest.approx(wanted / 3, rel=1e-12)


def test_regularisers_of_nothing_are_finite() -> None:
    x = torch.zeros(4, 3, requires_grad=True)
    value = regularizers(Interval(x, x), [Interval(x, x)], 0.5)
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == 0
    assert torch.isfinite(x.grad).all()  # type: ignore[arg-type]
    assert TINY > 0


def test_initial_weights_keep_the_width_of_intervals() -> None:
    torch.manual_seed(0)
    wide = [layer for _ in range(6) for layer in (nn.Linear(1000, 1000, bias=False), nn.ReLU())]
    network = nn.Sequential(*wide, nn.Linear(1000, 10))
    last = network[-1].weight.clone()
    initialize(network, (1, 1, 1000), generator(0))
    assert torch.equal(network[-1].weight, last)
    weight = network[0].weight.detach()
    assert float(weight.std()) == pytest.approx(math.sqrt(2 * math.pi) / 1000, rel=0.01)
    x = torch.randn(20, 1000)
    with torch.no_grad():
        found: Any = network[:-1](Interval(x - 0.1, x + 0.1))
        assert float(found.radius.mean()) == pytest.approx(0.1, rel=0.35)
        before = nn.Sequential(*(nn.Linear(1000, 1000), nn.ReLU()) * 6)(Interval(x - 0.1, x + 0.1))
        assert float(before.radius.mean()) > 100 * float(found.radius.mean())


def test_initial_weights_are_those_of_the_seed_and_only_if_asked(few_digits: DataSet) -> None:
    still = {"learning_rate": 1e-12, "weight_decay": 0.0}
    found = []
    for seed, given in ((1, {}), (1, {}), (2, {}), (1, {"initialize": False})):
        network = mlp()
        settings = {"loss": "certified", "loss_settings": {"epsilon": 0.05, **given}}
        fit(network, few_digits, TrainingRecipe(epochs=1, **still, **settings), seed=seed)
        found.append(network[1].weight.detach())
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    assert not torch.allclose(found[0], found[2])
    torch.testing.assert_close(found[3], mlp()[1].weight.detach(), rtol=0, atol=1e-8)


def train(network: nn.Module, data: DataSet, *, epochs: int = 2, **more: Any) -> TrainingResult:
    options = FitOptions(**more.pop("options", {}))
    context = more.pop("context", None)
    since = more.pop("resume_from", None)
    recipe = TrainingRecipe(epochs=epochs, batch_size=32, **{**CERTIFIED, **more})
    return fit(network, data, recipe, seed=1, options=options, context=context, resume_from=since)


def test_it_costs_what_it_computes(few_digits: DataSet, conv_net: Make) -> None:
    """Middle and radius; with batch statistics the clean images, too."""
    for network, each in ((mlp(), 2), (conv_net(), 3)):
        result = train(network, few_digits, options={"macs": 10.0})
        assert result.figures["gradient_evaluations"] == each * 2 * STEPS
        assert result.spent.epochs == 2 * each
        images = len(few_digits.train)
        assert result.spent.macs == 10 * 2 * (3 * each * images + len(few_digits.validation))
    assert train(mlp(), few_digits, step="sam").spent.epochs == 8


@pytest.mark.parametrize("step", ["plain", "sam"])
def test_stopped_anywhere_it_goes_on_to_the_same_bit(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, step: str
) -> None:
    whole = conv_net(dropout=0.2)
    expected = train(whole, few_digits, step=step)
    for stop in (1, 6):
        looks = iter([False] * stop + [True])
        stopping = Context(scratch=tmp_path, should_stop=lambda looks=looks: next(looks))
        with pytest.raises(Interrupted):
            train(conv_net(dropout=0.2), few_digits, step=step, context=stopping)
        network = conv_net(dropout=0.2)
        found = train(network, few_digits, step=step, context=Context(scratch=tmp_path))
        assert found.curve == expected.curve
        assert found.figures == expected.figures
        for mine, theirs in zip(
            network.state_dict().values(), whole.state_dict().values(), strict=True
        ):
            assert torch.equal(mine, theirs)


def test_statistics_count_a_batch_once_and_are_those_of_clean_images(
    few_digits: DataSet, conv_net: Make
) -> None:
    still = {"learning_rate": 1e-12, "weight_decay": 0.0}
    settings = {"epsilon": 0.05, "initialize": False}
    certified, plain = conv_net(), conv_net()
    train(certified, few_digits, loss_settings=settings, **still)
    recipe = TrainingRecipe(epochs=2, batch_size=32, **still)
    fit(plain, few_digits, recipe, seed=1)
    for name, tensor in certified.state_dict().items():
        torch.testing.assert_close(tensor, plain.state_dict()[name], rtol=1e-5, atol=1e-6)
    assert int(certified[1].num_batches_tracked) == 2 * STEPS  # type: ignore[index]


class TwoHeads(nn.Module):
    """With an auxiliary head in training, as large networks have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.main = nn.Linear(64, 16), nn.Linear(16, 10)
        self.auxiliary_head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Any:
        y = torch.relu(self.body(x.flatten(1)))
        return (self.main(y), self.auxiliary_head(y)) if self.training else self.main(y)


def test_an_auxiliary_head_learns_its_worst_case_too(few_digits: DataSet) -> None:
    network = TwoHeads()
    before = network.auxiliary_head.weight.detach().clone()
    train(network, few_digits, auxiliary_weight=0.4)
    assert not torch.allclose(before, network.auxiliary_head.weight)
    silent = TwoHeads()
    train(silent, few_digits, auxiliary_weight=0.0, weight_decay=0.0)
    assert torch.equal(before, silent.auxiliary_head.weight)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mixup": 0.2}, "mixup = 0.2 blends two labels"),
        ({"optimizer": "sophia-g"}, "sophia-g cannot minimise"),
        ({"loss_settings": {"epsilon": 0}}, "certified setting 'epsilon' is 0"),
        ({"loss_settings": {"epsilom": 0.1}}, "did you mean epsilon"),
        ({"loss": "certifed"}, "did you mean certified"),
        ({"loss": "cross-entropy"}, "unknown cross-entropy setting 'epsilon'"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        TrainingRecipe.from_settings({**CERTIFIED, **settings})
    assert "\n" not in str(caught.value)


def test_settings_do_not_carry_over_to_another_loss() -> None:
    base = TrainingRecipe(**CERTIFIED)
    assert base.but(loss="cross-entropy").loss_settings == {}
    assert base.but(epochs=3).loss_settings == {"epsilon": 0.05}
    assert TrainingRecipe().loss == "cross-entropy"
    assert set(LOSSES.names()) >= {"cross-entropy", "certified"}


def test_labels_drawn_from_outputs_have_no_such_loss(few_digits: DataSet) -> None:
    with pytest.raises(UnsupportedError, match="drawn"):
        loss(few_digits).of(torch.zeros(2, 3), [(torch.tensor([0, 1]), 1.0)], Moment(0, 1, 1))


class Soft(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))


def test_a_network_without_bounds_is_refused_before_its_first_step(few_digits: DataSet) -> None:
    said: list[str] = []
    context = Context(emit=lambda event, payload: said.append(event))
    with pytest.raises(CandidateError, match=r"certified training cannot have.*'softmax'"):
        train(Soft(), few_digits, context=context)
    assert said == []


class Twice(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def test_weights_that_are_functions_of_what_is_trained(few_digits: DataSet) -> None:
    network = mlp()
    network[3] = parametrize.register_parametrization(network[3], "weight", Twice())
    made = loss(few_digits, epsilon=0.05)
    made.check(network, few_digits.input_shape)
    pipeline = Pipeline(few_digits.mean, few_digits.std, Augmentation())
    inputs = pipeline.plain(few_digits.train.images)
    made(network, inputs, [(few_digits.train.labels, 1.0)], Moment(0, 9, 9)).backward()  # type: ignore[no-untyped-call]
    assert network[3].parametrizations.weight.original.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


def verified(network: nn.Module, data: DataSet, epsilon: float = 0.05) -> float:
    return 1 - float(bound("certified_error", {"epsilon": epsilon})(Subject(network, data)))


PROTOCOL: dict[str, Any] = {
    **{"epochs": 60, "optimizer": "adam", "learning_rate": 2e-3, "weight_decay": 0.0},
    **{"schedule": "constant", "clip_norm": None},
}
"""Of the literature; the radius rises over half of the epochs."""


@pytest.mark.parametrize(
    ("epochs", "most", "least"),
    [(12, 0.1, 0.6), pytest.param(60, 0.05, 0.75, marks=pytest.mark.slow)],
)
def test_it_proves_what_plain_training_does_not(epochs: int, most: float, least: float) -> None:
    data, recipe = load_data("digits", 0), TrainingRecipe(**{**PROTOCOL, "epochs": epochs})
    plain, certified = mlp(), mlp()
    fit(plain, data, recipe, seed=0)
    assert verified(plain, data) <= most
    result = fit(certified, data, recipe.but(**CERTIFIED), seed=0)
    assert verified(certified, data) >= least
    assert result.figures["error"] <= 0.06
