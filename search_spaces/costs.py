"""Parameters and multiply-accumulates of cell networks by arithmetic alone; no torch here.

The formulas follow the builders layer by layer and are exact for every input size.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cost", "Size", "conv", "factorized_reduce", "halve", "linear"]

Size = tuple[int, int]
"""Height and width."""


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
