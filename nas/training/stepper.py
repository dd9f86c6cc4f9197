"""The hot path of training: one optimizer step, and all that it changes."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.optimizers import build
from nas.optimizers.rule import TwoFaced
from nas.training.augment import Pipeline, mixup
from nas.training.averaging import Average, OptimizersAverage
from nas.training.device import autocast
from nas.training.gradients import Backward, Minimised, recordable
from nas.training.hesso import removing
from nas.training.losses import Loss, Moment, Targets, loss_of
from nas.training.pruning import parts, rate_of_parts
from nas.training.randomness import (
    derive,
    drawn_labels,
    generator,
    global_state,
    set_global_state,
)
from nas.training.recipe import TrainingRecipe
from nas.training.statistics import count_anew, counted, counting, unmoved_statistics
from nas.training.stream import Placed, Stream


class Batch:
    """The closure of a step, see `nas.optimizers.rule.Closure`.

    Args:
        stepper: Does the work.
        inputs: Of the network.
        targets: Labels with weights.
        examples: How many there are.
    """

    def __init__(self, stepper: Stepper, inputs: Tensor, targets: Targets, examples: int) -> None:
        self.examples = examples
        self._stepper, self._inputs, self._targets = stepper, inputs, targets
        self._counted = False

    def __call__(
        self,
        *,
        backward: bool = True,
        drawn: bool = False,
        inputs: bool = False,
        moved: Tensor | None = None,
    ) -> Tensor:
        """Loss and gradients; running statistics count the batch once, and as it is."""
        if inputs:
            return self._stepper.direction(self._inputs, self._targets)
        where = self._inputs if moved is None else self._stepper.moved(self._inputs, moved)
        first = moved is None and not self._counted
        self._counted |= first
        return self._stepper.gradients(
            where, self._targets, first=first, backward=backward, drawn=drawn
        )


def _cost(backward: bool) -> float:
    """Of a call, in gradients of a batch; a loss that is differentiated twice counts as two."""
    if backward:
        return 1.0
    return 2.0 if torch.is_grad_enabled() else 1 / 3


def _of_tensors(
    network: nn.Module, minimised: Loss, precision: str, at: Moment, first: bool, count: int
) -> Minimised:
    """The loss, of inputs, `count` tensors of labels and, of several, what each weighs."""

    def find(inputs: Tensor, *given: Tensor) -> tuple[Tensor]:
        shares: tuple[float | Tensor, ...] = given[count:] or (1.0,)
        targets: Targets = list(zip(given[:count], shares, strict=True))
        with autocast(inputs.device, precision), counting(network, first):
            return (minimised(network, inputs, targets, at),)

    return find


LOOKS: Final = 50
"""Batches, at most, that running statistics are counted anew on."""

TO_INPUTS: Final = 2 / 3
"""Cost of a gradient in the inputs alone: forward, and the half of backward that leads there."""


class Stepper:
    """Takes optimizer steps on a network; `state` and `load_state` are exact at every step.

    Args:
        network: In its place, with its memory layout.
        placed: Training images.
        pipeline: From images to inputs.
        recipe: How to train.
        horizon: Epochs that the schedule and drop-path are laid out for.
        seed: Of all chance.
        loss: What to minimise; by default the recipe's.

    Attributes:
        steps: Of an epoch.
        step: The next one, within the epoch.
        gradient_evaluations: Forward and backward passes so far; a forward pass alone is a third.
        looked_at: Images that went forward beside them, to count statistics anew.
        average: The average of the weights that is measured and kept, if there is one.
        hesso: What removes channels, if the recipe wants that.

    Raises:
        UnsupportedError: It is not known which channels of the network go together.
        CandidateError: Too many are to be removed.
    """

    def __init__(
        self,
        network: nn.Module,
        placed: Placed,
        pipeline: Pipeline,
        recipe: TrainingRecipe,
        horizon: int,
        seed: int,
        loss: Loss | None = None,
    ) -> None:
        self._network, self._pipeline, self._recipe = network, pipeline, recipe
        self._device, self._horizon, self._seed = placed.device, horizon, seed
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = build(
            recipe.optimizer,
            self._parameters,
            step=recipe.step,
            step_settings=recipe.step_settings,
            **recipe.all_optimizer_settings(),
        )
        self._stream = Stream(placed, recipe.batch_size, seed, "train")
        self.steps = self._stream.steps
        ends = [self.steps * end for end in parts(horizon, recipe.prune or (0,))]
        self._rate = rate_of_parts(
            recipe.schedule,
            recipe.schedule_settings,
            ends,
            round(recipe.warmup_epochs * self.steps),
        )
        self._held: float | None = None
        self._minimised = loss or loss_of(recipe, pipeline)
        self._backward = Backward(self._parameters, sound=recordable(network))
        self._dropped: float | None = None  # chance of a path
        self._base = [group["lr"] for group in self._optimizer.param_groups]
        self.average: Average | OptimizersAverage | None = None
        if isinstance(self._optimizer, TwoFaced):
            looks = Stream(placed, recipe.batch_size, seed, "statistics")
            self.average = OptimizersAverage(
                network, self._optimizer, lambda: self._count_anew(looks)
            )
        elif recipe.ema_decay is not None:
            self.average = Average(network, recipe.ema_decay)
        moving = self.average if isinstance(self.average, Average) else None
        self.hesso = removing(network, placed.shape, recipe, ends, moving)
        self._chance = torch.Generator(placed.device)
        self._shares: list[float] = []
        self._looked = False  # at what is to be removed, in the step at hand
        self._loss = torch.zeros((), device=placed.device)
        self._seen = 0
        self._epoch = 0
        self.step = 0
        self.gradient_evaluations = 0.0
        self.looked_at = 0

    def begin_epoch(self, epoch: int) -> None:
        """Make ready for the (remaining) steps of an epoch."""
        self._epoch = epoch
        if self.step == 0:
            torch.manual_seed(derive(self._seed, "train", epoch))
            self._chance.manual_seed(derive(self._seed, "augment", epoch))
        if self._recipe.mixup:
            shares = np.random.default_rng(derive(self._seed, "mixup", epoch))
            self._shares = shares.beta(self._recipe.mixup, self._recipe.mixup, self.steps).tolist()
        self._drop_paths(self._recipe.drop_path * epoch / self._horizon)
        self._network.train()

    def _drop_paths(self, chance: float) -> None:
        set_drop_path = getattr(self._network, "set_drop_path", None)
        if set_drop_path is not None:
            set_drop_path(chance)
        if chance != self._dropped:  # recordings have the one before
            rising = self._recipe.drop_path > 0
            self._backward.forget(self.steps * (1 if rising else self._horizon - self._epoch))
            self._dropped = chance

    def release(self) -> None:
        """Give back what recordings hold; none is made from then on."""
        self._backward.forget(0)

    def hold(self, factor: float) -> None:
        """Use this factor of the learning rate in place of the schedule's, from now on."""
        self._held = factor

    def take_step(self) -> Tensor:
        """Draw a batch and take one optimizer step; no host sync.

        Returns:
            The loss of the batch before it, a scalar on the device.
        """
        number = self._epoch * self.steps + self.step
        images, labels = self._stream.batch(number)
        inputs = self._pipeline.train(images, self._chance)
        targets: Targets = [(labels, 1.0)]
        if self._recipe.mixup:
            share = self._shares[self.step]
            inputs, others = mixup(inputs, labels, share, self._chance)
            targets = [(labels, share), (others, 1 - share)]
        factor = self._rate(number) if self._held is None else self._held
        for group, base in zip(self._optimizer.param_groups, self._base, strict=True):
            group["lr"] = base * factor
        batch = Batch(self, inputs, targets, len(labels))
        loss = cast("Tensor", self._optimizer.step(batch)).detach()  # type: ignore[arg-type]
        self._loss += loss * len(labels)
        self._seen += len(labels)
        if self.average is not None:
            self.average.update(number)
        if self.hesso is not None:
            self.hesso.shrink(number)
        self._looked = False
        self.step += 1
        return loss

    def gradients(
        self, inputs: Tensor, targets: Targets, *, first: bool, backward: bool, drawn: bool
    ) -> Tensor:
        """The loss of a batch, and where asked for the gradients, at the weights as they are.

        Args:
            inputs: Of the network.
            targets: Labels with weights.
            first: Whether running statistics count the batch.
            backward: Whether gradients are wanted.
            drawn: Whether labels are to be drawn from what the network says.
        """
        recipe = self._recipe
        self._optimizer.zero_grad(set_to_none=True)
        if backward and not drawn:
            loss = self._recorded_gradients(inputs, targets, first)
        else:
            with autocast(self._device, recipe.precision), counting(self._network, first):
                loss = self._loss_of_batch(inputs, targets, drawn)
            if backward:
                loss.backward()  # type: ignore[no-untyped-call]
        if backward:
            if self.hesso is not None:
                if not (drawn or self._looked):
                    self.hesso.look(self._moment().step)
                    self._looked = True
                self.hesso.hush()
            if recipe.clip_norm is not None and not drawn:
                nn.utils.clip_grad_norm_(self._parameters, recipe.clip_norm)
        self.gradient_evaluations += _cost(backward) * (1 if drawn else self._minimised.gradients)
        return loss

    def _recorded_gradients(self, inputs: Tensor, targets: Targets, first: bool) -> Tensor:
        at, count, labels = self._moment(), len(targets), [labels for labels, _ in targets]
        phase = self._minimised.phase(at)
        # Weights of labels are made on the device, so that nobody waits.
        shares = [inputs.new_full((), float(share)) for _, share in targets] if count > 1 else []
        function = _of_tensors(
            self._network, self._minimised, self._recipe.precision, at, first, count
        )
        kind = None if phase is None else (phase, first, count)
        return self._backward(kind, function, inputs, *labels, *shares)[0]

    def _loss_of_batch(self, inputs: Tensor, targets: Targets, drawn: bool) -> Tensor:
        if not drawn:
            return self._minimised(self._network, inputs, targets, self._moment())
        outputs = self._network(inputs)
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]
        # Bare: of smoothed labels or weighed examples it would be no estimate of curvature.
        return F.cross_entropy(logits, drawn_labels(logits, self._chance))

    def direction(self, inputs: Tensor, targets: Targets) -> Tensor:
        """The gradient of a batch's loss in its inputs, in pixels from 0 to 1."""
        inputs = inputs.detach().requires_grad_()
        with autocast(self._device, self._recipe.precision), unmoved_statistics(self._network):
            loss = self._minimised(self._network, inputs, targets, self._moment())
        (found,) = torch.autograd.grad(loss, [inputs])
        self.gradient_evaluations += TO_INPUTS * self._minimised.gradients
        return self._pipeline.in_pixels(found)

    def moved(self, inputs: Tensor, way: Tensor) -> Tensor:
        """Inputs moved by so many pixels from 0 to 1."""
        return self._pipeline.moved(inputs, way)

    def _moment(self) -> Moment:
        number = self._epoch * self.steps + self.step
        return Moment(number, self._horizon * self.steps, self.steps)

    def _count_anew(self, stream: Stream) -> None:
        """Make running statistics fit the weights; of the same images, seen alike, every time."""
        if not counted(self._network):
            return
        chance = generator(self._seed, "statistics", device=self._device)

        def look() -> None:
            for number in range(min(LOOKS, stream.steps)):
                images, _ = stream.batch(number)
                with autocast(self._device, self._recipe.precision):
                    self._network(self._pipeline.train(images, chance))
                self.looked_at += len(images)

        count_anew(self._network, look)

    def loss(self) -> float:
        """Mean training loss of the epoch so far; a host sync."""
        return float(self._loss) / max(1, self._seen)

    def learning_rate(self) -> float:
        """The rate of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def end_epoch(self) -> None:
        """Be at the start of the next epoch."""
        self.step = self._seen = 0
        self._loss.zero_()

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain data."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "hesso": None if self.hesso is None else self.hesso.state(),
            "chance": self._chance.get_state(),
            "global_chance": global_state(self._device),
            "loss": self._loss,
            "seen": self._seen,
            "step": self.step,
            "held": self._held,
            "gradient_evaluations": self.gradient_evaluations,
            "looked_at": self.looked_at,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Become what gave `state`."""
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state(state["average"])
        if self.hesso is not None:
            self.hesso.load_state(state["hesso"])
        self._chance.set_state(state["chance"])
        set_global_state(state["global_chance"], self._device)
        self._loss.copy_(state["loss"])
        self._seen, self.step, self._held = state["seen"], state["step"], state["held"]
        self.gradient_evaluations = state["gradient_evaluations"]
        self.looked_at = state["looked_at"]
