"""AdamP and SGDP: no step along the length of weights whose length does not matter.

Heo et al., "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights",
ICLR 2021, algorithms 1 and 2. Whether a weight's length matters is read off the cosine of weight
and gradient: per output row first, then of the whole tensor. On a GPU what is decided is a tensor,
so that nobody waits for it, and decided of many weights at once.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from nas.optimizers.rule import Rule, listed, synchronous
from nas.optimizers.settings import AdampSettings, SgdpSettings
from nas.optimizers.stacks import alike, parts, rows, stacked


def project(
    weight: Tensor, gradient: Tensor, update: Tensor, delta: float, ratio: float, epsilon: float
) -> tuple[Tensor, float]:
    """The update without its radial part, and what decay is multiplied by.

    The host looks at numbers, which it would have to wait for on other devices than CPUs.

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
    if not by_row and not by_all:
        return update, 1.0
    size = lengths if by_row else length.expand_as(lengths)
    return _tangent(weight, update, size, epsilon, whole=not bool(by_row)), ratio


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


def project_many(
    stack: Tensor, delta: float, ratio: float, epsilon: float
) -> tuple[Tensor, Tensor]:
    """As `project`, of many weights of at least two dimensions, and without waiting.

    All that could be needed is computed; each weight's factor of the decay is a tensor.

    Args:
        stack: Weights of one shape, behind them the gradient of each, then the update of each.
        delta: As there.
        ratio: As there.
        epsilon: As there.
    """
    weights, _, updates = stack.chunk(3)
    flat = rows(stack)
    every = flat.view(3, -1, *flat.shape[1:])
    dots = torch.linalg.vecdot(every[0], every[1:])
    norms = torch.linalg.vector_norm(every[:2], dim=3)
    # Behind its rows, the whole of a weight is one more.
    inner, along = torch.cat([dots, dots.sum(2, keepdim=True)], 2)
    lengths, slopes = torch.cat([norms, torch.linalg.vector_norm(norms, dim=2, keepdim=True)], 2)
    cosines = inner.abs() / (lengths * slopes + epsilon)
    radial = along / (lengths + epsilon) ** 2
    size = every.size(3)
    by_row = cosines[:, :-1].amax(1, keepdim=True) < delta / math.sqrt(size)
    by_all = cosines[:, -1:] < delta / math.sqrt(every.size(2) * size)
    neither = ~(by_row | by_all)
    share = torch.where(by_row, radial[:, :-1], radial[:, -1:]).masked_fill_(neither, 0.0)
    factor = torch.full_like(along[:, :1], ratio).masked_fill_(neither, 1.0)
    rest = [1] * (weights.dim() - 2)
    tangents = torch.addcmul(updates, weights, share.reshape(*share.shape, *rest), value=-1)
    return tangents, factor.reshape(-1, 1, *rest)


def move_many(
    group: dict[str, Any],
    weights: list[Tensor],
    gradients: list[Tensor],
    updates: list[Tensor],
    decay: float,
) -> None:
    """Move weights by their projected updates, those of one shape together.

    Args:
        group: Their settings.
        weights: In any order.
        gradients: Of each.
        updates: Wanted of each.
        decay: Share of a weight that is taken off it, unless its length does not matter.
    """
    every = list(zip(weights, gradients, updates, strict=True))
    flat = [(w, u) for w, _, u in every if w.dim() < 2]
    if flat:
        vectors = [w for w, _ in flat]
        torch._foreach_mul_(vectors, 1 - decay)
        torch._foreach_add_(vectors, [u for _, u in flat], alpha=-group["lr"])
    deep = [each for each in every if each[0].dim() >= 2]
    for ws, gs, us in alike(*([each[i] for each in deep] for i in range(3))):
        stack = stacked([*ws, *gs, *us], ws[0])
        tangents, factor = project_many(stack, group["delta"], group["ratio"], group["eps"])
        moved = (stack[: len(ws)] * (1 - decay * factor)).add_(tangents, alpha=-group["lr"])
        torch._foreach_copy_(ws, parts(moved, ws[0]))


class AdamP(Rule):
    """AdamW with projected updates; two copies."""

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        if not synchronous(weights[0]):
            updates = self._adams(weights, gradients, group["betas"], group["eps"])
            decay = group["lr"] * group["weight_decay"]
            move_many(group, weights, gradients, updates, decay)
            return
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
        strength = group["lr"] * group["weight_decay"] / (1 - momentum)
        if not synchronous(weights[0]):
            updates = buffers
            if momentum:
                torch._foreach_mul_(buffers, momentum)
                torch._foreach_add_(buffers, gradients)
            if nesterov:
                updates = list(torch._foreach_add(gradients, buffers, alpha=momentum))
            move_many(group, weights, gradients, updates, strength)
            return
        for w, g, b in zip(weights, gradients, buffers, strict=True):
            if momentum:
                b.mul_(momentum).add_(g)
            update = g + momentum * b if nesterov else b
            update, factor = project(w, g, update, group["delta"], group["ratio"], group["eps"])
            if group["weight_decay"]:
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
