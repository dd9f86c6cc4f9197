"""Attention without softmax, of linear cost.

Lu et al., "SOFT: Softmax-free Transformer with Linear Complexity", NeurIPS 2021.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.costs import NEWTON_STEPS, attention_heads, landmark_ratio
from search_spaces.layers import Form, average_pool, norm

__all__ = ["SoftAttention", "attend", "gaussian", "newton_inverse"]

RIDGE = 0.01
"""What is added to the diagonal before it is inverted."""


def gaussian(a: Tensor, b: Tensor) -> Tensor:
    """exp(-|a_i - b_j|^2 / (2 sqrt(d))) of rows ``(..., n, d)`` and ``(..., m, d)``."""
    squares = a.square().sum(-1).unsqueeze(-1) + b.square().sum(-1).unsqueeze(-2)
    distances = (squares - 2 * a @ b.mT).clamp_min(0)
    return torch.exp(distances / (-2 * a.shape[-1] ** 0.5))


class _NewtonInverse(torch.autograd.Function):
    """V <- 2 V - V P V; differentiated as the exact inverse is, to any order."""

    @staticmethod
    def forward(matrix: Tensor) -> Tensor:
        with _exactly(matrix):
            bound = matrix.abs().sum(-2).amax(-1)[..., None, None]
            inverse = matrix * (1.8 / bound.square())
            for _ in range(NEWTON_STEPS):
                inverse = 2 * inverse - inverse @ matrix @ inverse
        return inverse

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (inverse,) = ctx.saved_tensors
        with _exactly(inverse):
            turned: Tensor = inverse.mT
            return -(turned @ gradients[0] @ turned)


def newton_inverse(matrix: Tensor) -> Tensor:
    """The inverse of positive definite matrices ``(..., m, m)`` by Newton's iteration.

    The inverse of what is small, in units of the norm, is damped after so few iterations.
    """
    inverse: Tensor = _NewtonInverse.apply(matrix)  # type: ignore[no-untyped-call]
    return inverse


def attend(queries: Tensor, landmarks: Tensor, values: Tensor) -> Tensor:
    """S V with S = K A^+ K^T, for the Gaussian kernel of all queries among themselves.

    K are the kernel's values between queries and landmarks, A those among landmarks. It is worked
    out in float32 at least: differences of squares and inverses leave nothing of bfloat16.

    Args:
        queries: ``(..., n, d)``, which are the keys as well.
        landmarks: ``(..., m, d)``.
        values: ``(..., n, d)``.

    Returns:
        ``(..., n, d)``, of the values' type.
    """
    kind = torch.promote_types(queries.dtype, torch.float32)
    q, marks, v = queries.to(kind), landmarks.to(kind), values.to(kind)
    with _exactly(q):
        near = gaussian(q, marks)
        ridge = RIDGE * torch.eye(marks.shape[-2], dtype=kind, device=q.device)
        inverse = newton_inverse(gaussian(marks, marks) + ridge)
        result = near @ (inverse @ (near.mT @ v))
    return result.to(values.dtype)


def _exactly(x: Tensor) -> AbstractContextManager[Any]:
    """Without autocasting."""
    device = x.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


class SoftAttention(nn.Module):
    """ReLU, attention over all pixels, pointwise convolution, batch normalisation.

    Queries are the keys. Landmarks are a convolution of the queries, strided so that there are at
    most four along each side whatever the size, then layer normalisation and GELU as in the
    authors' networks; here the convolution is a depthwise 3x3 one. So the cost grows linearly with
    the number of pixels. A stride of 2 averages pixels before.
    """

    def __init__(self, channels: int, stride: int, form: Form) -> None:
        super().__init__()
        self.stride = stride
        self.heads = attention_heads(channels)
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.landmark = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.landmark_norm = nn.LayerNorm(channels // self.heads)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = norm(channels, form)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        x = functional.relu(x)
        if self.stride > 1:
            x = average_pool(x, self.stride)
        batch, channels, height, width = x.shape
        queries, values = self.query(x), self.value(x)
        marks = functional.conv2d(
            queries,
            self.landmark.weight,
            stride=landmark_ratio((height, width)),
            padding=1,
            groups=channels,
        )
        landmarks = functional.gelu(self.landmark_norm(self._tokens(marks)))
        found = attend(self._tokens(queries), landmarks, self._tokens(values))
        together = found.mT.reshape(batch, channels, height, width)
        y: Tensor = self.norm(self.project(together))
        return y

    def _tokens(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` as ``(B, heads, H * W, C / heads)``."""
        batch, channels, height, width = x.shape
        return x.reshape(batch, self.heads, channels // self.heads, height * width).mT
