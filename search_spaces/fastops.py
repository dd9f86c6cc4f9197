"""Kernels of the fast supernets: the same functions as the plain layers, arranged for the machine.

Images are ``(N, C, H, W)`` in channels-last memory, so that ``rows`` of pixels by channels are a
view. ``merged`` tensors hold the channels of several edges one after another, ``(N, E * C, H, W)``.
Nothing here records a graph by itself; the callers provide the derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.normalise import EPSILON

__all__ = [
    "Fold",
    "FoldGradient",
    "depthwise",
    "depthwise_input_gradient",
    "depthwise_weight_gradient",
    "fold",
    "fold_backward",
    "images",
    "mask_",
    "phases",
    "repeat_channels",
    "rows",
    "split_phases",
    "sum_repeats",
]

_WIDEST_QUICK_KERNEL = 3
_GEMM_SUM_CHANNELS = 16


def rows(x: Tensor) -> Tensor:
    """View images ``(N, C, H, W)`` as a matrix ``(N * H * W, C)``; copies only if it must."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def images(matrix: Tensor, size: Sequence[int]) -> Tensor:
    """View a matrix ``(N * H * W, C)`` as images; ``size`` is ``(N, H, W)``."""
    return matrix.view(*size, matrix.shape[-1]).permute(0, 3, 1, 2)


def repeat_channels(x: Tensor, times: int) -> Tensor:
    """Write the channels ``times`` times one after another: ``(N, times * C, H, W)``."""
    return x if times == 1 else torch.cat([x] * times, dim=1)


def sum_repeats(x: Tensor, times: int) -> Tensor:
    """Transpose of ``repeat_channels``: add the ``times`` blocks of channels."""
    if times == 1:
        return x
    batch, channels, height, width = x.shape
    channels //= times
    flat = rows(x)
    if channels <= _GEMM_SUM_CHANNELS:  # short rows do not vectorise
        identity = torch.eye(channels, dtype=x.dtype, device=x.device).repeat(times, 1)
        total = flat @ identity
    else:
        blocks = flat.view(-1, times, channels).unbind(1)
        total = blocks[0] + blocks[1]
        for block in blocks[2:]:
            total += block
    return images(total, (batch, height, width))


def phases(x: Tensor) -> Tensor:
    """View images by the parity of their pixels.

    Args:
        x: ``(..., N, H, W, C)``, height and width even.

    Returns:
        View ``(..., 2, 2, N, H / 2, W / 2, C)``.
    """
    *lead, batch, height, width, channels = x.shape
    grid = x.reshape(*lead, batch, height // 2, 2, width // 2, 2, channels)
    return grid.movedim((-4, -2), (-6, -5))


def split_phases(x: Tensor) -> Tensor:
    """Put the four parity grids of an image on top of each other.

    A convolution of dilation 2 never mixes them, so on the result ``(4 * N, C, H / 2, W / 2)`` it
    is an ordinary convolution, whose derivatives have quick kernels. Height and width are even.
    """
    grid = phases(x.permute(0, 2, 3, 1))
    return grid.reshape(-1, *grid.shape[-3:]).permute(0, 3, 1, 2)


def mask_(gradient: Tensor, output: Tensor) -> Tensor:
    """Go back through a ReLU with this output, in place."""
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
    return gradient


def depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int = 1) -> Tensor:
    """Depthwise convolution that keeps the size, up to the stride; channels-last memory."""
    padding = dilation * (weight.shape[-1] // 2)
    y = functional.conv2d(x, weight, None, stride, padding, dilation, weight.shape[0])
    # With a single input channel, the library cannot tell the layouts apart.
    return y.contiguous(memory_format=torch.channels_last)


def depthwise_input_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int = 1
) -> Tensor:
    """Gradient of ``depthwise`` with respect to ``x``, of which only shape and type are used."""
    padding = dilation * (weight.shape[-1] // 2)
    return _backward(gradient, x, weight, stride, (padding, padding), dilation, 0)


def depthwise_weight_gradient(
    gradient: Tensor, x: Tensor, kernel: int, stride: int, dilation: int = 1, times: int = 1
) -> Tensor:
    """Gradient of ``depthwise`` with respect to the weight ``(times * C, 1, kernel, kernel)``.

    Args:
        gradient: Gradient of the output ``(N, times * C, H', W')``.
        x: The input before ``repeat_channels(x, times)``.
        kernel: Side of the kernel.
        stride: Stride of the convolution.
        dilation: Dilation of the convolution.
        times: How often the input was repeated.
    """
    if dilation > 1:
        padding = dilation * (kernel // 2)
        x = repeat_channels(x, times)
        weight = _weight(gradient, kernel, kernel)
        return _backward(gradient, x, weight, stride, (padding, padding), dilation, 1)
    reach = 2 * max(x.shape[2:]) - 1
    if reach < kernel:  # the outer taps never meet a pixel
        inner = depthwise_weight_gradient(gradient, x, reach, stride, 1, times)
        return functional.pad(inner, [(kernel - reach) // 2] * 4)
    if kernel == 1:
        product = rows(gradient) * rows(repeat_channels(x, times))
        return product.sum(0).view(-1, 1, 1, 1)
    half = kernel // 2
    rim = half
    if x.shape[2] < kernel:  # the CPU library has no quick kernel for images this small
        x = functional.pad(x, (0, 0, half, half))
        rim = 0
    if kernel <= _WIDEST_QUICK_KERNEL:
        x = repeat_channels(x, times)
        weight = _weight(gradient, kernel, kernel)
        return _backward(gradient, x, weight, stride, (rim, half), 1, 1)
    # The CPU library is quick for kernels of width 3 and ten times slower for 5: two overlapping
    # kernels of width 3 give all five columns of taps.
    weight = _weight(gradient, kernel, 3)
    left = repeat_channels(functional.pad(x, (half, 0)), times)
    columns = _backward(gradient, left, weight, stride, (rim, 0), 1, 1)
    right = repeat_channels(functional.pad(x, (0, half)), times)
    others = _backward(gradient, right, weight, stride, (rim, 0), 1, 1)
    return torch.cat([columns, others[..., 1:]], dim=-1)


def _weight(gradient: Tensor, height: int, width: int) -> Tensor:
    return gradient.new_empty(gradient.shape[1], 1, height, width)


def _backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    which: int,
) -> Tensor:
    mask = [which == 0, which == 1, False]
    result: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride] * 2, padding, [dilation] * 2, False, [0, 0],
        weight.shape[0], mask,
    )[which]  # fmt: skip
    return result


class Fold(NamedTuple):
    """A pointwise convolution and the batch normalisation behind it, as one linear map.

    Attributes:
        weight: Pointwise weights ``(G, out, in)``.
        matrix: ``gain * weight / deviation``, ``(G, out, in)``: of a centred input ``z``, the
            output is ``z @ matrix.T``.
        scale: One over the standard deviation of the convolution's output ``(G, out)``.
        spread: ``weight @ covariance``, ``(G, out, in)``.
        gain: Mixture weight of each ``(G,)``, or None for 1.
    """

    weight: Tensor
    matrix: Tensor
    scale: Tensor
    spread: Tensor
    gain: Tensor | None


def fold(weight: Tensor, gram: Tensor, count: int, gain: Tensor | None) -> Fold:
    """Fold ``gain * normalise(z @ weight.T)`` into one linear map of ``z``, whose mean is zero.

    The variance of ``z @ w`` is ``w.T @ covariance(z) @ w``: the statistics of the convolution's
    output follow from a small matrix, and the output itself is never stored nor normalised.

    Args:
        weight: Pointwise weights ``(G, out, in)``.
        gram: ``z.T @ z``, ``(G, in, in)``, or ``(1, in, in)`` if all have the same ``z``.
        count: Number of rows of ``z``.
        gain: Mixture weights ``(G,)``; None for 1.
    """
    covariance = (gram / count).expand(len(weight), -1, -1)
    spread = torch.bmm(weight, covariance)
    scale = (spread * weight).sum(2).clamp_min_(0.0).add_(EPSILON).rsqrt_()
    gained = scale if gain is None else scale * gain.unsqueeze(1)
    return Fold(weight, weight * gained.unsqueeze(2), scale, spread, gain)


class FoldGradient(NamedTuple):
    """What ``fold_backward`` returns.

    The gradient of ``z`` before it was centred is ``gradient @ matrix + z @ mixing + offset``.
    """

    weight: Tensor | None
    gain: Tensor | None
    mixing: Tensor
    offset: Tensor


def fold_backward(
    folded: Fold, matrix: Tensor, sums: Tensor, count: int, *, weights: bool
) -> FoldGradient:
    """Differentiate ``fold`` and the centring before it.

    Args:
        folded: Result of ``fold``.
        matrix: Gradient of ``folded.matrix``: ``gradient.T @ z``, ``(G, out, in)``.
        sums: Column sums of the output's gradient ``(G, out)``.
        count: Number of rows.
        weights: Whether the gradient of the weights is wanted.
    """
    inner = (matrix * folded.weight).sum(2)
    gain, gained = None, folded.scale
    if folded.gain is not None:
        gain = (inner * folded.scale).sum(1)
        gained = gained * folded.gain.unsqueeze(1)
    # Gradient of the variance, twice and negated.
    variance = inner * folded.scale.square() * gained
    pulled = folded.weight * variance.unsqueeze(2)
    mixing = torch.bmm(folded.weight.transpose(1, 2), pulled).mul_(-1.0 / count)
    offset = torch.bmm(sums.unsqueeze(1), folded.matrix).mul_(-1.0 / count)
    weight = None
    if weights:
        weight = matrix * gained.unsqueeze(2) - folded.spread * variance.unsqueeze(2)
    return FoldGradient(weight, gain, mixing, offset)
