"""Linear layers and joins of states ``(N, H, W, C)`` that keep the order they lie in memory in.

On CPUs the channels of a pixel lie together; on GPUs a channel's plane does, as depthwise
convolutions and batch normalisations are several times faster there that way. What is computed is
the same, so functions look at the strides and nobody needs to be told.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["join", "mix_channels", "planes"]


def planes(h: Tensor) -> Tensor:
    """A state as ``(N, C, H, W)``, each plane in one piece; a copy only where it is not so yet."""
    return h.permute(0, 3, 1, 2).contiguous()


def join(states: Sequence[Tensor]) -> Tensor:
    """Put the channels of some states one after another: ``(N, H, W, sum of C)``."""
    if states[0].stride(-1) == 1:
        return torch.cat(list(states), dim=-1)
    return torch.cat([planes(state) for state in states], dim=1).permute(0, 2, 3, 1)


def mix_channels(h: Tensor, weight: Tensor) -> Tensor:
    """A 1x1 convolution of a state.

    Args:
        h: ``(N, H, W, C)``.
        weight: ``(C', C)`` or ``(C', C, 1, 1)``.

    Returns:
        ``(N, H, W, C')``.
    """
    if h.stride(-1) == 1:
        return functional.linear(h, weight.flatten(1))
    height = h.shape[1]
    y = torch.matmul(weight.flatten(1), planes(h).flatten(2))
    return torch.unflatten(y, 2, (height, -1)).permute(0, 2, 3, 1)
