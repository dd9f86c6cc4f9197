"""Certified training: cross-entropy of the worst logits that images within a radius can give.

Bounds are intervals (Gowal et al., ICCV 2019); the rest is the short warm-up of Shi et al., NeurIPS
2021: initial weights that keep the width of intervals, batch normalisation by the statistics of the
clean images, a radius that rises, and while it does regularisers of width and of active units. No
clean loss is mixed in: at the beginning the radius is next to nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError, UnsupportedError
from nas.layers.intervals import Interval, bounds, margins
from nas.layers.order import weighted_layers
from nas.training.criteria import CertifiedSettings
from nas.training.losses import Loss, Moment, Targets
from nas.training.randomness import generator, seeded

if TYPE_CHECKING:
    from nas.training.augment import Pipeline
    from nas.training.recipe import TrainingRecipe

__all__ = ["CertifiedLoss", "certified", "initialize", "regularizers"]

TINY: Final = 1e-12
IMAGES: Final = 2
"""Of a trial: batch statistics of one image of a single pixel do not exist."""


class CertifiedLoss(Loss):
    """The loss of a recipe, of worst-case logits, and regularisers.

    Bounds are in single precision, whatever the recipe's. Label smoothing and reweighting apply to
    the worst-case logits.

    Args:
        recipe: How to train.
        settings: Of this loss.
        pipeline: What inputs came from: pixels stay in their range.
    """

    def __init__(
        self, recipe: TrainingRecipe, settings: CertifiedSettings, pipeline: Pipeline
    ) -> None:
        super().__init__(recipe)
        self._settings, self._pipeline = settings, pipeline
        self._statistics = True

    @property
    def gradients(self) -> float:
        """Middle and radius of the boxes and, for batch statistics, the clean images."""
        return 3.0 if self._statistics else 2.0

    def initialize(self, network: nn.Module, input_shape: tuple[int, int, int], seed: int) -> None:
        """See `initialize`, if the settings say so."""
        if self._settings.initialize:
            initialize(network, input_shape, generator(seed, "interval weights"))

    def check(self, network: nn.Module, input_shape: tuple[int, int, int]) -> None:
        """Send two black images through a copy.

        Raises:
            CandidateError: The network has an operation without interval bounds.
        """
        self._statistics = any(hasattr(m, "running_mean") for m in network.modules())
        trial = copy.deepcopy(network).train()
        images = _black(network, input_shape)
        with torch.no_grad(), seeded(0, "trial", device=images.device):
            try:
                bounds(trial, self._box(images, 0.0))
            except UnsupportedError as error:
                raise CandidateError(
                    f"certified training cannot have this network: {error.message}", error.hint
                ) from error

    def __call__(self, network: nn.Module, inputs: Tensor, targets: Targets, at: Moment) -> Tensor:
        """The loss of a batch, a scalar; targets are one label each."""
        settings, ((labels, _),) = self._settings, targets
        steps = settings.ramp * at.steps
        share = min(1.0, (at.step + 1) / steps) ** settings.power if steps else 1.0
        with torch.autocast(inputs.device.type, enabled=False):
            box = self._box(inputs, share * settings.epsilon)
            outputs = bounds(network, box)
            if isinstance(outputs, Interval):
                loss = super().of(-margins(outputs, labels), targets, at)
            else:
                main, auxiliary = outputs
                worst = None if auxiliary is None else -margins(auxiliary, labels)
                loss = super().of((-margins(main, labels), worst), targets, at)
            weight = settings.regularization * (1 - share)
            if weight and box.activations:
                loss = loss + weight * regularizers(box, box.activations, settings.tolerance)
        return loss

    def of(
        self, outputs: Tensor | tuple[Tensor, Tensor | None], targets: Targets, at: Moment
    ) -> Tensor:
        """Of outputs alone it is not known.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(
            "certified training has no loss of labels drawn from outputs", "use another optimizer"
        )

    def _box(self, inputs: Tensor, epsilon: float) -> Interval:
        lower, upper = self._pipeline.ball(inputs, epsilon)
        return Interval(lower, upper, inputs if self._statistics else None, [])


def certified(
    recipe: TrainingRecipe, settings: CertifiedSettings, pipeline: Pipeline
) -> CertifiedLoss:
    """The loss of that name."""
    return CertifiedLoss(recipe, settings, pipeline)


@torch.no_grad()
def initialize(
    network: nn.Module, input_shape: tuple[int, int, int], chance: torch.Generator
) -> None:
    """Draw weights anew from N(0, 2 pi / fan_in^2), in place; not those of the last layer.

    Where half of the units are active, intervals then neither grow nor shrink from layer to layer:
    absolute weights of an output add up to 2 on average. Weights that a sum of paths reads are not
    made smaller, as the paper does: in our spaces a normalisation stands between.

    Args:
        network: Of convolutions and linear layers, with plain weights.
        input_shape: Channels, height, width.
        chance: On the CPU.
    """
    names = list(weighted_layers(network, _black(network, input_shape)))
    for name in names[:-1]:
        weight: Any = network.get_submodule(name).weight
        drawn = torch.randn(weight.shape, generator=chance)
        weight.copy_(drawn * (math.sqrt(2 * math.pi) / weight[0].numel()))


def _black(network: nn.Module, input_shape: tuple[int, int, int]) -> Tensor:
    """A batch of nothing, where the network is."""
    like = next(network.parameters(), torch.zeros(()))
    return like.detach().new_zeros((IMAGES, *input_shape))


def regularizers(box: Interval, activations: Sequence[Interval], tolerance: float) -> Tensor:
    """How far widths grow, and how unequal active and inactive units are; means over the ReLUs.

    Of a ratio r they are (tolerance - r)+ / tolerance. One is the mean width of the inputs over
    that before a ReLU. The others are of sums over the units that are active in all of their box
    and those that are inactive, the smaller over the larger one: of the size of the box's middle,
    and of its squared distance from the mean of all. Where there are neither, no such term is.

    Args:
        box: The inputs.
        activations: What the ReLUs were given.
        tolerance: Ratios above it are left alone, more than 0.
    """
    first = box.radius.mean()
    total = first.new_zeros(())
    for at in activations:
        center, width = at.center, at.radius.mean()
        active, inactive = at.lower > 0, at.upper < 0
        spread = (center - center.mean()).square()
        total = total + _short(first, width, tolerance)
        for size in (center.abs(), spread):
            a, b = (size * active).sum(), (size * inactive).sum()
            total = total + _short(torch.minimum(a, b), torch.maximum(a, b), tolerance)
    return total / len(activations)


def _short(part: Tensor, whole: Tensor, tolerance: float) -> Tensor:
    """By how much a ratio falls short of the tolerance, of which it is a share; 0 of nothing."""
    ratio = part / torch.where(whole > TINY, whole, torch.ones_like(whole))
    short = torch.relu(tolerance - ratio) / tolerance
    return torch.where(whole > TINY, short, torch.zeros_like(short))
