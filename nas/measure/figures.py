"""Figures that are measured on a network that stands there, by name.

A member is a function of a `Subject`. Whoever evaluates networks measures those that a search's
objectives name: a new figure is one function and its registration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from nas.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from nas.training.data.dataset import DataSet

__all__ = ["MEASURES", "Measure", "Subject"]


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        network: On its device, with the weights that its other figures are of (the initial ones
            where nothing was trained). A measure leaves it as it was.
        data: Gives images and their shape; of its splits only training and validation are for use.
        device: A torch device string, where the network is.
        seed: Of whatever chance there is.
    """

    network: nn.Module
    data: DataSet
    device: str = "cpu"
    seed: int = 0


NAME: Final = r"[A-Za-z_]\w*"
"""What a figure can be called, so that an objective can name it."""

Measure: TypeAlias = Callable[[Subject], float]
"""Gives the figure; NaN or a `CandidateError` if the network has none."""

MEASURES: Registry[Measure] = Registry("measure", "nas.measures", NAME)
"""All figures; ``@MEASURES.register(name, summary)`` adds one. The name is the figure's."""

MEASURES.add("params", "nas.measure.counts:params", "trainable parameters")
MEASURES.add("macs", "nas.measure.counts:macs", "multiply-accumulates of one forward pass")
MEASURES.add(
    "sharpness", "nas.measure.trained:sharpness", "largest eigenvalue of the loss's Hessian"
)
MEASURES.add(
    "rankme", "nas.measure.trained:rankme", "effective rank of the features, label-free (max)"
)
