"""The operations of the DARTS cell spaces, by name."""

from __future__ import annotations

from torch import nn

from search_spaces.layers import (
    DilatedConv,
    FactorizedReduce,
    Form,
    Noise,
    Pool,
    SeparableConv,
    Zero,
)

__all__ = ["build_operation"]


def build_operation(name: str, channels: int, stride: int, form: Form) -> nn.Module:
    """Build one operation of an edge.

    Args:
        name: ``none``, ``noise``, ``max_pool_3x3``, ``avg_pool_3x3``, ``skip_connect``,
            ``sep_conv_3x3``, ``sep_conv_5x5``, ``dil_conv_3x3`` or ``dil_conv_5x5``.
        channels: Channels of input and output.
        stride: 1 or 2.
        form: Use of batch normalisation.

    Returns:
        A module from ``(B, channels, H, W)`` to ``(B, channels, ceil(H / stride), ...)``.

    Raises:
        ValueError: The name is not one of the above.
    """
    match name.split("_"):
        case ["none"]:
            return Zero(stride)
        case ["noise"]:
            return Noise(stride)
        case ["skip", "connect"]:
            return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, form)
        case ["max" | "avg" as kind, "pool", "3x3"]:
            return Pool(kind, channels, stride, form)
        case ["sep", "conv", "3x3" | "5x5" as kernel]:
            return SeparableConv(channels, int(kernel[0]), stride, form)
        case ["dil", "conv", "3x3" | "5x5" as kernel]:
            return DilatedConv(channels, int(kernel[0]), stride, form)
    raise ValueError(f"unknown operation {name!r} of a DARTS cell")
