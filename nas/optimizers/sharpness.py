"""Steps around an optimizer that look at the loss nearby; torch-free table of them.

A step is chosen beside the optimizer:

    build("sgd", params, step="sam", step_settings={"rho": 0.1})
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from nas.core.config import Settings
from nas.core.registry import Registry, imported

if TYPE_CHECKING:
    import torch

__all__ = ["PLAIN", "STEPS", "SharpnessStep"]

PLAIN: Final = "plain"
"""The name of no such step."""

Wrap: TypeAlias = Callable[["torch.optim.Optimizer", Any], "torch.optim.Optimizer"]


class SamSettings(Settings):
    """Sharpness-aware minimisation.

    Attributes:
        rho: Length of the step uphill at whose end the gradient is taken, greater than 0.
        adaptive: Measure that length in units of each weight (ASAM); rho is some ten times larger.
        layerwise: Go as far in each tensor as it is long, for large batches (Look-LayerSAM).
    """

    rho: float = Field(default=0.05, gt=0)
    adaptive: bool = False
    layerwise: bool = False

    @field_validator("layerwise")
    @classmethod
    def _one_unit(cls, layerwise: bool, info: ValidationInfo) -> bool:
        if layerwise and info.data.get("adaptive"):
            raise ValueError("one of adaptive and layerwise")
        return layerwise


class EveryKSettings(SamSettings):
    """Sharpness-aware every k-th step only.

    Attributes:
        k: How often, at least 1.
    """

    k: int = Field(default=5, ge=1)


class LookSamSettings(EveryKSettings):
    """LookSAM.

    Attributes:
        alpha: How much of the direction found last is taken in between; 0 is SAM every k steps.
            The published 0.7 at k = 5 did worse than no SAM at all where we measured (digits).
    """

    alpha: float = Field(default=0.2, ge=0)


class ConAdvSettings(Settings):
    """Concurrent adversarial learning.

    Attributes:
        epsilon: How far each pixel moves, in units of pixels from 0 to 1.
        tau: How many steps old the weights are that say which way.
    """

    epsilon: float = Field(default=0.03, gt=0, le=1)
    tau: int = Field(default=1, ge=1, le=16)


@dataclass(frozen=True)
class SharpnessStep:
    """A row of the table of steps.

    Attributes:
        settings: The frozen model of its settings.
        wrap: "module:function" of `(optimizer, settings) -> torch.optim.Optimizer`, or the
            function itself.
        source: Where it was published.
        gradients: From settings to forward and backward passes a step, the optimizer's own
            included.
        copies: Memory beside the optimizer's, in copies of the weights, by the default settings.
    """

    settings: type[Settings]
    wrap: Wrap | str
    source: str
    gradients: Callable[[Any], float] = field(default=lambda settings: 2.0)
    copies: float = 1.0

    def around(self, optimizer: torch.optim.Optimizer, settings: Settings) -> torch.optim.Optimizer:
        """The step around an optimizer."""
        wrap = imported(self.wrap) if isinstance(self.wrap, str) else self.wrap
        made: torch.optim.Optimizer = wrap(optimizer, settings)
        return made


STEPS: Registry[SharpnessStep] = Registry("sharpness step", "nas.steps")
STEPS.add(
    "sam",
    SharpnessStep(
        SamSettings,
        "nas.optimizers.sam:sam",
        "Foret et al., ICLR 2021; adaptive: Kwon et al., ICML 2021",
    ),
    "the gradient a short way uphill; two gradients a step",
)
STEPS.add(
    "sam-k",
    SharpnessStep(
        EveryKSettings,
        "nas.optimizers.sam:sam_every",
        "Foret et al., ICLR 2021, every k steps",
        lambda settings: 1 + 1 / settings.k,
    ),
    "SAM every k-th step, plain ones between",
)
STEPS.add(
    "looksam",
    SharpnessStep(
        LookSamSettings,
        "nas.optimizers.sam:looksam",
        "Liu et al., CVPR 2022",
        lambda settings: 1 + 1 / settings.k,
        copies=2.0,
    ),
    "SAM every k-th step, what it turned by is used between",
)
STEPS.add(
    "conadv",
    SharpnessStep(
        ConAdvSettings,
        "nas.optimizers.conadv:conadv",
        "Liu et al., ICLR 2022",
        lambda settings: 2 + 2 / 3,
        copies=3.0,
    ),
    "images and, beside them, ones moved uphill; one set of batch normalisations for both",
)
