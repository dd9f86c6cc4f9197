"""What an example of a batch counts, by its loss; torch-free.

Losses are spread over [-1, 1], h = (2 l - max - min) / (max - min) of the batch, a form f(h) is
chosen, and weights are softmax(f(h) / temperature) (Sow et al., "Dynamic Loss-Based Sample
Reweighting", ICLR 2025). They are constants to the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field

from nas.core.config import Settings
from nas.core.registry import Registry

__all__ = ["REWEIGHTINGS", "Reweighting"]


class UniformSettings(Settings):
    """Settings of no weighing: none."""


class WeighingSettings(Settings):
    """Settings of weighing by losses.

    Attributes:
        temperature: Of the softmax; large ones weigh all alike.
        burn_in: Epochs at the beginning in which all count alike; fractions count. The paper has
            1,000 steps of a long training.
    """

    temperature: float = Field(default=1.0, gt=0)
    burn_in: float = Field(default=1.0, ge=0)


@dataclass(frozen=True)
class Reweighting:
    """A row of the table.

    Attributes:
        settings: The frozen model of its settings.
        score: f, from h in [-1, 1], a tensor (batch,); None for no weighing.
        source: Where it was published.
    """

    settings: type[Settings]
    score: Callable[[Any], Any] | None
    source: str = "Sow et al., ICLR 2025"


def linear_upper(h: Any) -> Any:
    """Below the middle less, above it alike: what is learnt already counts less."""
    return (h + 1).clamp_max(1)


def quadratic(h: Any) -> Any:
    """The middle most."""
    return 1 - h * h


def extremes(h: Any) -> Any:
    """Both ends most."""
    return h.abs()


REWEIGHTINGS: Final[Registry[Reweighting]] = Registry("reweighting", "nas.reweightings")
REWEIGHTINGS.add("uniform", Reweighting(UniformSettings, None, ""), "every example alike")
REWEIGHTINGS.add(
    "linear-upper",
    Reweighting(WeighingSettings, linear_upper),
    "what is learnt already counts less, the rest alike",
)
REWEIGHTINGS.add(
    "quadratic", Reweighting(WeighingSettings, quadratic), "losses in the middle count most"
)
REWEIGHTINGS.add(
    "extremes", Reweighting(WeighingSettings, extremes), "small and large losses count most"
)
