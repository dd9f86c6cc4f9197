"""Settings of the optimizers that torch itself provides; torch-free."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from nas.optimizers.member import Member, OptimizerSettings, Traits


class SgdSettings(OptimizerSettings):
    """Stochastic gradient descent; weight decay is added to the gradient.

    Attributes:
        momentum: Share of the last update that is kept, 0 up to 1.
        nesterov: Look ahead along the momentum.
    """

    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False

    @field_validator("nesterov")
    @classmethod
    def _nesterov_needs_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("a momentum above 0 with it")
        return nesterov


class AdamSettings(OptimizerSettings):
    """Adam (Kingma and Ba, 2015); weight decay is added to the gradient.

    Attributes:
        beta1: Decay of the mean of gradients, 0 up to 1.
        beta2: Decay of the mean of squared gradients, 0 up to 1.
        epsilon: Added to the root in the denominator.
    """

    learning_rate: float = Field(default=1e-3, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)


class AdamwSettings(AdamSettings):
    """AdamW (Loshchilov and Hutter, 2019): the decay acts on the weights, not the gradient."""

    weight_decay: float = Field(default=0.01, ge=0)


class NadamwSettings(AdamwSettings):
    """NAdam (Dozat, 2016) with decoupled weight decay.

    Attributes:
        momentum_decay: How fast the momentum schedule of the paper rises to `beta1`.
    """

    momentum_decay: float = Field(default=4e-3, ge=0)


class RmspropSettings(OptimizerSettings):
    """RMSProp with momentum; weight decay is added to the gradient.

    Attributes:
        momentum: Share of the last update that is kept, 0 up to 1.
        alpha: Decay of the mean of squared gradients, 0 up to 1.
        epsilon: Added to the root in the denominator; mobile networks are trained with a large one.
    """

    learning_rate: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    alpha: float = Field(default=0.9, ge=0, lt=1)
    epsilon: float = Field(default=1e-3, gt=0)


class AdafactorSettings(OptimizerSettings):
    """Adafactor (Shazeer and Stern, 2018); decay is decoupled.

    Attributes:
        beta2_decay: Exponent by which the decay of the mean of squares nears 1; below 0.
        clip: Largest root mean square of an update, in units of the rate.
    """

    learning_rate: float = Field(default=0.01, gt=0)
    beta2_decay: float = Field(default=-0.8, lt=0, ge=-1)
    clip: float = Field(default=1.0, gt=0)


SGD = Member(
    SgdSettings,
    "nas.optimizers.torch_members:sgd",
    Traits(
        "Robbins & Monro, 1951; Polyak, 1964",
        "sgd",
        1.0,
        (0.01, 0.3),
        decays=(1e-5, 1e-2),
        copies=1,
    ),
)
ADAM = Member(
    AdamSettings,
    "nas.optimizers.torch_members:adam",
    Traits("Kingma & Ba, ICLR 2015", "adamw", 1.0, (3e-4, 2e-2), decays=(1e-6, 1e-3), copies=2),
)
ADAMW = Member(
    AdamwSettings,
    "nas.optimizers.torch_members:adamw",
    Traits(
        "Loshchilov & Hutter, ICLR 2019", "adamw", 1.0, (3e-4, 2e-2), decays=(1e-3, 0.5), copies=2
    ),
)
NADAMW = Member(
    NadamwSettings,
    "nas.optimizers.torch_members:nadamw",
    Traits(
        "Dozat, 2016; Loshchilov & Hutter, ICLR 2019",
        "adamw",
        1.0,
        (3e-4, 2e-2),
        decays=(1e-3, 0.5),
        copies=2,
    ),
)
RMSPROP = Member(
    RmspropSettings,
    "nas.optimizers.torch_members:rmsprop",
    Traits("Tieleman & Hinton, 2012", "adamw", 0.3, (1e-4, 1e-2), decays=(1e-6, 1e-3), copies=2),
)
ADAFACTOR = Member(
    AdafactorSettings,
    "nas.optimizers.torch_members:adafactor",
    Traits("Shazeer & Stern, ICML 2018", "adamw", 3.0, (0.01, 0.3), decays=(1e-4, 0.1), copies=0.4),
)
