"""What leaves a state, as a graph of ordinary layers merged over edges.

One ReLU, one depthwise convolution, one stack of pointwise products and one batch normalisation
for all edges, per kind of operation. It holds on every device, is captured by CUDA graphs (no value
is read back), runs under autocast (the statistics of batch normalisation and the gains stay in
single precision) and can be differentiated any number of times.

Everything is in planes ``(N, C, H, W)``: on GPUs the depthwise kernels of that order are the fast
ones, and a stack of small matrix products is many times faster than a grouped 1x1 convolution,
which the library takes apart and puts into another order first (`benchmarks/RESULTS.md`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.darts.leaving import Convolution, Leaving
from search_spaces.layers import average_pool
from search_spaces.orders import planes

__all__ = ["leave_merged"]


def leave_merged(h: Tensor, gains: Tensor, spec: Leaving, weights: Sequence[Tensor]) -> Tensor:
    """Map a state ``(N, H, W, C)`` to contributions ``(E, N, H', W', C)``.

    For the arguments see `search_spaces.leaving.Leave`.
    """
    x = planes(h)
    active = functional.relu(x)
    size = [-(-side // spec.stride) for side in x.shape[2:]]
    total: list[Tensor | None] = [None] * spec.edges
    taken = 0

    def add(edges: Sequence[int], y: Tensor) -> None:
        for edge, term in zip(
            edges, torch.unflatten(y, 1, (len(edges), -1)).unbind(1), strict=True
        ):
            before = total[edge]
            total[edge] = term if before is None else before + term

    def take(edges: Sequence[int]) -> Tensor:
        nonlocal taken
        taken += len(edges)
        return gains[taken - len(edges) : taken]

    used = 0
    for kind in spec.convolutions:
        count = kind.parts * len(kind.edges)
        y = _convolve(active, kind, spec.stride, weights[used : used + count], take(kind.edges))
        used += count
        add(kind.edges, y)
    if spec.max_pool:
        y = functional.max_pool2d(x, 3, spec.stride, 1)
        add(spec.max_pool, _spread(_normalise(y), take(spec.max_pool)))
    if spec.avg_pool:
        y = average_pool(x, spec.stride)
        add(spec.avg_pool, _spread(_normalise(y), take(spec.avg_pool)))
    if spec.skip:
        gain = take(spec.skip)
        if spec.stride == 1:
            add(spec.skip, _spread(x, gain))
        else:
            add(spec.skip, _reduce(active, weights[used:], gain))
    zero = x.new_zeros(x.shape[0], x.shape[1], *size)
    terms = [zero if term is None else term for term in total]
    return torch.stack(terms).permute(0, 1, 3, 4, 2)


def _normalise(x: Tensor, gains: Tensor | None = None) -> Tensor:
    """Batch normalisation; ``gains`` scale equal blocks of channels."""
    weight = None
    if gains is not None:
        weight = gains.repeat_interleave(x.shape[1] // len(gains), output_size=x.shape[1])
    return functional.batch_norm(x, None, None, weight, None, training=True)


def _spread(x: Tensor, gains: Tensor) -> Tensor:
    """Scaled copies, one per edge, as blocks of channels."""
    return (x.unsqueeze(1) * gains.to(x.dtype).view(-1, 1, 1, 1)).flatten(1, 2)


def _convolve(
    active: Tensor, kind: Convolution, stride: int, weights: Sequence[Tensor], gains: Tensor
) -> Tensor:
    edges = len(kind.edges)
    x = active if edges == 1 else active.repeat(1, edges, 1, 1)
    for part in range(0, kind.parts, 2):
        depthwise = torch.cat(list(weights[part * edges : (part + 1) * edges]))
        pointwise = torch.cat(list(weights[(part + 1) * edges : (part + 2) * edges]))
        padding = kind.dilation * (kind.kernel // 2)
        step = stride if part == 0 else 1
        x = functional.conv2d(x, depthwise, None, step, padding, kind.dilation, len(depthwise))
        x = _mix(x, pointwise, edges)
        last = part + 2 == kind.parts
        x = _normalise(x, gains) if last else functional.relu(_normalise(x))
    return x


def _mix(x: Tensor, weight: Tensor, edges: int) -> Tensor:
    """Each edge's pointwise convolution, of blocks of channels ``(N, edges * C, H, W)``."""
    blocks = torch.unflatten(x, 1, (edges, -1)).flatten(3)
    matrices = torch.unflatten(weight.flatten(1), 0, (edges, -1))
    return torch.unflatten(torch.matmul(matrices, blocks).flatten(1, 2), 2, x.shape[2:])


def _reduce(active: Tensor, weights: Sequence[Tensor], gains: Tensor) -> Tensor:
    edges = len(gains)
    height, width = active.shape[-2:]
    if height % 2 or width % 2:
        active = functional.pad(active, (0, width % 2, 0, height % 2))
    even = functional.conv2d(active[:, :, ::2, ::2], torch.cat(list(weights[:edges])))
    odd = functional.conv2d(active[:, :, 1::2, 1::2], torch.cat(list(weights[edges:])))
    halves = [torch.unflatten(half, 1, (edges, -1)) for half in (even, odd)]
    return _normalise(torch.cat(halves, dim=2).flatten(1, 2), gains)
