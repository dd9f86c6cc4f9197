"""Training of a pair: to the bit, stopped anywhere; what it costs; what it gives up."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError, ConfigError, Interrupted, UnsupportedError
from nas.core.protocols import Context
from nas.training.gan import GanRecipe, PairOptions, fit_pair
from nas.training.gan.images import as_pixels, drawn, latents, scaled
from nas.training.gan.learner import PairLearner
from nas.training.gan.sheets import interpolation_sheet, sample_sheet
from nas.training.stream import Placed
from nas.training.trainer import TrainingResult
from tests.training.gan.pairs import LATENT, images, pair

RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "hinge": {"loss": "hinge", "n_critic": 2, "generator_batch": 12},
    "rest": {
        "augment": ["translation", "cutout"],
        "penalty_every": 2,
        "schedule": "cosine",
        "clip_norm": 1.0,
        "optimizer": "adamw",
    },
    "no average": {"ema_decay": None, "gamma": 0.0},
}


def recipe(**settings: Any) -> GanRecipe:
    return GanRecipe(**{"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, **settings})


def judged(generator: nn.Module, epoch: int) -> dict[str, float]:
    found = drawn(generator, latents(20, LATENT, torch.Generator().manual_seed(0)), "cpu")
    assert found is not None
    return {"darkness": 1.0 + float(found.float().mean())}


def fit(
    which: dict[str, Any], scratch: Path | None = None, stop_after: int = 0, **given: Any
) -> tuple[TrainingResult, list[Tensor]]:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return 0 < stop_after < asked

    networks = pair(spectral=which.get("loss") == "hinge")
    made = recipe(**which)
    options = PairOptions(
        judge=judged, macs={"generator": 10.0, "discriminator": 100.0}, **given.pop("options", {})
    )
    result = fit_pair(
        *networks,
        LATENT,
        images(),
        made,
        context=Context(scratch=scratch, should_stop=stop),
        seed=1,
        options=options,
        **given,
    )
    return result, [t.clone() for n in networks for t in n.state_dict().values()]


class Counted:
    """Sizes of the batches that a network is given."""

    def __init__(self, network: nn.Module) -> None:
        self.sizes: list[int] = []
        network.register_forward_pre_hook(lambda _, given: self.sizes.append(len(given[0])))


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("which", RECIPES)
def test_stopped_at_any_step_it_goes_on_to_the_bit(which: str, tmp_path: Path) -> None:
    settings = RECIPES[which]
    whole, weights = fit(settings)
    again, repeated = fit(settings)
    assert same(weights, repeated)
    assert again.curve == whole.curve
    for step in (1, 6, 11):
        folder = tmp_path / str(step)
        folder.mkdir()
        with pytest.raises(Interrupted):
            fit(settings, folder, stop_after=step)
        torch.manual_seed(12345)  # whatever is drawn in between changes nothing
        found, resumed = fit(settings, folder)
        assert same(weights, resumed), step
        assert found.curve == whole.curve
        assert found.figures == whole.figures
        assert found.spent.epochs == pytest.approx(whole.spent.epochs)
        assert found.spent.macs == pytest.approx(whole.spent.macs)
        assert not list(folder.iterdir())


def test_another_seed_is_another_training() -> None:
    networks = [pair() for _ in range(2)]
    for seed, (one, other) in enumerate(networks):
        fit_pair(one, other, LATENT, images(), recipe(), seed=seed)
    first, second = (list(n[0].state_dict().values()) for n in networks)
    assert not same(first, second)


def test_a_longer_training_goes_on_where_a_shorter_ended(tmp_path: Path) -> None:
    settings = {"schedule": "cosine"}
    whole, weights = fit(settings, options={"horizon": 3})
    state = tmp_path / "state"
    short, _ = fit(settings, epochs=2, options={"horizon": 3, "keep_state": state})
    rest, longer = fit(settings, options={"horizon": 3}, resume_from=state)
    assert same(weights, longer)
    assert rest.curve == whole.curve
    assert short.spent.epochs + rest.spent.epochs == pytest.approx(whole.spent.epochs)
    assert rest.spent.epochs == pytest.approx(1)


def test_what_a_training_costs() -> None:
    """50 images in batches of 8 are 6 steps; real and generated batch, both differentiated twice;
    and for the generator both networks, and the real images' scores."""
    found, _ = fit({})
    third = 1 / 3
    each = (2 * 2 + third) + (2 + third)
    assert found.figures["gradient_evaluations"] == pytest.approx(3 * 6 * each)
    assert found.spent.epochs == pytest.approx(3)
    forwards = 3 * 6 * 8 * 3
    assert found.spent.macs == pytest.approx(
        forwards * (10 * (third + 1) + 100 * (2 * 2 + 1 + third))
    )
    plain, _ = fit({"loss": "hinge", "n_critic": 2})
    assert plain.figures["gradient_evaluations"] == pytest.approx(3 * (6 * (2 + third) + 3 * 2))


@pytest.mark.parametrize("which", [w for w in RECIPES if w != "hinge"])
def test_images_scored_in_one_batch_teach_what_they_do_in_two(which: str) -> None:
    """A spectral norm, which goes on with each pass, has one instead of two."""
    taught: list[list[Tensor]] = []
    for separable in (False, True):
        generator, discriminator = pair()
        discriminator.separable = separable
        passes = Counted(discriminator)
        placed = Placed(images(), "cpu")
        learner = PairLearner(
            generator, discriminator, LATENT, placed, recipe(**RECIPES[which]), 3, 0
        )
        learner.begin_epoch()
        learner._teach_discriminator()
        taught.append([p.grad.clone() for p in discriminator.parameters() if p.grad is not None])
        assert learner.passes["discriminator"] == 8 * (2 if which == "no average" else 4)
        assert passes.sizes == ([16] if separable else [8, 8])
    assert len(taught[0]) == 6
    for apart, together in zip(*taught, strict=True):
        assert torch.allclose(apart, together, rtol=1e-4, atol=1e-6)


def test_layouts_of_memory_are_those_of_the_recipe_everywhere() -> None:
    """Fused optimizers take weights, gradients and moments to lie in memory alike."""
    for channels_last in (True, False):
        generator, discriminator = pair()
        learner = PairLearner(
            *(generator, discriminator, LATENT, Placed(images(), "cpu")),
            *(recipe(channels_last=channels_last), 3, 0),
        )
        learner.begin_epoch()
        learner.take_step()
        learner.load_state(copy.deepcopy(learner.state()))
        learner.take_step()
        kernel: Any = discriminator[2].weight
        moments = learner.optimizers["discriminator"].state[kernel]
        for tensor in (kernel, kernel.grad, moments["exp_avg"], moments["exp_avg_sq"]):
            assert tensor.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_only_the_network_whose_step_it_is_moves() -> None:
    generator, discriminator = pair()
    learner = PairLearner(
        generator, discriminator, LATENT, Placed(images(), "cpu"), recipe(n_critic=2), 3, 0
    )
    learner.begin_epoch()

    def weights(network: nn.Module) -> list[Tensor]:
        return [p.detach().clone() for p in network.parameters()]

    before = weights(generator)
    learner.take_step()
    assert same(before, weights(generator))
    taught = weights(discriminator)
    learner.take_step()
    assert not same(before, weights(generator))
    assert not same(taught, weights(discriminator))
    assert all(p.requires_grad for p in discriminator.parameters())
    assert all(p.grad is not None for p in generator.parameters())


def test_the_generator_is_left_with_the_average_of_weights_and_statistics() -> None:
    generator, discriminator = pair()
    learner = PairLearner(
        generator, discriminator, LATENT, Placed(images(), "cpu"), recipe(ema_decay=0.5), 1, 1
    )
    kept = [t.detach().clone() for t in (*generator.parameters(), *generator.buffers())]
    learner.begin_epoch()
    for step in range(3):
        learner.take_step()
        decay = min(0.5, (1 + step) / (10 + step))
        live = (*generator.parameters(), *generator.buffers())
        for i, tensor in enumerate(live):
            if tensor.is_floating_point():
                kept[i] = decay * kept[i] + (1 - decay) * tensor.detach()
    assert learner.average is not None
    learner.average.apply()
    for mine, tensor in zip(kept, (*generator.parameters(), *generator.buffers()), strict=True):
        if tensor.is_floating_point():
            assert torch.allclose(mine, tensor, atol=1e-6)


def test_a_collapsed_or_diverged_pair_is_a_failed_candidate() -> None:
    values = iter([20.0, 4.0, 9.0, 9.0, 9.0, 9.0])

    def worse(generator: nn.Module, epoch: int) -> dict[str, float]:
        return {"fd": next(values)}

    with pytest.raises(CandidateError, match="collapsed: 9 after epoch 5"):
        fit_pair(*pair(), LATENT, images(), recipe(epochs=9), options=PairOptions(judge=worse))
    with pytest.raises(CandidateError, match="diverged: scores"):
        fit_pair(*pair(), LATENT, images(), recipe(saturation=1e-3))
    options = PairOptions(judge=lambda g, e: {"fd": float("inf")})
    with pytest.raises(CandidateError, match="fd is inf after epoch 1"):
        fit_pair(*pair(), LATENT, images(), recipe(), options=options)
    broken = pair()
    with torch.no_grad():
        broken[0].head.weight.fill_(float("nan"))
    with pytest.raises(CandidateError, match=r"diverged: .* in epoch 1"):
        fit_pair(*broken, LATENT, images(), recipe())
    assert drawn(broken[0].eval(), torch.zeros(2, LATENT), "cpu") is None


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown recipe setting 'gama'; did you mean gamma"):
        GanRecipe.from_settings({"gama": 1.0})
    with pytest.raises(ConfigError, match="unknown GAN loss 'hing'; did you mean hinge"):
        GanRecipe.from_settings({"loss": "hing"})
    with pytest.raises(UnsupportedError, match="sophia-g cannot train a GAN"):
        GanRecipe(optimizer="sophia-g")
    with pytest.raises(UnsupportedError, match="colour is for 3 channels, and images have 1"):
        GanRecipe(augment=("colour",)).check_images((1, 8, 8))
    with pytest.raises(ConfigError, match="augment"):
        GanRecipe.from_settings({"augment": ["color"]})


def test_gamma_goes_with_pixels_and_batch_where_the_loss_needs_it() -> None:
    assert GanRecipe(batch_size=32).gamma_for((1, 8, 8)) == 0.5
    assert GanRecipe(batch_size=64).gamma_for((3, 32, 32)) == pytest.approx(4.0)
    assert GanRecipe(gamma=0.1).gamma_for((3, 32, 32)) == 0.1
    assert GanRecipe(loss="hinge").gamma_for((3, 32, 32)) == 0
    assert GanRecipe(loss="hinge", gamma=0.1).gamma_for((3, 32, 32)) == 0.1


def test_pixels_are_rounded() -> None:
    grey = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_pixels(scaled(grey)), grey)
    assert as_pixels(torch.tensor([-3.0, 0.999, 3.0])).tolist() == [0, 255, 255]


def test_sheets_are_pictures_of_the_same_latent_vectors() -> None:
    import io

    import numpy as np
    from PIL import Image

    generator = pair()[0].eval()
    sheet = sample_sheet(generator, LATENT, "cpu")
    assert sheet == sample_sheet(generator, LATENT, "cpu")
    picture = np.asarray(Image.open(io.BytesIO(sheet)))
    factor = 512 // (8 * 5 + 1)
    assert picture.shape == (41 * factor, 41 * factor)
    tiles = picture[::factor, ::factor]
    assert (tiles[0] == 255).all()
    assert (tiles[5] == 255).all()
    ways = np.asarray(Image.open(io.BytesIO(interpolation_sheet(generator, LATENT, "cpu"))))
    assert ways.shape == picture.shape
    small = ways[::factor, ::factor].astype(float)
    rows = [small[1:5, 1 + 5 * i : 5 + 5 * i] for i in range(8)]
    steps = [np.abs(a - b).max() for a, b in pairwise(rows)]
    assert 0 < max(steps) < np.abs(rows[0] - rows[-1]).max() + 1e-9
