"""The hot path of GAN training: steps of a discriminator and a generator, and their whole state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError
from nas.optimizers import build
from nas.training.averaging import Average
from nas.training.gan.augment import View, draw_view
from nas.training.gan.images import latents, scaled
from nas.training.gan.objective import Objective
from nas.training.gan.recipe import GanRecipe
from nas.training.gradients import Backward, Minimised, recordable, worth
from nas.training.graphs import Pool, Recorded
from nas.training.randomness import derive, global_state, set_global_state
from nas.training.schedules import rate
from nas.training.stream import Placed, Stream

__all__ = ["PairLearner"]

FORWARD: Final = 1 / 3
"""Cost of a forward pass, in gradients of a batch."""
TWICE: Final = 2.0
"""Cost of a gradient that is differentiated again."""
SUMS: Final = ("discriminator_loss", "generator_loss", "score")
SIDES: Final = ("discriminator", "generator")


class _Batch:
    """The closure of an optimizer's step; asked again it leaves running statistics alone.

    Args:
        learner: Whose step it is.
        side: Which of its networks moves.
        kind: What all its steps have in common that do the same.
        minimised: Gives what that one minimises, and what is to be noted; of whether running
            statistics count the batch.
        inputs: Of that.
        passes: Gradients of an image that a call takes in each network.
    """

    def __init__(
        self,
        learner: PairLearner,
        side: str,
        kind: Hashable,
        minimised: Callable[[bool], Minimised],
        inputs: Sequence[Tensor],
        passes: Mapping[str, float],
    ) -> None:
        self.examples = len(inputs[0])
        self._learner, self._side, self._kind = learner, side, kind
        self._minimised, self._inputs, self._passes = minimised, inputs, passes
        self._asked = False

    def __call__(self, *, backward: bool = True) -> Tensor:
        """The loss, and gradients if they are wanted."""
        learner, side, first = self._learner, self._side, not self._asked
        learner.optimizers[side].zero_grad(set_to_none=True)
        self._asked = True
        minimised = self._minimised(first)
        if backward:
            loss, *rest = learner.backward[side]((self._kind, first), minimised, *self._inputs)
            clip = learner.recipe.clip_norm
            if clip is not None:
                nn.utils.clip_grad_norm_(learner.parameters[side], clip)
        else:
            loss, *rest = minimised(*self._inputs)
        learner.note(side, loss, *rest)
        share = 1.0 if backward else FORWARD
        learner.count({s: share * n for s, n in self._passes.items()}, self.examples)
        learner.asked[side] += share
        return loss


class PairLearner:
    """Trains one pair; `state` and `load_state` are exact at every step.

    A step is one of the discriminator, and every `n_critic`-th is followed by one of the generator.

    Args:
        generator: Maps latent vectors (n, latent) to images in [-1, 1]; in its place.
        discriminator: Maps images to scores (n,) or (n, 1); in its place. Real and generated images
            are scored in one batch if its attribute `scores_apart` is True, for the score of an
            image does not depend on the others then, and no layer counts statistics.
        latent: Length of a latent vector.
        placed: Training images.
        recipe: How to train.
        horizon: Epochs that the schedule is laid out for.
        seed: Of all chance.

    Attributes:
        steps: Of an epoch.
        step: The next one, counted from the beginning of the training.
        gradient_evaluations: Forward and backward passes of a batch through one network; a forward
            pass alone is a third, a gradient that is differentiated again two.
        passes: The same of single images, by network.
        asked: Gradients that the optimizer of each network asked for.
        average: The average of the generator's weights and buffers, if there is one.
        generator, discriminator, recipe, optimizers, parameters, backward: For this package.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: int,
        placed: Placed,
        recipe: GanRecipe,
        horizon: int,
        seed: int,
    ) -> None:
        self.generator, self.discriminator, self.recipe = generator, discriminator, recipe
        self._latent, self._device, self._seed = latent, placed.device, seed
        networks = {"discriminator": discriminator, "generator": generator}
        if recipe.channels_last:
            # Before there are optimizers, whose moments are to lie in memory as the weights do.
            for network in networks.values():
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = {
            side: [p for p in network.parameters() if p.requires_grad]
            for side, network in networks.items()
        }
        self.optimizers = {
            side: build(
                recipe.optimizer,
                parameters,
                **recipe.all_optimizer_settings(discriminator=side == "discriminator"),
            )
            for side, parameters in self.parameters.items()
        }
        self._base = {
            side: [group["lr"] for group in optimizer.param_groups]
            for side, optimizer in self.optimizers.items()
        }
        self._real = Stream(placed, recipe.batch_size, seed, "discriminator", fixed=True)
        # No more generated images than there are real ones to pair them with.
        self._drawn = min(recipe.generator_batch or recipe.batch_size, len(placed))
        self._shown = Stream(placed, self._drawn, seed, "generator", fixed=True)
        self.steps = self._real.steps
        self._rate = rate(
            recipe.schedule,
            recipe.schedule_settings,
            horizon * self.steps,
            round(recipe.warmup_epochs * self.steps),
        )
        self._shape = cast("tuple[int, int, int]", placed.shape)
        self._gamma = recipe.gamma_for(self._shape)
        self._objective = Objective.of(generator, discriminator, recipe, self._gamma)
        self._record(horizon * self.steps)
        decay = recipe.ema_decay
        self.average = None if decay is None else Average(generator, decay)
        self._chance = torch.Generator(placed.device)
        self._sums = torch.zeros(len(SUMS), device=placed.device)
        self._counts = [0, 0]  # losses of the two networks that the sums are of
        self.step = 0
        self.gradient_evaluations = 0.0
        self.passes = dict.fromkeys(networks, 0.0)
        self.asked = dict.fromkeys(networks, 0.0)

    def _record(self, steps: int) -> None:
        """On a GPU let what is the same in all steps be recorded, if that is sound and worth it."""
        self._ahead = steps
        sound = {side: recordable(getattr(self, side)) for side in SIDES}
        pool = Pool()
        self.backward = {
            "discriminator": Backward(
                self.parameters["discriminator"], sound=sound["discriminator"], pool=pool
            ),
            "generator": Backward(
                self.parameters["generator"], sound=all(sound.values()), pool=pool
            ),
        }
        for backward in self.backward.values():
            backward.forget(steps)
        # Each in memory of its own: what they give is read while the others run.
        draws, judges = (sound[side] and worth(steps) for side in ("generator", "discriminator"))
        self._draw = Recorded(self._objective.drawing(), record=draws)
        self._judge = Recorded(self._objective.judging(), record=judges)

    def release(self) -> None:
        """Give back what recordings hold; they are made anew if steps are taken again."""
        for backward in self.backward.values():
            backward.forget(self._ahead)
        self._draw.forget()
        self._judge.forget()

    def begin_epoch(self) -> None:
        """Make ready for the (remaining) steps of an epoch."""
        epoch, step = divmod(self.step, self.steps)
        if step == 0:
            torch.manual_seed(derive(self._seed, "pair", epoch))
            self._chance.manual_seed(derive(self._seed, "latents", epoch))
        self.generator.train()
        self.discriminator.train()

    def take_step(self, turn: Callable[[], None] | None = None) -> None:
        """One step of the discriminator, and if it is due one of the generator; no host sync.

        Args:
            turn: Called between the two.
        """
        factor = self._rate(self.step)
        for side, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self._base[side], strict=True):
                group["lr"] = base * factor
        self._teach_discriminator()
        self.step += 1
        if self.step % self.recipe.n_critic == 0:
            if turn is not None:
                turn()
            self._teach_generator(self.step // self.recipe.n_critic - 1)

    def _teach_discriminator(self) -> None:
        images, _ = self._real.batch(self.step)
        real, view = scaled(images), self._view(len(images))
        fake = self._draw(latents(len(real), self._latent, self._chance))
        due = self._gamma > 0 and self.step % self.recipe.penalty_every == 0
        self.count({"generator": FORWARD}, len(real))
        closure = _Batch(
            self,
            "discriminator",
            due,
            partial(self._objective.of_discriminator, due),
            [real, fake, *view.drawn],
            {"discriminator": 2 * (TWICE if due else 1.0)},
        )
        self.optimizers["discriminator"].step(closure)  # type: ignore[arg-type]

    def _teach_generator(self, number: int) -> None:
        count, view = self._drawn, self._view(self._drawn)
        inputs = [latents(count, self._latent, self._chance)]
        with _held(self.discriminator):
            if self._objective.pairs:
                images = scaled(self._shown.batch(number)[0])
                inputs.append(self._judge(images, *view.drawn))
                self.count({"discriminator": FORWARD}, count)
            closure = _Batch(
                self,
                "generator",
                None,
                self._objective.of_generator,
                [*inputs, *view.drawn],
                {"generator": 1.0, "discriminator": 1.0},
            )
            self.optimizers["generator"].step(closure)  # type: ignore[arg-type]
        if self.average is not None:
            self.average.update(number)

    def count(self, passes: Mapping[str, float], images: int) -> None:
        """Take down what a batch cost in each network, in gradients."""
        for side, number in passes.items():
            self.gradient_evaluations += number
            self.passes[side] += number * images

    def _view(self, count: int) -> View:
        return draw_view(self.recipe.augment, (count, *self._shape), self._chance)

    @torch.no_grad()
    def note(
        self,
        side: str,
        minimised: Tensor,
        loss: Tensor | None = None,
        scores: Tensor | None = None,
    ) -> None:
        """Take down a loss (without penalty, if it has one) and the size of scores."""
        place = SIDES.index(side)
        self._counts[place] += 1
        self._sums[place] += (minimised if loss is None else loss).detach()
        if scores is not None:
            self._sums[2] += scores.detach().abs().mean()

    @property
    def finite(self) -> bool:
        """Whether all losses of the epoch so far are; a host sync."""
        return bool(torch.isfinite(self._sums).all())

    def means(self) -> dict[str, float]:
        """Losses and the size of scores, in the mean over the epoch so far; a host sync.

        Raises:
            CandidateError: One is not finite, or scores are larger than the recipe allows.
        """
        counts = [max(1, self._counts[i]) for i in (0, 1, 0)]
        values = (s / n for s, n in zip(self._sums.tolist(), counts, strict=True))
        found = dict(zip(SUMS, values, strict=True))
        epoch = (self.step - 1) // self.steps + 1
        if not self.finite:
            raise CandidateError(
                f"diverged: a loss is not finite in epoch {epoch}", "lower the learning rates"
            )
        if found["score"] > self.recipe.saturation:
            raise CandidateError(
                f"diverged: scores are {found['score']:.3g} in epoch {epoch}",
                "lower discriminator_rate or raise gamma",
            )
        return found

    def end_epoch(self) -> None:
        """Be at the start of the next epoch."""
        self._sums.zero_()
        self._counts = [0, 0]

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain data."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizers": {side: o.state_dict() for side, o in self.optimizers.items()},
            "average": None if self.average is None else self.average.state(),
            "chance": self._chance.get_state(),
            "global_chance": global_state(self._device),
            "sums": self._sums,
            "counts": list(self._counts),
            "step": self.step,
            "gradient_evaluations": self.gradient_evaluations,
            "passes": dict(self.passes),
            "asked": dict(self.asked),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Become what gave `state`, of which nothing is kept; it may lie on any device."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        for side, optimizer in self.optimizers.items():
            # torch's optimizers go on writing to the very tensors that they are given.
            optimizer.load_state_dict(copy.deepcopy(state["optimizers"][side]))
        if self.average is not None:
            self.average.load_state(state["average"])
        self._chance.set_state(state["chance"].cpu())
        set_global_state([chance.cpu() for chance in state["global_chance"]], self._device)
        self._sums.copy_(state["sums"])
        self._counts, self.step = list(state["counts"]), state["step"]
        self.gradient_evaluations = state["gradient_evaluations"]
        self.passes, self.asked = dict(state["passes"]), dict(state["asked"])


@contextmanager
def _held(network: nn.Module) -> Iterator[None]:
    """No gradients for its weights for a while."""
    moved = [p for p in network.parameters() if p.requires_grad]
    for parameter in moved:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moved:
            parameter.requires_grad_(True)
