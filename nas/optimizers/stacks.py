"""Arithmetic on many tensors by few launches, for devices on which these are what a step costs.

Torch's operations on lists take one launch for many tensors, if those of a place lie alike in
memory; otherwise, and without a word, one for each. What there is no such operation for is computed
of stacks: alike tensors are copied into one with a leading dimension. Nothing here waits for the
device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor

LIMIT: Final = 2**24
"""Most elements of weights that are stacked: large ones do not wait for launches, and stacks take
memory."""


def alike(weights: Sequence[Tensor], *others: Sequence[Any]) -> Iterator[list[list[Any]]]:
    """Weights that can be stacked, and what belongs to them.

    They are of one device, type, shape and layout in memory, and together within the limit.

    Args:
        weights: In any order.
        *others: Each as long as the weights.

    Yields:
        A list of weights, and the part of each of the others in the same order.
    """
    places: dict[Any, list[int]] = {}
    for place, w in enumerate(weights):
        places.setdefault((w.device, w.dtype, w.shape, w.stride()), []).append(place)
    for found in places.values():
        most = max(1, LIMIT // max(1, weights[found[0]].numel()))
        for start in range(0, len(found), most):
            part = found[start : start + most]
            yield [[each[place] for place in part] for each in (weights, *others)]


def stacked(tensors: Sequence[Tensor], like: Tensor) -> Tensor:
    """Tensors of one shape one behind the other, each laid out in memory as `like` is.

    One alone is not copied: a stack is to be read only.
    """
    layout = _layout(like)
    first = tensors[0]
    if len(tensors) == 1 and first.stride() == layout:
        return first.unsqueeze(0)
    stack = _room(len(tensors), first, layout)
    torch._foreach_copy_(list(stack.unbind()), list(tensors))
    return stack


def parts(stack: Tensor, like: Tensor) -> list[Tensor]:
    """What a stack consists of, each laid out in memory as `like` is."""
    layout = _layout(like)
    if stack.stride()[1:] != layout:
        stack = _room(len(stack), stack[0], layout).copy_(stack)
    return list(stack.unbind())


def rows(stack: Tensor) -> Tensor:
    """``(n, outputs, everything else)``, the last in the order in which it lies in memory.

    Stacks of one layout have one order.
    """
    rest = sorted(range(2, stack.dim()), key=lambda axis: stack.stride(axis), reverse=True)
    return stack.permute(0, 1, *rest).flatten(2)


def aligned(tensors: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors, those that lie otherwise in memory than their weights laid out as these.

    Where only strides differ that lead nowhere, as those of kernels of one pixel do, it is a view.
    """
    return [laid_out(tensor, weight) for tensor, weight in zip(tensors, weights, strict=True)]


def laid_out(tensor: Tensor, weight: Tensor) -> Tensor:
    """One of those."""
    mine, wanted = tensor.stride(), weight.stride()
    if mine == wanted:
        return tensor
    if all(side == 1 or a == b for side, a, b in zip(weight.shape, mine, wanted, strict=True)):
        return tensor.as_strided(weight.shape, wanted)
    return torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)


def _layout(like: Tensor) -> tuple[int, ...]:
    """The strides that a tensor without gaps has that lies as `like`."""
    return torch.empty_like(like, device="meta").stride()


def _room(count: int, like: Tensor, layout: tuple[int, ...]) -> Tensor:
    return torch.empty_strided(
        (count, *like.shape), (like.numel(), *layout), dtype=like.dtype, device=like.device
    )
