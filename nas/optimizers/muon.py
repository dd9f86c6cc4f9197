"""Muon, for convolutions too: steps that turn every direction of a weight alike.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. The momentum of a
hidden weight, as a matrix of outputs by everything else, is brought near the closest orthogonal one
by five Newton-Schulz iterations. First and last matrix of the network, normalisations and biases
are left to AdamW, as published.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from nas.optimizers.rule import Rule, listed
from nas.optimizers.settings import MuonSettings

QUINTIC: Final = (3.4445, -4.7750, 2.0315)
"""Coefficients of an iteration: they bring singular values near 1 fast, and keep them there."""


def orthogonal(matrix: Tensor, iterations: int) -> Tensor:
    """Near the closest matrix with orthonormal rows (or columns, if there are fewer).

    Args:
        matrix: ``(rows, columns)``.
        iterations: Of Newton and Schulz; after five, singular values lie between about 0.7 and 1.2.
    """
    a, b, c = QUINTIC
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.size(0) > x.size(1)
    if tall:
        x = x.T
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.T if tall else x
    return result


class Muon(Rule):
    """Muon with AdamW for the rest; one copy for hidden weights, two for the others."""

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        every = [p for group in self.param_groups for p in group["params"]]
        matrices = [p for p in every if p.dim() >= 2]
        hidden = matrices[1:-1] if len(matrices) > 2 else []
        self._hidden = {id(p) for p in hidden}

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        for w, g in zip(weights, gradients, strict=True):
            if id(w) in self._hidden:
                self._turn(group, w, g)
            else:
                rate = group["lr"] * group["adam_rate"]
                w.mul_(1 - rate * group["weight_decay"])
                w.add_(self._adam(w, g, group["betas"], group["eps"]), alpha=-rate)

    def _turn(self, group: dict[str, Any], w: Tensor, g: Tensor) -> None:
        (momentum,) = self._kept([w], "momentum")
        momentum.lerp_(g, 1 - group["momentum"])
        direction = torch.lerp(g, momentum, group["momentum"]) if group["nesterov"] else momentum
        matrix = direction.reshape(direction.size(0), -1)
        update = orthogonal(matrix, group["iterations"])
        scale = max(1.0, matrix.size(0) / matrix.size(1)) ** 0.5
        w.mul_(1 - group["lr"] * group["weight_decay"])
        w.add_(update.reshape(w.shape), alpha=-group["lr"] * scale)


def muon(params: Any, settings: MuonSettings) -> torch.optim.Optimizer:
    """The factory."""
    defaults = {
        "lr": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "momentum": settings.momentum,
        "nesterov": settings.nesterov,
        "iterations": settings.iterations,
        "adam_rate": settings.adam_rate,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
    }
    return Muon(listed(params), defaults)
