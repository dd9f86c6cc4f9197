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

from nas.optimizers.rule import Rule, listed, synchronous
from nas.optimizers.settings import MuonSettings
from nas.optimizers.stacks import alike, parts, stacked

QUINTIC: Final = (3.4445, -4.7750, 2.0315)
"""Coefficients of an iteration: they bring singular values near 1 fast, and keep them there."""


def orthogonal(matrix: Tensor, iterations: int) -> Tensor:
    """Near the closest matrix with orthonormal rows (or columns, if there are fewer).

    Args:
        matrix: ``(rows, columns)``, or many of them behind a leading dimension.
        iterations: Of Newton and Schulz; after five, singular values lie between about 0.7 and 1.2.
    """
    a, b, c = QUINTIC
    x = matrix / (torch.linalg.vector_norm(matrix, dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    for _ in range(iterations):
        gram = x @ x.mT
        if x.dim() == 2:
            x = a * x + (b * gram + c * gram @ gram) @ x
        else:  # the same by few launches
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = x.mT if tall else x
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
        rate = group["lr"] * group["adam_rate"]
        if not synchronous(weights[0]):
            self._move_many(group, weights, gradients, rate)
            return
        for w, g in zip(weights, gradients, strict=True):
            if id(w) in self._hidden:
                self._turn(group, w, g)
            else:
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

    def _move_many(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], rate: float
    ) -> None:
        pairs = list(zip(weights, gradients, strict=True))
        hidden = [pair for pair in pairs if id(pair[0]) in self._hidden]
        if hidden:
            self._turn_many(group, [w for w, _ in hidden], [g for _, g in hidden])
        rest = [pair for pair in pairs if id(pair[0]) not in self._hidden]
        if rest:
            others, theirs = [w for w, _ in rest], [g for _, g in rest]
            updates = self._adams(others, theirs, group["betas"], group["eps"])
            torch._foreach_mul_(others, 1 - rate * group["weight_decay"])
            torch._foreach_add_(others, updates, alpha=-rate)

    def _turn_many(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> None:
        """As `_turn`, the matrices of one shape together."""
        directions = momenta = self._kept(weights, "momentum")
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        if group["nesterov"]:
            directions = list(torch._foreach_lerp(gradients, momenta, group["momentum"]))
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        for ws, ds in alike(weights, directions):
            stack = stacked(ds, ws[0])
            matrices = stack.flatten(2)
            updates = orthogonal(matrices, group["iterations"]).reshape(stack.shape)
            scale = max(1.0, matrices.size(1) / matrices.size(2)) ** 0.5
            torch._foreach_add_(ws, parts(updates, ws[0]), alpha=-group["lr"] * scale)


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
