"""What a training step minimises: cross-entropy of blended labels, and how examples are weighed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.core.config import build_settings
from nas.core.registry import imported
from nas.training.criteria import LOSSES
from nas.training.reweighting import REWEIGHTINGS

if TYPE_CHECKING:
    from nas.training.augment import Pipeline
    from nas.training.recipe import TrainingRecipe

__all__ = ["Loss", "Moment", "Targets", "blended_loss", "cross_entropy", "loss_of"]

Targets: TypeAlias = list[tuple[Tensor, float | Tensor]]
"""Labels (batch,) with their weights, numbers or scalars on the device, which add up to 1."""

Weigh: TypeAlias = Callable[[Tensor], Tensor]
"""From the losses of examples (batch,) to what they count (batch,), adding up to 1."""


@dataclass(frozen=True)
class Moment:
    """When in a training a loss is asked for.

    Attributes:
        step: Steps taken before.
        steps: Of the whole training.
        epoch_steps: Of an epoch.
    """

    step: int
    steps: int
    epoch_steps: int


def blended_loss(
    outputs: Tensor | tuple[Tensor, Tensor | None],
    targets: Targets,
    label_smoothing: float = 0.0,
    auxiliary_weight: float = 0.0,
    weigh: Weigh | None = None,
) -> Tensor:
    """Cross-entropy of a training step.

    Args:
        outputs: Logits (batch, classes), or those and an auxiliary head's (or None).
        targets: Labels (batch,) with their weights, which add up to 1: two after `mixup`.
        label_smoothing: Share of the target spread evenly over all classes.
        auxiliary_weight: Weight of the auxiliary head's loss.
        weigh: What examples count by their losses; None for all alike.
    """

    def of(logits: Tensor) -> Tensor:
        reduction = "mean" if weigh is None else "none"
        losses = [
            F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction=reduction)
            for labels, _ in targets
        ]
        parts = [
            loss * weight if isinstance(weight, Tensor) or weight != 1 else loss
            for loss, (_, weight) in zip(losses, targets, strict=True)
        ]
        whole = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return whole if weigh is None else (weigh(whole.detach()) * whole).sum()

    if isinstance(outputs, Tensor):
        return of(outputs)
    logits, auxiliary = outputs
    if auxiliary is None or not auxiliary_weight:
        return of(logits)
    return of(logits) + auxiliary_weight * of(auxiliary)


class Loss:
    """The training loss of a recipe.

    Args:
        recipe: How to train.
    """

    def __init__(self, recipe: TrainingRecipe) -> None:
        self._recipe = recipe
        self._weighing = _weighing(recipe.reweighting, recipe.reweighting_settings)

    @property
    def gradients(self) -> float:
        """Forward and backward passes of a batch that a call counts as."""
        return 1.0

    def phase(self, at: Moment) -> Hashable | None:
        """What all moments have in common that have the same loss of the same batch.

        None where every moment has its own, and for losses of which that is not known: no step of
        theirs is recorded.
        """
        return None

    def initialize(self, network: nn.Module, input_shape: tuple[int, int, int], seed: int) -> None:
        """Before a training: give a network other initial weights, where the loss is for such.

        Args:
            network: As its space builds it, before layers are exchanged.
            input_shape: Channels, height, width.
            seed: Of the training.
        """

    def check(self, network: nn.Module, input_shape: tuple[int, int, int]) -> None:
        """Before a training: look at the network that will be trained.

        Raises:
            CandidateError: It has no such loss.
        """

    def __call__(self, network: nn.Module, inputs: Tensor, targets: Targets, at: Moment) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            network: In training mode.
            inputs: `(batch, *input_shape)`.
            targets: Labels with weights.
            at: When.
        """
        return self.of(network(inputs), targets, at)

    def of(
        self, outputs: Tensor | tuple[Tensor, Tensor | None], targets: Targets, at: Moment
    ) -> Tensor:
        """The same of what the network gave."""
        recipe = self._recipe
        return blended_loss(
            outputs, targets, recipe.label_smoothing, recipe.auxiliary_weight, self._weighing(at)
        )


class CrossEntropy(Loss):
    """What every step minimises alike, but for the moment from which examples are weighed."""

    def phase(self, at: Moment) -> bool:
        """Whether they are."""
        return self._weighing(at) is not None


def cross_entropy(recipe: TrainingRecipe, settings: Any, pipeline: Pipeline) -> Loss:
    """The loss of that name."""
    return CrossEntropy(recipe)


def loss_of(recipe: TrainingRecipe, pipeline: Pipeline) -> Loss:
    """The loss that a recipe names.

    Args:
        recipe: How to train.
        pipeline: What inputs come from.
    """
    row = LOSSES.get(recipe.loss)
    settings = build_settings(row.settings, recipe.loss_settings, f"{recipe.loss} setting")
    create = imported(row.create) if isinstance(row.create, str) else row.create
    made: Loss = create(recipe, settings, pipeline)
    return made


def _weighing(name: str, given: Mapping[str, Any]) -> Callable[[Moment], Weigh | None]:
    row = REWEIGHTINGS.get(name)
    settings: Any = build_settings(row.settings, given, f"{name} setting")
    score = row.score

    if score is None:
        return lambda at: None

    def weigh(losses: Tensor) -> Tensor:
        spread = losses.max() - losses.min()
        # All alike: nothing to choose between them.
        h = (2 * losses - losses.max() - losses.min()) / spread.clamp_min(TINY)
        return torch.softmax(score(h) / settings.temperature, dim=0)

    return lambda at: weigh if at.step >= settings.burn_in * at.epoch_steps else None


TINY: Final = 1e-12
"""Least difference between the largest and the smallest loss of a batch."""
