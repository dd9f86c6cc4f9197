"""What a training step minimises, by name; torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field

from nas.core.config import Settings
from nas.core.registry import Registry

__all__ = ["LOSSES", "CertifiedSettings", "Criterion"]


class CertifiedSettings(Settings):
    """Settings of certified training (Shi et al., NeurIPS 2021).

    Attributes:
        epsilon: Radius around an image, in the largest change of a pixel (l-infinity), in units of
            images from 0 to 1. 0.03 is about 8/255.
        ramp: Share of the steps, from the first one on, in which the radius rises to that.
        power: Of the rise, 1 for a line. Bounds of a deep network are at first so loose that it
            learns nothing unless the radius begins as next to none.
        regularization: Weight of the two regularisers at the first step; it falls to 0 as the
            radius rises.
        tolerance: How small a ratio (of widths, of active to inactive units) is left alone.
        initialize: Draw the weights of all layers but the last anew, so that widths keep their
            size from layer to layer; false for a network that was trained before.
    """

    epsilon: float = Field(default=0.03, gt=0, le=1)
    ramp: float = Field(default=0.5, ge=0, le=1)
    power: float = Field(default=4.0, gt=0)
    regularization: float = Field(default=0.5, ge=0)
    tolerance: float = Field(default=0.5, gt=0, le=1)
    initialize: bool = True


@dataclass(frozen=True)
class Criterion:
    """A row of the table.

    Attributes:
        settings: The frozen model of its settings.
        create: "module:function" of `(recipe, settings, pipeline)` that gives a
            `nas.training.losses.Loss`, or the function itself.
        blends: Whether an example may have two labels, as after mixup.
        excludes: Names of optimizers that it cannot be combined with.
        source: Where it was published.
    """

    settings: type[Settings]
    create: Callable[..., Any] | str
    blends: bool = True
    excludes: frozenset[str] = frozenset()
    source: str = ""


LOSSES: Final[Registry[Criterion]] = Registry("loss", "nas.losses")
LOSSES.add(
    "cross-entropy",
    Criterion(Settings, "nas.training.losses:cross_entropy"),
    "of what the network says of the images",
)
LOSSES.add(
    "certified",
    Criterion(
        CertifiedSettings,
        "nas.training.certified:certified",
        blends=False,
        excludes=frozenset({"sophia-g"}),
        source="Shi et al., NeurIPS 2021; Gowal et al., ICCV 2019",
    ),
    "of the worst that images within a radius can give; a step counts as 2 or 3",
)
