"""One trainer for every candidate.

Randomness is derived from (seed, epoch), so training that was stopped anywhere and resumed is
bit-identical to training that was not. What draws from torch's global generators (dropout,
drop-path) finds them seeded; they are given back as they were.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from nas.core.canonical import content_id
from nas.core.errors import CandidateError, ConfigError, DivergenceError, Interrupted
from nas.core.protocols import Context
from nas.core.work import Spent
from nas.layers import exchange, settle
from nas.layers.dropout import dropped_inputs
from nas.training.autolrs import searching
from nas.training.checkpoint import Checkpoints
from nas.training.data.dataset import DataSet
from nas.training.device import deterministic, out_of_memory, resolve
from nas.training.evaluation import measure, pipeline_of, place
from nas.training.hesso import Hesso
from nas.training.losses import loss_of
from nas.training.randomness import derive, seeded
from nas.training.recipe import TrainingRecipe
from nas.training.stepper import Stepper
from nas.training.stream import Placed

CHECK_EVERY = 100
"""Steps between looks at the loss: each is a host sync on an accelerator."""
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""What a function's text has that differs between processes."""
FORWARDS_PER_STEP = 3
"""A backward pass counts as two forward passes (`Spent.macs`)."""


@dataclass(frozen=True)
class FitOptions:
    """What a training may be told beside its recipe.

    Attributes:
        identity: Names what is trained, e.g. the candidate's id: a checkpoint of something else
            is then never taken up, not even one of an equal shape.
        horizon: Epochs that schedule and drop-path are laid out for; by default those trained.
            Trainings of one horizon are prefixes of each other (see `keep_state`).
        keep_state: File to leave the final state in; a training of the same horizon and more
            epochs goes on from there (`resume_from`).
        timeout_s: Seconds after which the candidate has failed, or None.
        checkpoint_seconds: Least time between mid-training checkpoints.
        macs: Multiply-accumulates of a forward pass of one image, for `Spent.macs`.
        labels: Added to progress events, e.g. the candidate's id, budget, seed and split.
    """

    identity: str = ""
    horizon: int | None = None
    keep_state: Path | None = None
    timeout_s: float | None = None
    checkpoint_seconds: float = 30.0
    macs: float = 0.0
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave.

    Attributes:
        figures: `error` and `loss` on the validation split (where there is one), `test_error`
            if asked for, `pruned`, the share of groups of channels that was removed, if any is
            wanted, `epochs`, and `gradient_evaluations`, the forward and backward passes of a
            batch: as many as the optimizer takes steps, or more if it asks for several a step.
        curve: `train_loss`, and `error` of the validation split, after each epoch.
        spent: What this training cost; epochs that `resume_from` had paid for are not in it.
    """

    figures: Mapping[str, float]
    curve: Mapping[str, list[float]]
    spent: Spent


def fit(
    network: nn.Module,
    data: DataSet,
    recipe: TrainingRecipe,
    *,
    context: Context | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    split: Literal["validation", "test"] = "validation",
    resume_from: Path | None = None,
    options: FitOptions | None = None,
) -> TrainingResult:
    """Train `network` in place and measure it.

    Figures are of the last epoch, never of the best one. With `split="test"` the test images
    are measured once, at the end. The network is left with the weights that were measured, with
    the layers that the recipe asks for, and without the channels that it wants removed. A training
    that ends before its horizon has removed what was zero by then.

    Args:
        network: Gives (batch, classes) logits, or (logits, auxiliary logits) in training mode;
            `set_drop_path(p)` is called before every epoch if it has it.
        data: The images.
        recipe: How.
        context: Device, scratch folder for checkpoints, wish to stop, listener to progress.
        epochs: Instead of the recipe's.
        seed: Of all chance; by default the context's.
        split: What to report on beside validation.
        resume_from: State of a shorter training of the same (see `FitOptions`).
        options: The rest.

    Raises:
        CandidateError: The loss is not finite, memory ran out, or time did.
        ConfigError: There are no validation images to report on, or no epoch to train.
        Interrupted: The context asked to stop; a checkpoint is in its scratch folder.
    """
    context = context or Context()
    options = options or FitOptions()
    epochs = recipe.epochs if epochs is None else epochs
    seed = context.seed if seed is None else seed
    if epochs < 1:
        raise ConfigError(f"epochs = {epochs} is not allowed", "train for 1 or more")
    if split == "validation" and not len(data.validation):
        raise ConfigError(f"{data.name} has no validation images left", "report on the test split")
    device = resolve(context.device)
    try:
        with deterministic(), seeded(seed, "fit", device=device):
            run = _Run(network, data, recipe, context, options, epochs, seed, device)
            with dropped_inputs(network, recipe.dropout):
                return run.go(split, resume_from)
    except (RuntimeError, MemoryError) as error:
        raise out_of_memory(error, device, recipe.batch_size) from error


class _Run:
    """One call of `fit`."""

    def __init__(
        self,
        network: nn.Module,
        data: DataSet,
        recipe: TrainingRecipe,
        context: Context,
        options: FitOptions,
        epochs: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._network, self._data, self._recipe = network, data, recipe
        self._context, self._options = context, options
        self._epochs, self._seed, self._device = epochs, seed, device
        self._began = time.monotonic()
        self._pipeline = pipeline_of(data, recipe, device)
        loss = loss_of(recipe, self._pipeline)
        loss.initialize(network, data.input_shape, seed)
        exchange(
            network,
            (recipe.normalization, recipe.normalization_settings),
            (recipe.weights, recipe.weights_settings),
        )
        place(network, device, recipe)
        loss.check(network, data.input_shape)
        train = Placed(data.train, device)
        horizon = max(epochs, options.horizon or epochs)
        self._stepper = Stepper(network, train, self._pipeline, recipe, horizon, seed, loss)
        self._validation = Placed(data.validation, device)
        validate = self._validation_loss if len(self._validation) else None
        self._search = searching(recipe, self._stepper, horizon, self._look_up, validate)
        self._curve: dict[str, list[float]] = {"train_loss": []}
        self._last: dict[str, float] = {}
        self._epoch = 0
        # Epochs, gradient evaluations and images looked at beside them that an earlier, shorter
        # training has accounted for.
        self._paid = [0, 0, 0]
        self._seconds = 0.0  # of this training before it was interrupted
        self._checkpoints = Checkpoints(
            context.scratch,
            self._identity(horizon),
            options.checkpoint_seconds,
            lambda text: context.emit("notice", {"message": text}),
        )

    def go(self, split: str, resume_from: Path | None) -> TrainingResult:
        self._resume(resume_from)
        try:
            while self._epoch < self._epochs:
                self._train_epoch()
        finally:
            self._stepper.release()  # not when the garbage is collected
        if self._options.keep_state is not None:
            self._checkpoints.keep(self._options.keep_state, self._state())
        average = self._stepper.average
        if average is not None:
            average.apply()
        settle(self._network)
        pruned = {} if self._stepper.hesso is None else self._cut(self._stepper.hesso)
        figures = {**self._last, **pruned}
        figures["epochs"] = float(self._epochs)
        figures["gradient_evaluations"] = float(self._stepper.gradient_evaluations)
        if split == "test":
            self._reseed("test")
            placed = Placed(self._data.test_split(), self._device)
            found = measure(self._network, placed, self._pipeline, self._recipe.precision)
            self._check_finite(found["loss"])
            figures["test_error"] = found["error"]
        self._checkpoints.remove()
        return TrainingResult(figures, self._curve, self._spent())

    def _cut(self, hesso: Hesso) -> dict[str, float]:
        """Remove the channels that are zero, and measure what is left."""
        share = hesso.cut(self._network)
        place(self._network, self._device, self._recipe)
        if len(self._validation):
            self._reseed("validation")
            self._last = self._measured()
            self._curve["error"][-1] = self._last["error"]
        return {"pruned": share}

    def _train_epoch(self) -> None:
        stepper, steps = self._stepper, self._stepper.steps
        stepper.begin_epoch(self._epoch)
        while stepper.step < steps:
            self._look_up()
            try:
                if self._search is not None:
                    self._search.before_step(self._epoch)
                stepper.take_step()
            except DivergenceError as error:
                epoch = self._epoch + 1
                raise CandidateError(f"{error.message} in epoch {epoch}", error.hint) from None
            if stepper.step % CHECK_EVERY == 0:
                self._check_finite(stepper.loss())
        train_loss = stepper.loss()
        self._check_finite(train_loss)
        self._curve["train_loss"].append(train_loss)
        if len(self._validation):
            self._measure_validation()
            self._curve.setdefault("error", []).append(self._last["error"])
        self._epoch += 1
        stepper.end_epoch()
        self._tell(
            {"train_loss": train_loss, "learning_rate": stepper.learning_rate(), **self._last}
        )

    def _tell(self, scalars: Mapping[str, float]) -> None:
        """A progress event, in the shape that monitors take."""
        where = {"phase": "train", "step": self._epoch, "steps": self._epochs}
        self._context.emit("progress", {**where, "scalars": scalars, **self._options.labels})

    def _measure_validation(self) -> None:
        self._last = self._validated()
        self._check_finite(self._last["loss"])

    def _validated(self) -> dict[str, float]:
        self._reseed("validation")
        average = self._stepper.average
        with nullcontext() if average is None else average.applied():
            return self._measured()

    def _validation_loss(self) -> float:
        """In the middle of training."""
        loss = self._validated()["loss"]
        self._stepper.looked_at += len(self._validation)
        self._network.train()
        return loss

    def _measured(self) -> dict[str, float]:
        return measure(self._network, self._validation, self._pipeline, self._recipe.precision)

    def _reseed(self, purpose: str) -> None:
        torch.manual_seed(derive(self._seed, purpose, self._epoch))

    def _look_up(self) -> None:
        """Between two batches: is it time to stop, to give up, to write a checkpoint?"""
        if self._context.should_stop():
            self._checkpoints.write(self._state())
            raise Interrupted
        limit = self._options.timeout_s
        if limit is not None and self._elapsed() > limit:
            raise CandidateError(
                f"took longer than {limit:g} s (in epoch {self._epoch + 1} of {self._epochs})",
                "raise timeout_s or lower the budget",
            )
        if self._checkpoints.due():
            self._checkpoints.write(self._state())

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise CandidateError(
                f"diverged: the loss is {loss} in epoch {min(self._epoch + 1, self._epochs)}",
                "lower learning_rate or clip_norm",
            )

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._began

    def _spent(self) -> Spent:
        """What was paid: two gradients a step make an epoch cost two."""
        stepper = self._stepper
        epochs, gradients, looked_at = self._paid
        passes = (stepper.gradient_evaluations - gradients) / stepper.steps
        measured = len(self._data.validation) * (self._epochs - epochs)
        measured += stepper.looked_at - looked_at
        seen = len(self._data.train) * FORWARDS_PER_STEP * passes + measured
        return Spent(
            epochs=passes,
            evaluations=1,
            seconds=self._elapsed(),
            macs=self._options.macs * seen,
        )

    def _identity(self, horizon: int) -> str:
        shapes = [[name, list(t.shape)] for name, t in self._network.state_dict().items()]
        structure = ADDRESS.sub("", repr(self._network))
        parts = [self._options.identity, structure, shapes, horizon, self._seed]
        recipe = self._recipe.model_dump(exclude={"epochs"})
        return content_id([*parts, recipe, self._data.fingerprint, self._device.type])

    def _state(self) -> dict[str, Any]:
        search = self._search
        return {
            "epoch": self._epoch,
            "paid": self._paid,
            "seconds": self._elapsed(),
            "curve": self._curve,
            "last": self._last,
            "search": search and search.state(),
            "stepper": self._stepper.state() if search is None else search.stepper_state(),
        }

    def _resume(self, resume_from: Path | None) -> None:
        """Take up the interrupted training, else the shorter one, else start anew."""
        state = self._checkpoints.read(self._epochs)
        if state is None and resume_from is not None:
            state = self._checkpoints.read(self._epochs, resume_from)
            if state is not None:
                stepper = state["stepper"]
                paid = [state["epoch"], stepper["gradient_evaluations"], stepper["looked_at"]]
                state |= {"paid": paid, "seconds": 0.0}
        if state is None:
            return
        self._epoch, self._seconds = state["epoch"], state["seconds"]
        self._paid, self._curve, self._last = state["paid"], state["curve"], state["last"]
        self._stepper.load_state(state["stepper"])
        if self._search is not None:
            self._search.load_state(state["search"])
