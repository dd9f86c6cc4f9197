"""Steps of pairs that are recorded are those that are not: here with stand-ins for recordings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.training import gradients
from nas.training.gan import GanRecipe, fit_pair, learner
from nas.training.stream import Placed
from tests.training.gan.pairs import LATENT, RECIPES, images, pair
from tests.training.replayed import Replayed

KINDS = {**RECIPES, "no gradients": {"optimizer": "mezo", "learning_rate": 1e-4}}


def trained(which: str, sides: tuple[bool, bool]) -> list[Tensor]:
    settings = {"epochs": 8, "batch_size": 8, "learning_rate": 1e-3, **KINDS[which]}
    networks = pair(spectral=settings.get("loss") == "hinge")
    for network, says in zip(networks, sides, strict=True):
        network.recordable = says  # type: ignore[assignment]
    fit_pair(*networks, LATENT, images(), GanRecipe(**settings), seed=1)
    return [tensor for network in networks for tensor in network.state_dict().values()]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Replayed]:
    Replayed.made.clear()
    monkeypatch.setattr(gradients, "RECORDING", frozenset({"cpu"}))
    for module in (gradients, learner):
        monkeypatch.setattr(module, "Recorded", Replayed)
    return Replayed.made


@pytest.mark.parametrize("which", KINDS)
def test_all_is_the_same(which: str, made: list[Replayed]) -> None:
    plain = trained(which, (False, False))
    assert sum(m.calls for m in made) == 0
    for sides in ((True, True), (False, True), (True, False)):
        found = trained(which, sides)
        assert sum(m.calls for m in made) > 0
        assert all(torch.equal(a, b) for a, b in zip(plain, found, strict=True)), sides
        made.clear()


def test_what_is_recorded_is_what_does_not_change(made: list[Replayed]) -> None:
    """Generators that change from step to step are drawn by and taught anew each time."""
    steps = 8 * 6
    calls = {}
    for sides in ((True, True), (False, True)):
        made.clear()
        trained("plain", sides)
        calls[sides] = [m.calls for m in made]
    # Images drawn, real images judged, then the steps of either network.
    assert calls[True, True] == [steps, steps, steps, steps]
    assert calls[False, True] == [0, steps, steps]


def test_few_steps_are_not_worth_it(made: list[Replayed]) -> None:
    networks = pair()
    for network in networks:
        network.recordable = True  # type: ignore[assignment]
    fit_pair(*networks, LATENT, images(), GanRecipe(epochs=1, batch_size=8), seed=1)
    assert sum(m.calls for m in made) == 0
    assert all(isinstance(network, nn.Module) for network in networks)


@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_asked_again_a_step_counts_no_statistics(side: str, made: list[Replayed]) -> None:
    """And is another recording, for that is another thing to do."""
    ends = []
    for says in (False, True):
        networks = pair()
        for network in networks:
            network.recordable = says  # type: ignore[assignment]
        recipe = GanRecipe(epochs=8, batch_size=8)
        taught = learner.PairLearner(*networks, LATENT, Placed(images(), "cpu"), recipe, 8, 0)
        taught.begin_epoch()
        optimizer = taught.optimizers[side]
        step = type(optimizer).step

        def twice(self: Any, closure: Any, step: Any = step) -> Any:
            closure()
            return step(self, closure)

        optimizer.step = twice.__get__(optimizer)  # type: ignore[method-assign]
        made.clear()
        for _ in range(3):
            taught.take_step()
        ends.append([t.clone() for n in networks for t in n.state_dict().values()])
        if says:
            assert [m.calls for m in made] == [3] * 3  # one network is asked twice
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
