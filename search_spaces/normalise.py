"""Batch normalisation in channels-last order.

The library's own adds up the pixels of a channel one after another in single precision, and is
off by 1e-5 after some thousand of them; the sums here are pairwise.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["EPSILON", "centre_", "normalise", "normalise_", "normalise_backward"]

EPSILON = 1e-5
"""What a batch normalisation adds to the variance."""


def centre_(x: Tensor) -> Tensor:
    """Subtract each column's mean from a matrix, or a stack of matrices, in place.

    Without it, a variance would be the small difference of two large numbers.
    """
    return x.sub_(x.mean(-2, keepdim=True))


def normalise_(x: Tensor) -> Tensor:
    """Normalise the columns of each of some matrices ``(..., rows, C)`` in place.

    Returns:
        What they were multiplied by ``(..., C)``.
    """
    scale = centre_(x).square().mean(-2, keepdim=True).add_(EPSILON).rsqrt_()
    x.mul_(scale)
    return scale.squeeze(-2)


def normalise_backward(gradient: Tensor, normal: Tensor, scale: Tensor) -> Tensor:
    """Go back through ``normalise_``, given its result ``(rows, C)`` and what it returned."""
    # Of the normalised values, a normalisation with mean 0, deviation 1 and this scale.
    return _backward(gradient, normal, scale, torch.zeros_like(scale), torch.ones_like(scale))[0]


def normalise(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Normalise the last axis over all others; can be differentiated any number of times.

    Args:
        x: ``(..., C)``.
        weight: Factors ``(C,)`` for the result.
    """
    if x.is_cuda:
        return _library(x, weight)
    result: Tensor = _Normalise.apply(x, weight)  # type: ignore[no-untyped-call]
    return result


def _library(x: Tensor, weight: Tensor | None) -> Tensor:
    order = (0, x.ndim - 1, *range(1, x.ndim - 1))
    y = functional.batch_norm(x.permute(order), None, None, weight, training=True, eps=EPSILON)
    return y.movedim(1, -1)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        mean = flat.mean(0)
        scale = (flat - mean).square_().mean(0).add_(EPSILON).rsqrt_()
        ctx.save_for_backward(x, weight, mean, scale)
        factor = scale if weight is None else scale * weight
        return torch.addcmul(-mean * factor, flat, factor).view(x.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # asked for a graph of the derivative
            return _differentiable(x, weight, gradients[0])
        factors = torch.ones_like(scale) if weight is None else weight
        flat, slope = _backward(gradients[0], x, factors, mean, scale)
        return flat.view(x.shape), None if weight is None else slope


def _differentiable(
    x: Tensor, weight: Tensor | None, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    # Aliases of this call alone, or autograd would go on to what `x` and `weight` share upstream.
    inputs = [None if t is None else t.view_as(t) if t.requires_grad else t for t in (x, weight)]
    assert inputs[0] is not None
    output = _library(inputs[0], inputs[1])
    used = [t for t in inputs if t is not None and t.requires_grad]
    found = iter(torch.autograd.grad(output, used, gradient, create_graph=True))
    return tuple(next(found) if t is not None and t.requires_grad else None for t in inputs)


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    flat, slope, _ = torch.ops.aten.native_batch_norm_backward(
        gradient.reshape(-1, len(mean)), x.reshape(-1, len(mean)), weight, None, None,
        mean, scale, True, EPSILON, [True, True, False],
    )  # fmt: skip
    return flat, slope
