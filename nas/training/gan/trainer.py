"""Training of one pair from its weights as they are, resumable to the bit."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from nas.core.canonical import content_id
from nas.core.errors import CandidateError, ConfigError, DivergenceError, Interrupted
from nas.core.protocols import Context
from nas.core.work import Spent
from nas.training.checkpoint import Checkpoints
from nas.training.data.dataset import Split
from nas.training.device import deterministic, out_of_memory, resolve
from nas.training.gan.guard import Guard
from nas.training.gan.learner import PairLearner
from nas.training.gan.recipe import GanRecipe
from nas.training.randomness import seeded
from nas.training.stream import Placed
from nas.training.trainer import TrainingResult

__all__ = ["Judge", "PairOptions", "fit_pair"]

CHECK_EVERY: Final = 50
FORWARDS: Final = 3
"""Cost of a gradient in forward passes."""
ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")

Judge = Callable[[nn.Module, int], Mapping[str, float]]
"""Of the generator in evaluation mode, after so many epochs: figures for the curve, of which the
first, less being better, is what the guard against collapse looks at."""


@dataclass(frozen=True)
class PairOptions:
    """What a training may be told beside its recipe.

    Attributes:
        identity: Of what is trained, so that a checkpoint of another one is passed over.
        fingerprint: Of the data.
        horizon: Epochs that the schedule is laid out for, at least those trained; None for these.
        keep_state: File to leave the final state in, for a longer training.
        checkpoint_seconds: Least time between two checkpoints.
        macs: Multiply-accumulates of a forward pass of one image, by network.
        labels: Keys that progress events carry.
        judge: Asked after every epoch.
    """

    identity: str = ""
    fingerprint: str = ""
    horizon: int | None = None
    keep_state: Path | None = None
    checkpoint_seconds: float = 60.0
    macs: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    judge: Judge | None = None


def fit_pair(
    generator: nn.Module,
    discriminator: nn.Module,
    latent: int,
    images: Split,
    recipe: GanRecipe,
    *,
    context: Context | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    resume_from: Path | None = None,
    options: PairOptions | None = None,
) -> TrainingResult:
    """Train a pair in place; the generator is left with its averaged weights and buffers.

    Args:
        generator: Maps latent vectors (n, latent) to images in [-1, 1].
        discriminator: Maps images to scores (n,) or (n, 1).
        latent: Length of a latent vector.
        images: What is to be generated.
        recipe: How.
        context: Device, scratch folder for checkpoints, wish to stop, listener to progress.
        epochs: Instead of the recipe's.
        seed: Of all chance; by default the context's.
        resume_from: State of a shorter training of the same (see `PairOptions`).
        options: The rest.

    Returns:
        `figures` has `epochs` and `gradient_evaluations`; `curve` the losses, the mean size of
        scores and what the judge says, after each epoch; `spent` counts steps of the
        discriminator as epochs.

    Raises:
        CandidateError: A loss is not finite, scores grow out of bounds, the generator collapsed, or
            memory ran out.
        ConfigError: There is no epoch to train, or no step in one.
        Interrupted: The context asked to stop; a checkpoint is in its scratch folder.
    """
    context, options = context or Context(), options or PairOptions()
    epochs = recipe.epochs if epochs is None else epochs
    seed = context.seed if seed is None else seed
    if epochs < 1:
        raise ConfigError(f"epochs = {epochs} is not allowed", "train for 1 or more")
    if len(images) < 2:
        raise ConfigError(f"{len(images)} images are too few to train a GAN on", "give 2 or more")
    device = resolve(context.device)
    try:
        with deterministic(), seeded(seed, "fit", device=device):
            generator.to(device)
            discriminator.to(device)
            placed = Placed(images, device)
            horizon = max(epochs, options.horizon or epochs)
            learner = PairLearner(generator, discriminator, latent, placed, recipe, horizon, seed)
            run = _Run(
                learner, context, options, epochs, _identity(learner, options, horizon, seed)
            )
            return run.go(resume_from)
    except (RuntimeError, MemoryError) as error:
        raise out_of_memory(error, device, recipe.batch_size) from error


def _identity(learner: PairLearner, options: PairOptions, horizon: int, seed: int) -> str:
    networks = (learner.generator, learner.discriminator)
    shapes = [[k, list(t.shape)] for n in networks for k, t in n.state_dict().items()]
    structure = ADDRESS.sub("", "\n".join(map(repr, networks)))
    recipe = learner.recipe.model_dump(mode="json", exclude={"epochs"})
    parts = [options.identity, structure, shapes, horizon, seed, recipe, options.fingerprint]
    return content_id([*parts, str(next(learner.generator.parameters()).device.type)])


class _Run:
    """One call of `fit_pair`."""

    def __init__(
        self,
        learner: PairLearner,
        context: Context,
        options: PairOptions,
        epochs: int,
        identity: str,
    ) -> None:
        self._learner, self._context, self._options = learner, context, options
        self._epochs = epochs
        recipe = learner.recipe
        self._guard = Guard(recipe.collapse_factor, recipe.collapse_checks)
        self._began = time.monotonic()
        self._seconds = 0.0  # of this training before it was interrupted
        self._epoch = 0
        self._curve: dict[str, list[float]] = {}
        self._paid = self._cost()
        self._checkpoints = Checkpoints(
            context.scratch,
            identity,
            options.checkpoint_seconds,
            lambda text: context.emit("notice", {"message": text}),
        )

    def go(self, resume_from: Path | None) -> TrainingResult:
        self._resume(resume_from)
        learner = self._learner
        try:
            while self._epoch < self._epochs:
                self._train_epoch()
        finally:
            learner.release()
        if self._options.keep_state is not None:
            self._checkpoints.keep(self._options.keep_state, self._state())
        if learner.average is not None:
            learner.average.apply()
        learner.generator.eval()
        learner.discriminator.eval()
        self._checkpoints.remove()
        figures = {
            "epochs": float(self._epochs),
            "gradient_evaluations": learner.gradient_evaluations,
        }
        epochs, macs = (now - paid for now, paid in zip(self._cost(), self._paid, strict=True))
        spent = Spent(epochs=epochs, evaluations=1, seconds=self._elapsed(), macs=macs)
        return TrainingResult(figures, self._curve, spent)

    def _train_epoch(self) -> None:
        learner = self._learner
        end = (self._epoch + 1) * learner.steps
        learner.begin_epoch()
        while learner.step < end:
            self._look_up()
            try:
                learner.take_step()
            except DivergenceError as error:
                epoch = self._epoch + 1
                raise CandidateError(f"{error.message} in epoch {epoch}", error.hint) from None
            if learner.step % CHECK_EVERY == 0:
                learner.means()
        scalars = learner.means()
        self._epoch += 1
        learner.end_epoch()
        scalars |= self._judged()
        for name, value in scalars.items():
            self._curve.setdefault(name, []).append(value)
        where = {"phase": "train", "step": self._epoch, "steps": self._epochs}
        self._context.emit("progress", {**where, "scalars": scalars, **self._options.labels})

    def _judged(self) -> dict[str, float]:
        """What the judge says of the averaged generator.

        Raises:
            CandidateError: It has collapsed.
        """
        judge, learner = self._options.judge, self._learner
        if judge is None:
            return {}
        with nullcontext() if learner.average is None else learner.average.applied():
            learner.generator.eval()
            with torch.no_grad():
                found = dict(judge(learner.generator, self._epoch))
        for name, value in found.items():
            if not math.isfinite(value):
                raise CandidateError(
                    f"{name} is {value} after epoch {self._epoch}", "lower the learning rates"
                )
        if found:
            self._guard.look(next(iter(found.values())), self._epoch)
        return found

    def _look_up(self) -> None:
        """Between two steps: is it time to stop, or to write a checkpoint?"""
        if self._context.should_stop():
            self._checkpoints.write(self._state())
            raise Interrupted
        if self._checkpoints.due():
            self._checkpoints.write(self._state())

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._began

    def _cost(self) -> tuple[float, float]:
        """Epochs and multiply-accumulates so far."""
        learner, macs = self._learner, self._options.macs
        passed = sum(macs.get(side, 0.0) * number for side, number in learner.passes.items())
        return learner.asked["discriminator"] / learner.steps, FORWARDS * passed

    def _state(self) -> dict[str, Any]:
        return {
            "epoch": self._epoch,
            "paid": list(self._paid),
            "seconds": self._elapsed(),
            "curve": self._curve,
            "guard": self._guard.state(),
            "learner": self._learner.state(),
        }

    def _resume(self, resume_from: Path | None) -> None:
        """Take up the interrupted training, else the shorter one, else start anew."""
        state = self._checkpoints.read(self._epochs)
        shorter = state is None and resume_from is not None
        if shorter:
            state = self._checkpoints.read(self._epochs, resume_from)
        if state is None:
            return
        self._epoch, self._curve = state["epoch"], state["curve"]
        self._guard.load_state(state["guard"])
        self._learner.load_state(state["learner"])
        if shorter:
            self._paid = self._cost()
        else:
            self._seconds = state["seconds"]
            self._paid = (state["paid"][0], state["paid"][1])
