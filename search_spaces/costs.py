"""Parameters and multiply-accumulates of cell networks by arithmetic alone; no torch here.

The formulas follow the builders layer by layer and are exact for every input size.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "NEWTON_STEPS",
    "Cost",
    "Size",
    "attention_heads",
    "conv",
    "factorized_reduce",
    "halve",
    "hypercomplex",
    "landmark_ratio",
    "linear",
    "soft_attention",
]

Size = tuple[int, int]
"""Height and width."""

NEWTON_STEPS = 20
"""Iterations of the pseudo-inverse of SOFT attention, each two products of matrices."""

_LANDMARKS = 4
_HEAD = 32


@dataclass(frozen=True)
class Cost:
    """Trainable parameters, and multiply-accumulates of convolutions and linear layers."""

    params: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs)

    def __mul__(self, times: int) -> Cost:
        return Cost(self.params * times, self.macs * times)


def halve(size: Size, times: int = 1) -> Size:
    """Size after some layers of stride 2."""
    for _ in range(times):
        size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    return size


def conv(
    inputs: int, outputs: int, kernel: int, size: Size, *, groups: int = 1, norm: bool = True
) -> Cost:
    """Cost of a convolution without bias, by default with an affine normalisation.

    Args:
        inputs: Channels read.
        outputs: Channels written.
        kernel: Side of the kernel.
        size: Height and width of the output.
        groups: Groups of channels.
        norm: Whether a normalisation follows.
    """
    weights = inputs * outputs // groups * kernel * kernel
    return Cost(weights + 2 * outputs * norm, weights * size[0] * size[1])


def factorized_reduce(inputs: int, outputs: int, size: Size) -> Cost:
    """Cost of ``FactorizedReduce`` with an output of a given size."""
    return conv(inputs, outputs, 1, size)


def linear(inputs: int, outputs: int) -> Cost:
    """Cost of a linear layer with bias."""
    return Cost((inputs + 1) * outputs, inputs * outputs)


def hypercomplex(inputs: int, outputs: int, kernel: int, size: Size, n: int) -> Cost:
    """Cost of a ``PHConv2d`` with an affine normalisation; its products are a dense one's."""
    dense = inputs * outputs * kernel * kernel
    return Cost(dense // n + n**3 + 2 * outputs, dense * size[0] * size[1])


def attention_heads(channels: int) -> int:
    """Heads of ``SoftAttention``: as many as can have 32 channels or more each, else one."""
    return max(h for h in range(1, max(1, channels // _HEAD) + 1) if channels % h == 0)


def landmark_ratio(size: Size) -> int:
    """Stride of the landmarks of ``SoftAttention``: at most four along each side."""
    return -(-max(size) // _LANDMARKS)


def soft_attention(channels: int, size: Size) -> Cost:
    """Cost of ``SoftAttention``, affine normalisation included, with an output of a given size."""
    ratio, heads = landmark_ratio(size), attention_heads(channels)
    pixels, marks = size[0] * size[1], -(-size[0] // ratio) * -(-size[1] // ratio)
    dense = conv(channels, channels, 1, size, norm=False) * 3
    marking = Cost(9 * channels + 2 * (channels // heads), 9 * channels * marks)
    products = 3 * pixels * marks * channels + 2 * marks**2 * channels
    inverse = 2 * NEWTON_STEPS * marks**3 * heads
    return dense + marking + Cost(2 * channels, products + inverse)
