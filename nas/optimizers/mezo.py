"""MeZO: no gradients, two losses a step, no memory.

Malladi et al., "Fine-Tuning Language Models with Just Forward Passes", NeurIPS 2023, algorithm 1.
It fine-tunes; from scratch it does not learn (see its row of the table).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas.optimizers.rule import Closure, Counting, asked, chance, listed
from nas.optimizers.settings import MezoSettings


class MeZO(Counting):
    """A step along a random direction, by the difference of the losses on its two sides.

    Directions are drawn again from their seed wherever they are needed, so none is kept.
    """

    numbers = ("seed", "taken")

    def __init__(self, params: Any, defaults: dict[str, Any], seed: int) -> None:
        super().__init__(params, defaults)
        self.seed = seed

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Take a step; the mean of the losses on both sides.

        Raises:
            ConfigError: There is no closure, or it cannot give a loss alone. The weights are as
                they were then, as after whatever else the closure raises.
        """
        first = self.param_groups[0]
        epsilon = first["epsilon"]
        self._walk(epsilon)
        place = epsilon
        try:
            above = asked(closure, backward=False)
            self._walk(-2 * epsilon)
            place = -epsilon
            below = asked(closure, backward=False)
        except BaseException:
            self._walk(-place)
            raise
        self._walk(epsilon)
        slope = (above - below) / (2 * epsilon)
        for group, weight, direction in self._directions():
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.sub_(group["lr"] * slope * direction)
        self.taken += 1
        return (above + below) / 2

    def _walk(self, distance: float) -> None:
        for _, weight, direction in self._directions():
            weight.add_(direction, alpha=distance)

    def _directions(self) -> Any:
        """Every weight with its group and the direction of this step, drawn anew."""
        generator = chance(self.seed + self.taken)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.requires_grad:
                    yield group, weight, _normal(weight, generator(weight.device))


def _normal(like: Tensor, chance: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=chance, device=like.device, dtype=like.dtype)


def mezo(params: Any, settings: MezoSettings) -> torch.optim.Optimizer:
    """The factory."""
    defaults = {
        "lr": settings.learning_rate,
        "epsilon": settings.epsilon,
        "weight_decay": settings.weight_decay,
    }
    return MeZO(listed(params), defaults, settings.seed)
