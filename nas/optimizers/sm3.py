"""SM3: AdaGrad whose accumulators are one number per row, column and so on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas.optimizers.rule import Rule, listed
from nas.optimizers.settings import Sm3Settings


class SM3(Rule):
    """SM3-II (Anil, Gupta, Koren & Singer, "Memory-Efficient Adaptive Optimization", NeurIPS 2019).

    A weight's accumulator is the least of those of its slices, plus its squared gradient; a slice
    keeps the largest of its weights'. A tensor of one or no dimension is AdaGrad. Without momentum
    the memory is the sum of the sides.
    """

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        momentum = group["momentum"]
        for w, g in zip(weights, gradients, strict=True):
            slices = self._slices(w)
            total = slices[0]
            for other in slices[1:]:
                total = torch.minimum(total, other)
            total = total + g * g
            for axis, kept in enumerate(slices):
                others = [a for a in range(g.dim()) if a != axis]
                kept.copy_(total.amax(dim=others, keepdim=True) if others else total)
            update = g / total.sqrt().clamp_min(group["eps"])
            if momentum:
                (buffer,) = self._kept([w], "momentum")
                update = buffer.mul_(momentum).add_(update, alpha=1 - momentum)
            w.mul_(1 - group["lr"] * group["weight_decay"])
            w.add_(update, alpha=-group["lr"])

    def _slices(self, weight: Tensor) -> list[Tensor]:
        """An accumulator per axis, of that axis' length and broadcastable to the weight."""
        state = self.state[weight]
        axes = range(max(1, weight.dim()))
        for axis in axes:
            if f"axis{axis}" not in state:
                shape = [n if a == axis else 1 for a, n in enumerate(weight.shape)]
                state[f"axis{axis}"] = weight.new_zeros(shape)
        return [state[f"axis{axis}"] for axis in axes]


def sm3(params: Any, settings: Sm3Settings) -> torch.optim.Optimizer:
    """The factory."""
    defaults = {
        "lr": settings.learning_rate,
        "momentum": settings.momentum,
        "eps": settings.epsilon,
        "weight_decay": settings.weight_decay,
    }
    return SM3(listed(params), defaults)
