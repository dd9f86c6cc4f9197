"""Lion: steps of one size along the sign of a momentum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas.optimizers.rule import Rule, listed, synchronous
from nas.optimizers.settings import LionSettings


class Lion(Rule):
    """Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023, alg. 2).

    The direction mixes momentum and gradient by `beta1`, the momentum is kept by `beta2`; decay is
    decoupled. One copy of memory.
    """

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        rate, decay = group["lr"], 1 - group["lr"] * group["weight_decay"]
        momenta = self._kept(weights, "momentum")
        if synchronous(weights[0]):
            for w, g, m in zip(weights, gradients, momenta, strict=True):
                direction = torch.lerp(m, g, 1 - beta1).sign_()
                w.mul_(decay).add_(direction, alpha=-rate)
                m.lerp_(g, 1 - beta2)
            return
        directions = torch._foreach_lerp(momenta, gradients, 1 - beta1)
        torch._foreach_sign_(directions)
        torch._foreach_mul_(weights, decay)
        torch._foreach_add_(weights, directions, alpha=-rate)
        torch._foreach_lerp_(momenta, gradients, 1 - beta2)


def lion(params: Any, settings: LionSettings) -> torch.optim.Optimizer:
    """The factory."""
    defaults = {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "weight_decay": settings.weight_decay,
    }
    return Lion(listed(params), defaults)
