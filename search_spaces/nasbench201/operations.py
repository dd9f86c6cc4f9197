"""The operations of the NAS-Bench-201 cell, by name."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from search_spaces.layers import Form, Pool, ReLUConvNorm, Zero

__all__ = ["build_operation"]


def build_operation(name: str, channels: int, stride: int, form: Form) -> nn.Module:
    """Build one operation of an edge.

    Args:
        name: ``none``, ``skip_connect``, ``nor_conv_1x1``, ``nor_conv_3x3`` or ``avg_pool_3x3``.
        channels: Channels of input and output.
        stride: 1 (the cells of this space keep the resolution).
        form: Use of batch normalisation; pools have none in either form.

    Returns:
        A module that keeps the shape ``(B, channels, H, W)``.

    Raises:
        ValueError: The name is not one of the above, or the stride is not 1.
    """
    if stride != 1:
        raise ValueError(f"a NAS-Bench-201 cell has stride 1, got {stride}")
    match name:
        case "none":
            return Zero(stride)
        case "skip_connect":
            return nn.Identity()
        case "nor_conv_1x1":
            return ReLUConvNorm(channels, channels, 1, stride, form)
        case "nor_conv_3x3":
            return ReLUConvNorm(channels, channels, 3, stride, form)
        case "avg_pool_3x3":
            return Pool("avg", channels, stride, replace(form, pools=False))
    raise ValueError(f"unknown operation {name!r} of a NAS-Bench-201 cell")
