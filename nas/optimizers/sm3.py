"""SM3: AdaGrad whose accumulators are one number per row, column and so on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas.optimizers.rule import Rule, listed, synchronous
from nas.optimizers.settings import Sm3Settings
from nas.optimizers.stacks import alike, parts, stacked


class SM3(Rule):
    """SM3-II (Anil, Gupta, Koren & Singer, "Memory-Efficient Adaptive Optimization", NeurIPS 2019).

    A weight's accumulator is the least of those of its slices, plus its squared gradient; a slice
    keeps the largest of its weights'. A tensor of one or no dimension is AdaGrad. Without momentum
    the memory is the sum of the sides.
    """

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        if not synchronous(weights[0]):
            for ws, gs in alike(weights, gradients):
                self._move_alike(group, ws, gs)
            return
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

    def _move_alike(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> None:
        """As above, of weights that can be stacked."""
        momentum, like = group["momentum"], weights[0]
        axes = [list(axis) for axis in zip(*map(self._slices, weights), strict=True)]
        g = stacked(gradients, like)
        total = stacked(axes[0], axes[0][0])
        for other in axes[1:]:
            total = torch.minimum(total, stacked(other, other[0]))
        total = total + g * g
        for axis, kept in enumerate(axes, start=1):
            others = [a for a in range(1, g.dim()) if a != axis]
            largest = total.amax(dim=others, keepdim=True) if others else total
            torch._foreach_copy_(kept, parts(largest, kept[0]))
        updates = parts(g / total.sqrt().clamp_min(group["eps"]), like)
        if momentum:
            buffers = self._kept(weights, "momentum")
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, updates, alpha=1 - momentum)
            updates = buffers
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, updates, alpha=-group["lr"])

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
