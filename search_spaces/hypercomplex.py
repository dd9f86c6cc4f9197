"""Parametrised hypercomplex convolutions.

Zhang et al., "Beyond Fully-Connected Layers with Quaternions", ICLR 2021; as convolutions
Grassucci, Zhang & Comminiello, "PHNNs: Lightweight Neural Networks via Parameterized Hypercomplex
Convolutions", 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.layers import Form, norm

__all__ = ["PHConv2d", "ReLUPHConvNorm"]


class PHConv2d(nn.Module):
    """A convolution whose weight is a sum of n Kronecker products, without bias.

    The weight, sum over i of A_i (x) F_i, is put together at each pass: there are about 1/n of the
    parameters, outputs * inputs * kernel^2 / n + n^3, and as many multiply-accumulates as ever.
    The A_i (n x n), which say how components multiply, are learnt beside the filters F_i; with
    those of an algebra, n = 4 is a quaternion convolution.

    Args:
        inputs: Channels read, a multiple of n.
        outputs: Channels written, a multiple of n.
        kernel: Side of the kernel; padding keeps the size.
        n: Components of a number.
        stride: Of the convolution.

    Raises:
        ValueError: Channels are no multiples of n.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, n: int, *, stride: int = 1) -> None:
        super().__init__()
        if inputs % n or outputs % n:
            raise ValueError(f"{inputs} and {outputs} channels must be multiples of n = {n}")
        self.stride, self.padding = stride, kernel // 2
        self.algebra = nn.Parameter(torch.empty(n, n, n))
        self.filters = nn.Parameter(torch.empty(outputs, inputs // n, kernel, kernel))
        # The A_i are independent, with squares of 1/n in the mean: weights have those of the F_i,
        # which are those of a dense convolution's as torch initialises it.
        nn.init.orthogonal_(self.algebra, gain=n**0.5)
        bound = (inputs * kernel * kernel) ** -0.5
        nn.init.uniform_(self.filters, -bound, bound)

    def weight(self) -> Tensor:
        """The weight of the dense convolution ``(outputs, inputs, kernel, kernel)``."""
        n = len(self.algebra)
        outputs, part, kernel, _ = self.filters.shape
        a = self.algebra.reshape(n, n, 1, n, 1, 1, 1)
        f = self.filters.reshape(n, 1, outputs // n, 1, part, kernel, kernel)
        return (a * f).sum(0).reshape(outputs, n * part, kernel, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, ceil(H / stride), ceil(W / stride))``."""
        return functional.conv2d(x, self.weight(), stride=self.stride, padding=self.padding)


class ReLUPHConvNorm(nn.Module):
    """ReLU, hypercomplex convolution, batch normalisation; padding keeps the size."""

    def __init__(self, channels: int, kernel: int, n: int, stride: int, form: Form) -> None:
        super().__init__()
        self.conv = PHConv2d(channels, channels, kernel, n, stride=stride)
        self.norm = norm(channels, form)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        y: Tensor = self.norm(self.conv(functional.relu(x)))
        return y
