"""AdamP and SGDP: no step along the length of weights whose length does not matter.

Heo et al., "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights",
ICLR 2021, algorithms 1 and 2. Whether a weight's length matters is read off the cosine of weight
and gradient: per output row first, then of the whole tensor. On a GPU what is decided is a tensor,
so that nobody waits for it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor

from nas.optimizers.rule import Rule, listed
from nas.optimizers.settings import AdampSettings, SgdpSettings

BRANCHES: Final = frozenset({"cpu"})
"""Devices whose numbers can be looked at without waiting."""


def project(
    weight: Tensor, gradient: Tensor, update: Tensor, delta: float, ratio: float, epsilon: float
) -> tuple[Tensor, Tensor | float]:
    """The update without its radial part, and what decay is multiplied by.

    Args:
        weight: Of any shape; those of fewer than two dimensions are left alone.
        gradient: Its gradient.
        update: The update wanted.
        delta: Weights whose largest cosine with the gradient is below this over the root of their
            length count as scale-invariant.
        ratio: Factor of the decay of those that do.
        epsilon: Added to lengths.
    """
    if weight.dim() < 2:
        return update, 1.0
    w, g = _rows(weight, weight), _rows(gradient, weight)
    inner = torch.linalg.vecdot(w, g, dim=1)
    lengths = torch.linalg.vector_norm(w, dim=1)
    slopes = torch.linalg.vector_norm(g, dim=1)
    # Of the whole tensor by what is known of its rows.
    total, length, slope = inner.sum(), lengths.norm(), slopes.norm()
    by_row = (inner.abs() / (lengths * slopes + epsilon)).max() < delta / math.sqrt(w.size(1))
    by_all = total.abs() / (length * slope + epsilon) < delta / math.sqrt(w.numel())
    if weight.device.type in BRANCHES:  # nobody waits: what is not needed is not computed
        if not by_row and not by_all:
            return update, 1.0
        size = lengths if by_row else length.expand_as(lengths)
        return _tangent(weight, update, size, epsilon, whole=not bool(by_row)), ratio
    rows = _tangent(weight, update, lengths, epsilon, whole=False)
    whole = _tangent(weight, update, length.expand_as(lengths), epsilon, whole=True)
    chosen = torch.where(by_row, rows, torch.where(by_all, whole, update))
    return chosen, torch.where(by_row | by_all, ratio, 1.0).to(weight.dtype)


def _rows(tensor: Tensor, like: Tensor) -> Tensor:
    """An output row a row, in whatever order the weight lies in memory."""
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(tensor.size(0), -1)


def _tangent(
    weight: Tensor, update: Tensor, lengths: Tensor, epsilon: float, *, whole: bool
) -> Tensor:
    """An update without its part along each row of a weight, or along all of it."""
    along = torch.linalg.vecdot(_rows(weight, weight), _rows(update, weight), dim=1)
    if whole:
        along = along.sum().expand_as(along)
    factor = along / (lengths + epsilon) ** 2
    tangent: Tensor = update - weight * factor.reshape(-1, *[1] * (weight.dim() - 1))
    return tangent


class AdamP(Rule):
    """AdamW with projected updates; two copies."""

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        for w, g in zip(weights, gradients, strict=True):
            update = self._adam(w, g, group["betas"], group["eps"])
            update, factor = project(w, g, update, group["delta"], group["ratio"], group["eps"])
            w.mul_(1 - group["lr"] * group["weight_decay"] * factor)
            w.add_(update, alpha=-group["lr"])


class SGDP(Rule):
    """SGD with momentum and projected updates; one copy.

    Decay is decoupled and divided by 1 - momentum, so its strength is that of an L2 penalty under
    the same momentum.
    """

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        momentum, nesterov = group["momentum"], group["nesterov"]
        buffers = self._kept(weights, "momentum") if momentum else gradients
        for w, g, b in zip(weights, gradients, buffers, strict=True):
            if momentum:
                b.mul_(momentum).add_(g)
            update = g + momentum * b if nesterov else b
            update, factor = project(w, g, update, group["delta"], group["ratio"], group["eps"])
            if group["weight_decay"]:
                strength = group["lr"] * group["weight_decay"] / (1 - momentum)
                w.mul_(1 - strength * factor)
            w.add_(update, alpha=-group["lr"])


def adamp(params: Any, settings: AdampSettings) -> torch.optim.Optimizer:
    """The factory of AdamP."""
    defaults = {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
        "weight_decay": settings.weight_decay,
        "delta": settings.delta,
        "ratio": settings.decay_ratio,
    }
    return AdamP(listed(params), defaults)


def sgdp(params: Any, settings: SgdpSettings) -> torch.optim.Optimizer:
    """The factory of SGDP."""
    defaults = {
        "lr": settings.learning_rate,
        "momentum": settings.momentum,
        "nesterov": settings.nesterov,
        "eps": settings.epsilon,
        "weight_decay": settings.weight_decay,
        "delta": settings.delta,
        "ratio": settings.decay_ratio,
    }
    return SGDP(listed(params), defaults)
