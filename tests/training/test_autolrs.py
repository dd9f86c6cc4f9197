"""AutoLRS: its forecast, where it looks, what its tries leave behind and what they cost."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError, ConfigError, Interrupted
from nas.core.protocols import Context
from nas.training import FitOptions, TrainingRecipe, TrainingResult, fit
from nas.training.autolrs import RateSearch
from nas.training.data.dataset import DataSet
from nas.training.forecast import forecast, next_place
from nas.training.schedules import SCHEDULES, Schedule, ScheduleSettings, constant
from nas.training.stepper import Stepper

Make = Callable[..., nn.Module]
HELD = "held-of-a-test"


# -- the forecast ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b", "c"), [(2.0, 0.05, 0.3), (1.0, 0.01, 0.0), (-0.4, 0.1, 1.0)])
def test_an_exponential_is_continued(a: float, b: float, c: float) -> None:
    x = np.arange(1, 41)
    expected = a * math.exp(-b * 400) + c
    assert forecast(a * np.exp(-b * x) + c, 400) == pytest.approx(expected, abs=0.02)
    noisy = a * np.exp(-b * x) + c + np.random.default_rng(0).normal(0, 0.005, 40)
    assert forecast(noisy, 400) == pytest.approx(expected, abs=0.15)


def test_outliers_of_the_beginning_are_left_out() -> None:
    x = np.arange(1, 101)
    losses = 2 * np.exp(-0.05 * x) + 0.3
    clean = forecast(losses, 1000)
    losses[[10, 30]] += 8.0
    assert forecast(losses, 1000) == pytest.approx(clean, abs=0.02)


def test_a_loss_is_never_expected_below_zero() -> None:
    assert forecast(np.linspace(3, 2, 50), 5000) >= 0
    assert forecast([0.0] * 10, 100) == 0
    rising = forecast(np.linspace(2, 3, 50), 500)
    assert rising > 3


def test_short_and_broken_series() -> None:
    assert forecast([2.0, 1.0], 20) == 1.5
    assert forecast([], 20) == math.inf
    assert forecast([1.0, math.nan, 1.0, 1.0, 1.0], 20) == math.inf


# -- where to look next ----------------------------------------------------------------------------


def curve(place: float) -> float:
    return (place - 0.3) ** 2 * 4 + (10 if place > 0.8 else 0)


def looked(kappa: float, function: Callable[[float], float] = curve) -> list[tuple[float, float]]:
    tried = [(0.5, function(0.5))]
    for _ in range(9):
        place = next_place(tried, kappa)
        tried.append((place, function(place)))
    return tried


@pytest.mark.parametrize("kappa", [0.5, 2.0, 1e6])
def test_ten_looks_find_the_valley(kappa: float) -> None:
    tried = looked(kappa)
    places = [place for place, _ in tried]
    assert all(0 <= place <= 1 for place in places)
    assert len(set(places)) == 10
    assert min(value for _, value in tried) < 0.05
    assert tried == looked(kappa)


def test_not_knowing_draws_it_and_knowing_keeps_it() -> None:
    wide, narrow = looked(1e6), looked(0.1)
    gaps = [max(np.diff(sorted(place for place, _ in tried))) for tried in (wide, narrow)]
    assert gaps[0] < 0.25
    assert sum(abs(p - 0.3) < 0.2 for p, _ in narrow) > sum(abs(p - 0.3) < 0.2 for p, _ in wide)


def test_places_that_diverge_are_left() -> None:
    tried = looked(2.0, lambda place: math.inf if place > 0.4 else place)
    assert sum(place > 0.4 for place, _ in tried) <= 5
    assert min(tried, key=lambda found: found[1])[0] < 0.1
    everywhere = looked(2.0, lambda place: math.inf)
    assert len({place for place, _ in everywhere}) == 10


# -- in a training ---------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {"stage": 5, "doublings": 1, "tries": 3, "share": 0.4}
RECIPE = TrainingRecipe(
    epochs=5,
    batch_size=32,
    learning_rate=0.05,
    schedule="autolrs",
    schedule_settings=SETTINGS,
    ema_decay=0.9,
    cutout=2,
    mixup=0.2,
    precision="float32",
)
STEPS = 5 * 4
# Stages of 5, 10 and 5 steps; the last is judged by the validation loss.
TRIED = 3 * (2 + 4 + 2)


def end(network: nn.Module, result: TrainingResult) -> tuple[Any, dict[str, Tensor]]:
    return (result.figures, result.curve, result.spent.epochs, result.spent.macs), dict(
        network.state_dict()
    )


def check_same(a: tuple[Any, dict[str, Tensor]], b: tuple[Any, dict[str, Tensor]]) -> None:
    assert a[0] == b[0]
    for name, tensor in a[1].items():
        assert torch.equal(tensor, b[1][name]), name


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """First step and factor of each stage, as they are found."""
    stages: list[tuple[int, float]] = []
    before_step = RateSearch.before_step

    def watched(self: RateSearch, epoch: int) -> None:
        at, stage = epoch * self._stepper.steps + self._stepper.step, self._stage
        before_step(self, epoch)
        if self._stage > stage:
            stages.append((at, self._factor))

    monkeypatch.setattr(RateSearch, "before_step", watched)
    return stages


class Held:
    """Holds factors from given steps on."""

    factors: list[tuple[int, float]] = []  # noqa: RUF012

    def __init__(self, stepper: Stepper, *rest: object) -> None:
        self._stepper = stepper

    def before_step(self, epoch: int) -> None:
        at = epoch * self._stepper.steps + self._stepper.step
        for first, factor in self.factors:
            if at == first:
                self._stepper.hold(factor)


@pytest.fixture
def holding() -> Iterator[None]:
    row = Schedule(ScheduleSettings, constant, f"{__name__}:Held")
    SCHEDULES.add(HELD, row, "of a test")
    yield
    SCHEDULES._rows.pop(HELD)


def test_tries_leave_nothing_behind_but_their_cost(
    few_digits: DataSet, conv_net: Make, found: list[tuple[int, float]], holding: None
) -> None:
    """The same training as one that was told the rates."""
    network = conv_net(dropout=0.3)
    result = fit(network, few_digits, RECIPE, seed=3, options=FitOptions(macs=1.0))
    assert [at for at, _ in found] == [0, 5, 15]
    assert result.figures["gradient_evaluations"] == STEPS + TRIED
    assert result.spent.epochs == pytest.approx((STEPS + TRIED) / 4)
    images, validated = len(few_digits.train), len(few_digits.validation)
    looks = 3 * (1 + 2)  # at the last stage, before and after each step of three tries
    paid = 3 * images * (STEPS + TRIED) / 4 + validated * (5 + looks)
    assert result.spent.macs == pytest.approx(paid)
    Held.factors = found
    told = conv_net(dropout=0.3)
    recipe = RECIPE.but(schedule=HELD)
    plain = fit(told, few_digits, recipe, seed=3)
    assert plain.curve == result.curve
    for name, tensor in told.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_stopped_before_every_step_of_trainings_and_tries(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, optimizer: str
) -> None:
    recipe = RECIPE.but(optimizer=optimizer)
    options = FitOptions(macs=1.0)
    network = conv_net(dropout=0.3)
    straight = end(network, fit(network, few_digits, recipe, seed=3, options=options))
    for stop in range(0, STEPS + TRIED, 5):
        batches = itertools.count()
        context = Context(
            scratch=tmp_path,
            should_stop=lambda batches=batches, stop=stop: next(batches) >= stop,
        )
        with pytest.raises(Interrupted):
            fit(conv_net(dropout=0.3), few_digits, recipe, context=context, seed=3, options=options)
        network = conv_net(dropout=0.3)
        rest = fit(
            network, few_digits, recipe, context=Context(scratch=tmp_path), seed=3, options=options
        )
        check_same(straight, end(network, rest))
        assert not list(tmp_path.iterdir())


def test_stopped_again_and_again_it_comes_to_an_end(
    few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    """Tries that were finished are kept: five steps at a time are enough for tries of four."""
    network = conv_net(dropout=0.3)
    straight = end(network, fit(network, few_digits, RECIPE, seed=3))
    for _ in range(40):
        batches = itertools.count()
        context = Context(scratch=tmp_path, should_stop=lambda b=batches: next(b) >= 5)
        network = conv_net(dropout=0.3)
        try:
            result = fit(network, few_digits, RECIPE, context=context, seed=3)
        except Interrupted:
            continue
        check_same(straight, end(network, result))
        return
    raise AssertionError("it never ends")


def test_a_longer_training_goes_on_from_a_shorter_one(
    few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    network, state = conv_net(), tmp_path / "state.pt"
    whole = fit(network, few_digits, RECIPE, seed=3)
    options = FitOptions(horizon=5, keep_state=state)
    short = fit(conv_net(), few_digits, RECIPE, epochs=2, seed=3, options=options)
    other = conv_net()
    rest = fit(other, few_digits, RECIPE, seed=3, options=FitOptions(horizon=5), resume_from=state)
    assert (rest.figures, rest.curve) == (whole.figures, whole.curve)
    assert short.spent.epochs + rest.spent.epochs == pytest.approx(whole.spent.epochs)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_it_finds_a_rate_where_the_one_given_is_useless(
    few_digits: DataSet, conv_net: Make, found: list[tuple[int, float]]
) -> None:
    errors = []
    for schedule, settings in (
        ("constant", {}),
        ("autolrs", {"lowest": 1.0, "highest": 1e4, "stage": 60, "doublings": 0}),
    ):
        recipe = TrainingRecipe(
            epochs=20,
            batch_size=20,
            learning_rate=1e-4,
            schedule=schedule,
            schedule_settings=settings,
            precision="float32",
        )
        errors.append(fit(conv_net(), few_digits, recipe, seed=1).figures["error"])
    assert errors[0] > 0.6
    assert errors[1] < errors[0] - 0.3
    assert found[0][1] > 30


def test_rates_that_diverge_are_not_taken(
    few_digits: DataSet, conv_net: Make, found: list[tuple[int, float]]
) -> None:
    settings = {**SETTINGS, "lowest": 1.0, "highest": 1e30, "tries": 6}
    recipe = RECIPE.but(schedule_settings=settings, clip_norm=None, epochs=2)
    fit(conv_net(), few_digits, recipe, seed=1)
    assert all(factor < 1e6 for _, factor in found)
    settings["lowest"] = 1e25
    with pytest.raises(
        CandidateError, match=r"no number at any of 6 rates tried in epoch 1; lower"
    ):
        fit(conv_net(), few_digits, recipe.but(schedule_settings=settings), seed=1)


def test_warm_up_comes_before_the_first_stage(
    few_digits: DataSet, conv_net: Make, found: list[tuple[int, float]]
) -> None:
    fit(conv_net(), few_digits, RECIPE.but(warmup_epochs=0.75), seed=1)
    assert [at for at, _ in found] == [3, 8]


def test_stages_as_published(conv_net: Make) -> None:
    """1,000 steps, doubled to 8,000; shorter in a short training, and never by a few steps only."""

    def stages(total: int, **settings: Any) -> list[int]:
        model = SCHEDULES.get("autolrs").settings(**settings)
        search = RateSearch(None, model, 0, total, lambda: None)  # type: ignore[arg-type]
        at, found = 0, []
        while at < total:
            found.append(search._length(at))
            at += found[-1]
            search._stage += 1
        return found

    assert stages(40_000) == [1000, 2000, 4000, 8000, 8000, 8000, 9000]
    assert stages(6000) == [400, 800, 1600, 3200]
    assert stages(700) == [200, 500]
    assert stages(150) == [150]
    assert stages(90, stage=20, doublings=1) == [20, 40, 30]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lowest": 2.0, "highest": 1.0}, "lowest 2.0 to be less than highest 1.0"),
        ({"tries": 1}, "'tries' is 1"),
        ({"share": 0.0}, "'share'"),
        ({"kappa": -1.0}, "'kappa'"),
        ({"final": 0.1}, "unknown autolrs setting 'final'"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        TrainingRecipe(schedule="autolrs", schedule_settings=settings)
    assert "\n" not in str(caught.value)


def test_naming_it_imports_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, nas.training.recipe as r; r.TrainingRecipe(schedule='autolrs');"
        "assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
