"""Networks of the extended DARTS space: convolutions with fewer parameters, and attention."""

from __future__ import annotations

from torch import nn

from search_spaces.attention import SoftAttention
from search_spaces.darts.network import DartsNetwork
from search_spaces.darts.operations import build_operation
from search_spaces.hypercomplex import ReLUPHConvNorm
from search_spaces.layers import Form

__all__ = ["ExtendedNetwork", "build_extended_operation"]


def build_extended_operation(name: str, channels: int, stride: int, form: Form) -> nn.Module:
    """Build one operation of an edge.

    Args:
        name: ``phc2_conv_3x3``, ``phc4_conv_3x3``, ``soft_attention``, or one of DARTS.
        channels: Channels of input and output; of hypercomplex ones a multiple of their number.
        stride: 1 or 2.
        form: Use of batch normalisation.

    Returns:
        A module from ``(B, channels, H, W)`` to ``(B, channels, ceil(H / stride), ...)``.

    Raises:
        ValueError: The name is not one of the above, or the channels do not divide.
    """
    match name.split("_"):
        case ["phc2" | "phc4" as kind, "conv", "3x3"]:
            return ReLUPHConvNorm(channels, 3, int(kind[3:]), stride, form)
        case ["soft", "attention"]:
            return SoftAttention(channels, stride, form)
    return build_operation(name, channels, stride, form)


class ExtendedNetwork(DartsNetwork):
    """A DARTS network with the operations of the extended space, too."""

    _build_operation = staticmethod(build_extended_operation)
