"""What the two networks of a GAN minimise, by name; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nas.core.registry import Registry

__all__ = ["GAN_LOSSES", "GanLoss"]


@dataclass(frozen=True)
class GanLoss:
    """A row of the table.

    Attributes:
        discriminator: "module:function" of `(real, fake)`, both scores (n,), that gives what the
            discriminator minimises, a scalar.
        generator: "module:function" of the same, for the generator; `real` is None if not `pairs`.
        pairs: Whether the generator's loss looks at real images, too.
        penalised: Whether it needs gradient penalties, which then have a weight by default.
        spectral: Whether it needs a discriminator with spectral normalisation.
        source: Where it was published.
    """

    discriminator: str
    generator: str
    pairs: bool = False
    penalised: bool = False
    spectral: bool = False
    source: str = ""


GAN_LOSSES: Final[Registry[GanLoss]] = Registry("GAN loss", "nas.gan_losses")
GAN_LOSSES.add(
    "rpgan",
    GanLoss(
        "nas.training.gan.losses:relativistic_discriminator",
        "nas.training.gan.losses:relativistic_generator",
        pairs=True,
        penalised=True,
        source="Huang et al., NeurIPS 2024 (R3GAN)",
    ),
    "relativistic pairs; with penalties of the gradient at real and generated images",
)
GAN_LOSSES.add(
    "hinge",
    GanLoss(
        "nas.training.gan.losses:hinge_discriminator",
        "nas.training.gan.losses:hinge_generator",
        spectral=True,
        source="Miyato et al., ICLR 2018",
    ),
    "margins of 1; with spectral normalisation in the discriminator",
)
