"""What a training costs: as many passes as its optimizer asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path

import pytest
from torch import nn

from nas.core.errors import Interrupted
from nas.core.protocols import Context
from nas.core.work import Spent
from nas.optimizers import OPTIMIZERS, Member, OptimizerSettings
from nas.training import FitOptions, TrainingRecipe, TrainingResult, fit
from nas.training.data.dataset import DataSet
from tests.plugins.visiting.optimizer import extragradient

Make = Callable[..., nn.Module]

MACS = 1000.0
TWICE = "extragradient-of-a-test"


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    if TWICE not in OPTIMIZERS:
        OPTIMIZERS.add(TWICE, Member(OptimizerSettings, extragradient), "two gradients a step")
    yield
    OPTIMIZERS._rows.pop(TWICE)


def train(
    network: nn.Module,
    data: DataSet,
    name: str,
    epochs: int,
    since: Path | None = None,
    keep: Path | None = None,
) -> Spent:
    recipe = TrainingRecipe(batch_size=32, optimizer=name, learning_rate=0.01)
    options = FitOptions(horizon=4, keep_state=keep, macs=MACS)
    result = fit(network, data, recipe, epochs=epochs, options=options, resume_from=since)
    return result.spent


@pytest.mark.parametrize(("name", "gradients"), [("sgd", 1), (TWICE, 2)])
def test_an_epoch_costs_as_many_as_it_takes_gradients_of_a_batch(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, name: str, gradients: int
) -> None:
    state = tmp_path / "state.pt"
    spent = train(conv_net(), few_digits, name, 2, keep=state)
    assert spent.epochs == 2 * gradients
    images, measured = len(few_digits.train), len(few_digits.validation)
    assert spent.macs == MACS * 2 * (3 * gradients * images + measured)
    assert train(conv_net(), few_digits, name, 3, since=state).epochs == gradients


def test_one_that_was_interrupted_costs_no_more(
    few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    whole = train(conv_net(), few_digits, TWICE, 2)
    looks = iter([False] * 5 + [True])
    recipe = TrainingRecipe(batch_size=32, optimizer=TWICE, learning_rate=0.01)
    options = FitOptions(horizon=4, macs=MACS)
    stopping = Context(scratch=tmp_path, should_stop=lambda: next(looks))
    with pytest.raises(Interrupted):
        fit(conv_net(), few_digits, recipe, epochs=2, options=options, context=stopping)
    going_on = Context(scratch=tmp_path)
    rest = fit(conv_net(), few_digits, recipe, epochs=2, options=options, context=going_on)
    assert (rest.spent.epochs, rest.spent.macs) == (whole.epochs, whole.macs)


@pytest.mark.parametrize(
    ("name", "settings", "step", "passes"),
    [
        ("lion", {}, "plain", lambda t: t),
        ("sgd", {}, "sam", lambda t: 2 * t),
        ("adamw", {}, "looksam", lambda t: t + ceil(t / 5)),
        ("sophia-g", {"k": 3}, "plain", lambda t: t + ceil(t / 3)),
        ("sophia-h", {"k": 3}, "plain", lambda t: t + 2 * ceil(t / 3)),
        ("mezo", {}, "plain", lambda t: 2 * t / 3),
    ],
)
def test_trainings_count_what_optimizers_ask_for(
    few_digits: DataSet,
    conv_net: Make,
    tmp_path: Path,
    name: str,
    settings: dict[str, int],
    step: str,
    passes: Callable[[int], float],
) -> None:
    """And a training that goes on from a shorter one is the longer one, to the bit."""
    recipe = TrainingRecipe(
        batch_size=32, optimizer=name, optimizer_settings=settings, learning_rate=0.001, step=step
    )
    steps = -(-len(few_digits.train) // 32)

    def run(epochs: int, keep: Path | None = None, since: Path | None = None) -> TrainingResult:
        options = FitOptions(horizon=3, keep_state=keep)
        network = conv_net(dropout=0.2)
        return fit(
            network, few_digits, recipe, epochs=epochs, options=options, resume_from=since, seed=1
        )

    whole, state = run(3), tmp_path / "state.pt"
    assert whole.figures["gradient_evaluations"] == pytest.approx(passes(3 * steps))
    assert whole.spent.epochs == pytest.approx(passes(3 * steps) / steps)
    run(1, keep=state)
    longer = run(3, since=state)
    assert longer.curve == whole.curve
    assert longer.figures == whole.figures
