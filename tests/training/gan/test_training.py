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
from nas.training.randomness import derive
from nas.training.stream import Placed, Stream
from nas.training.trainer import TrainingResult
from tests.training.gan.pairs import LATENT, RECIPES, images, pair


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


def taught(which: dict[str, Any], apart: bool) -> tuple[Counted, PairLearner]:
    """After one step of the discriminator, whose gradients are still there."""
    generator, discriminator = pair()
    discriminator.scores_apart = apart
    passes = Counted(discriminator)
    learner = PairLearner(
        *(generator, discriminator, LATENT, Placed(images(), "cpu"), recipe(**which), 3, 0)
    )
    learner.begin_epoch()
    learner._teach_discriminator()
    return passes, learner


def gradients(learner: PairLearner) -> list[Tensor]:
    return [p.grad for p in learner.discriminator.parameters() if p.grad is not None]


@pytest.mark.parametrize("which", [w for w in RECIPES if w != "hinge"])
def test_images_scored_in_one_batch_teach_what_they_do_in_two(which: str) -> None:
    """A spectral norm, which goes on with each pass, has one instead of two."""
    settings = {**RECIPES[which], "clip_norm": None}
    (two, apart), (one, together) = (taught(settings, way) for way in (False, True))
    assert (two.sizes, one.sizes) == ([8, 8], [16])
    for learner in (apart, together):
        assert learner.passes["discriminator"] == 8 * (2 if which == "no average" else 4)
    assert len(gradients(apart)) == 6
    for first, second in zip(gradients(apart), gradients(together), strict=True):
        assert torch.allclose(first, second, rtol=1e-4, atol=1e-6)


def test_what_counts_statistics_of_a_batch_is_shown_one_kind_of_images_at_a_time() -> None:
    generator, discriminator = pair()
    discriminator = nn.Sequential(discriminator[0], nn.BatchNorm2d(8), *list(discriminator)[1:])
    discriminator.scores_apart = True  # it says so, and is wrong
    passes = Counted(discriminator)
    learner = PairLearner(
        *(generator, discriminator, LATENT, Placed(images(), "cpu"), recipe(), 3, 0)
    )
    learner.begin_epoch()
    learner._teach_discriminator()
    assert passes.sizes == [8, 8]


@pytest.mark.parametrize("apart", [False, True])
def test_penalties_weigh_half_of_gamma_each_and_more_where_they_are_rare(apart: bool) -> None:
    _, learner = taught({"gamma": 0.7, "penalty_every": 3}, apart)
    judge, twin = learner.discriminator, pair()[0]
    torch.manual_seed(derive(0, "pair", 0))
    chance = torch.Generator().manual_seed(derive(0, "latents", 0))
    real = scaled(Stream(Placed(images(), "cpu"), 8, 0, "discriminator", fixed=True).batch(0)[0])
    with torch.no_grad():
        fake = twin(latents(8, LATENT, chance))

    def penalty(shown: Tensor) -> Tensor:
        shown = shown.clone().requires_grad_()
        (slope,) = torch.autograd.grad(judge(shown).sum(), shown, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean()

    # The weights moved after their gradients were taken: put back where they were.
    with torch.no_grad():
        for weight, first in zip(judge.parameters(), pair()[1].parameters(), strict=True):
            weight.copy_(first)
    found = [g.clone() for g in gradients(learner)]
    loss = nn.functional.softplus((judge(fake) - judge(real)).flatten()).mean()
    loss = loss + 3 * 0.7 / 2 * (penalty(real) + penalty(fake))
    expected = torch.autograd.grad(loss, list(judge.parameters()), allow_unused=True)
    for mine, theirs in zip(found, [g for g in expected if g is not None], strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def order(tensor: Tensor) -> list[int]:
    """How it lies in memory; of a dimension of one no stride means anything."""
    return [step for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


@pytest.mark.parametrize("channels_last", [True, False])
def test_weights_gradients_and_moments_lie_in_memory_alike(channels_last: bool) -> None:
    """Fused optimizers take them to, and would be wrong without a word: whatever is loaded."""
    (_, learner), (_, other) = (
        taught({"channels_last": layout}, True) for layout in (channels_last, not channels_last)
    )
    start = copy.deepcopy(other.state())
    for state in (learner.state(), start):
        learner.load_state(state)
        learner.take_step()
        for side, optimizer in learner.optimizers.items():
            for weight, moments in optimizer.state.items():
                for tensor in (weight.grad, moments["exp_avg"], moments["exp_avg_sq"]):
                    assert order(tensor) == order(weight), side
    kernel: Any = learner.discriminator[2].weight
    assert kernel.is_contiguous(memory_format=torch.channels_last) == channels_last
    first = [t.detach().clone() for t in learner.discriminator.parameters()]
    other.load_state(start)
    other.take_step()
    for mine, theirs in zip(first, other.discriminator.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5)


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
