"""Settings of our own optimizers; torch-free."""

from __future__ import annotations

from pydantic import Field

from nas.optimizers.member import OptimizerSettings
from nas.optimizers.standard import AdamwSettings, SgdSettings


class LionSettings(OptimizerSettings):
    """Lion.

    Attributes:
        beta1: How much of the momentum is in the direction.
        beta2: How much of the momentum is kept.
    """

    learning_rate: float = Field(default=1e-4, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.99, ge=0, lt=1)


class AdampSettings(AdamwSettings):
    """AdamP; its epsilon is added to lengths, too.

    Attributes:
        delta: How orthogonal weight and gradient must be for the weight to count as
            scale-invariant.
        decay_ratio: Factor of the decay of those that do.
    """

    delta: float = Field(default=0.1, ge=0)
    decay_ratio: float = Field(default=0.1, ge=0, le=1)


class SgdpSettings(SgdSettings):
    """SGDP; its decay is decoupled.

    Attributes:
        epsilon: Added to lengths.
        delta: As of AdamP.
        decay_ratio: As of AdamP.
    """

    epsilon: float = Field(default=1e-8, gt=0)
    delta: float = Field(default=0.1, ge=0)
    decay_ratio: float = Field(default=0.1, ge=0, le=1)


class Sm3Settings(OptimizerSettings):
    """SM3; its decay is decoupled.

    Attributes:
        momentum: Of the mean of updates; above 0 it costs a copy.
        epsilon: Least root of an accumulator.
    """

    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    epsilon: float = Field(default=1e-30, gt=0)


class MfacSettings(OptimizerSettings):
    """M-FAC.

    Attributes:
        window: Gradients that the Fisher matrix is estimated from; each is a copy of the weights.
        damping: Added to its diagonal; tuned together with the rate.
        momentum: Share of the last update that is kept.
    """

    learning_rate: float = Field(default=0.01, gt=0)
    window: int = Field(default=64, ge=1, le=4096)
    damping: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)


class SophiaSettings(OptimizerSettings):
    """What both forms of Sophia have; their decay is decoupled.

    Attributes:
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of curvatures.
        k: Steps between two looks at the curvature, the first step included.
    """

    beta1: float = Field(default=0.965, ge=0, lt=1)
    beta2: float = Field(default=0.99, ge=0, lt=1)
    k: int = Field(default=10, ge=1)


class SophiaGSettings(SophiaSettings):
    """Sophia-G.

    Attributes:
        rho: What curvatures are multiplied by: the larger, the fewer weights move by the full rate.
    """

    learning_rate: float = Field(default=1e-3, gt=0)
    rho: float = Field(default=0.04, gt=0)


class SophiaHSettings(SophiaSettings):
    """Sophia-H.

    Attributes:
        clip: Largest step of a weight, in units of the rate.
        epsilon: Least curvature.
    """

    learning_rate: float = Field(default=0.06, gt=0)
    beta1: float = Field(default=0.96, ge=0, lt=1)
    clip: float = Field(default=0.01, gt=0)
    epsilon: float = Field(default=1e-12, gt=0)


class MezoSettings(OptimizerSettings):
    """MeZO.

    Attributes:
        epsilon: Length of the way to either side, in units of the directions drawn.
        seed: Of the directions.
    """

    learning_rate: float = Field(default=1e-3, gt=0)
    epsilon: float = Field(default=1e-3, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**62)


class MuonSettings(OptimizerSettings):
    """Muon, and the AdamW of what is no hidden weight; decay is decoupled.

    Attributes:
        momentum: Share of the mean of gradients that is kept.
        nesterov: Look ahead along the momentum.
        iterations: Of Newton and Schulz.
        adam_rate: AdamW's rate over `learning_rate`.
        beta1: AdamW's decay of the mean of gradients.
        beta2: AdamW's decay of the mean of squared gradients.
        epsilon: Added to the root in AdamW's denominator.
    """

    learning_rate: float = Field(default=0.02, gt=0)
    momentum: float = Field(default=0.95, ge=0, lt=1)
    nesterov: bool = True
    iterations: int = Field(default=5, ge=1, le=20)
    adam_rate: float = Field(default=0.15, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
