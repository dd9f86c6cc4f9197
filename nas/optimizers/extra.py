"""Optimizers of other packages, an extra of this one, as rows of the table; torch-free."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from nas.optimizers.member import Member, OptimizerSettings, Traits
from nas.optimizers.own import WRAPPERS
from nas.optimizers.standard import AdamwSettings

LIBRARY: Final = "pytorch_optimizer"
SCHEDULE_FREE: Final = "schedulefree"
PAPER: Final = "Defazio et al., NeurIPS 2024"


class ScheduleFreeAdamwSettings(OptimizerSettings):
    """Schedule-Free AdamW; its decay acts at the weights where gradients are taken.

    Attributes:
        beta1: How near the average those weights are: 0.9, or up to 0.98 for long trainings.
        beta2: Decay of the mean of squared gradients.
        epsilon: Added to the root in the denominator.
    """

    learning_rate: float = Field(default=2.5e-3, gt=0)
    beta1: float = Field(default=0.9, gt=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)


class ScheduleFreeSgdSettings(OptimizerSettings):
    """Schedule-Free SGD; weight decay is added to the gradient.

    Attributes:
        momentum: How near the average the weights are where gradients are taken.
    """

    learning_rate: float = Field(default=1.0, gt=0)
    momentum: float = Field(default=0.9, gt=0, lt=1)


class ProdigySettings(OptimizerSettings):
    """Prodigy; its decay is decoupled.

    Attributes:
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        epsilon: Added to the root in the denominator.
        start: First estimate of the distance to the solution.
        growth: Largest factor by which that estimate grows in a step, above 1; None for any.
        factor: Of the estimate.
        safeguard: Leave the rate out of the estimate's denominator; for use with warm-up.
    """

    learning_rate: float = Field(default=1.0, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    start: float = Field(default=1e-6, gt=0)
    growth: float | None = Field(default=None, gt=1)
    factor: float = Field(default=1.0, gt=0)
    safeguard: bool = False


class SoapSettings(OptimizerSettings):
    """SOAP; its decay is decoupled. Its first step only looks at the gradient.

    Attributes:
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients, and of the preconditioners.
        epsilon: Added to the root in the denominator.
        every: Steps between two changes of basis.
        largest: Sides longer than this keep their own basis.
    """

    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    beta1: float = Field(default=0.95, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    every: int = Field(default=10, ge=1)
    largest: int = Field(default=10_000, ge=1)


class AdemamixSettings(AdamwSettings):
    """AdEMAMix; its decay is decoupled.

    Attributes:
        beta1: Decay of the fast mean, above 0.
        beta3: Decay of the slow mean of gradients.
        alpha: How much of the slow mean there is beside the fast one.
        warmup: Steps in which `alpha` and `beta3` rise to what they are; 0 for none.
    """

    beta1: float = Field(default=0.9, gt=0, lt=1)
    beta3: float = Field(default=0.9999, gt=0, lt=1)
    alpha: float = Field(default=5.0, ge=0)
    warmup: int = Field(default=0, ge=0)


_CONSTANT: Final = frozenset({"constant"})

SCHEDULE_FREE_ADAMW = Member(
    ScheduleFreeAdamwSettings,
    "nas.optimizers.extra_members:schedule_free_adamw",
    Traits(
        PAPER,
        "adamw",
        1.0,
        (1e-3, 0.05),
        copies=2,
        excludes=WRAPPERS,
        schedules=_CONSTANT,
        averages=True,
    ),
    SCHEDULE_FREE,
)
SCHEDULE_FREE_SGD = Member(
    ScheduleFreeSgdSettings,
    "nas.optimizers.extra_members:schedule_free_sgd",
    Traits(
        PAPER,
        "sgd",
        10.0,
        (0.1, 10.0),
        copies=1,
        excludes=WRAPPERS,
        schedules=_CONSTANT,
        averages=True,
    ),
    SCHEDULE_FREE,
)
PRODIGY = Member(
    ProdigySettings,
    "nas.optimizers.extra_members:prodigy",
    Traits("Mishchenko & Defazio, ICML 2024", "free", 1.0, (0.3, 3.0), copies=4, excludes=WRAPPERS),
    LIBRARY,
)
SOAP = Member(
    SoapSettings,
    "nas.optimizers.extra_members:soap",
    Traits("Vyas et al., ICLR 2025", "adamw", 1.0, (3e-4, 2e-2), copies=6),
    LIBRARY,
)
ADEMAMIX = Member(
    AdemamixSettings,
    "nas.optimizers.extra_members:ademamix",
    Traits("Pagliardini et al., ICLR 2025", "adamw", 1.0, (3e-4, 2e-2), copies=3),
    LIBRARY,
)
