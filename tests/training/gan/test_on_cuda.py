"""Pairs on a GPU: no step waits, recorded ones are those that are called, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.architecture import Candidate
from nas.core.errors import Interrupted
from nas.core.protocols import Context
from nas.evaluators.gan import build_pair
from nas.testing.waiting import no_waiting
from nas.training import gradients, load_data
from nas.training.gan import GanRecipe, PairOptions, fit_pair
from nas.training.gan.images import drawn, latents
from nas.training.gan.learner import PairLearner
from nas.training.stream import Placed
from search_spaces import get_space
from tests.training.gan.pairs import RECIPES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEVICE = "cuda"
LATENT = 12
SCALE = {"generator_channels": 6, "discriminator_channels": 6, "latent": LATENT}
KINDS = {**RECIPES, "planes": {"channels_last": False}}
SPACE: Any = get_space("gan")
MEMBERS: dict[str, Any] = {
    "EAGAN": SPACE.members["EAGAN"],
    **{f"random {seed}": SPACE.sample(np.random.default_rng(seed)) for seed in range(6)},
}


def recipe(**settings: Any) -> GanRecipe:
    return GanRecipe(**{"epochs": 2, "batch_size": 20, "learning_rate": 1e-3, **settings})


def pair(member: Any, made: GanRecipe) -> tuple[nn.Module, nn.Module]:
    text = SPACE.format(member)
    both: Any = build_pair(Candidate(SPACE.parse(text)), (1, 8, 8), SCALE, made.loss, 0)
    return both.generator, both.discriminator


def judged(generator: nn.Module, epoch: int) -> dict[str, float]:
    z = latents(20, LATENT, torch.Generator().manual_seed(0))
    found = drawn(generator, z, DEVICE)
    assert found is not None
    return {"darkness": 1.0 + float(found.float().mean())}


def train(
    member: Any, made: GanRecipe, folder: Path | None = None, steps: int = 0, says: bool = True
) -> tuple[Any, list[Tensor]]:
    """Figures and weights; asked to stop after so many steps, if any."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return 0 < steps < asked

    networks = pair(member, made)
    for network in networks:
        network.recordable = says  # type: ignore[assignment]
    images = load_data("digits", limit=100).train
    context = Context(device=DEVICE, scratch=folder, should_stop=stop)
    options = PairOptions(judge=judged)
    result = fit_pair(*networks, LATENT, images, made, context=context, seed=1, options=options)
    return (result.figures, result.curve), [t for n in networks for t in n.state_dict().values()]


def check_same(a: tuple[Any, list[Tensor]], b: tuple[Any, list[Tensor]]) -> None:
    assert a[0] == b[0]
    assert all(torch.equal(one, other) for one, other in zip(a[1], b[1], strict=True))


@pytest.fixture(autouse=True)
def short_trainings_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "WORTH", 4)


def check_repeats(member: Any, made: GanRecipe, folder: Path) -> None:
    """Called, recorded, and stopped and gone on with: the same."""
    called = train(member, made, says=False)
    torch.cuda.manual_seed(12345)  # whatever is drawn before or in between changes nothing
    check_same(called, train(member, made))
    with pytest.raises(Interrupted):
        train(member, made, folder, steps=6)
    torch.cuda.manual_seed(6789)
    check_same(called, train(member, made, folder))


@pytest.mark.parametrize("which", KINDS)
def test_every_recipe_repeats_itself(which: str, tmp_path: Path) -> None:
    check_repeats(MEMBERS["EAGAN"], recipe(**KINDS[which]), tmp_path)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "EAGAN"])
def test_every_pair_repeats_itself(name: str, tmp_path: Path) -> None:
    check_repeats(MEMBERS[name], recipe(), tmp_path)


@pytest.mark.parametrize("which", KINDS)
def test_no_step_waits(which: str) -> None:
    made = recipe(**KINDS[which])
    networks = [network.to(DEVICE) for network in pair(MEMBERS["EAGAN"], made)]
    placed = Placed(load_data("digits").train, torch.device(DEVICE))
    learner = PairLearner(networks[0], networks[1], LATENT, placed, made, 2, 0)
    learner.begin_epoch()
    for _ in range(8):  # libraries load their kernels, states are made, and recordings
        learner.take_step()
    with no_waiting():
        for _ in range(6):
            learner.take_step()
    assert learner.finite
