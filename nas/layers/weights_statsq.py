"""StatsQ: weights of a few bits in training, their scale from the statistics of each row.

Liu, Liu & Cheng, "Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.layers.settings import StatsQSettings
from nas.layers.weights import WEIGHTED, parametrize_weights, rows

__all__ = ["StatsQ", "quantize"]


class StatsQ(nn.Module):
    """Weights on 2^bits levels that are symmetric about 0 and do not hold it.

    A row's scale s is twice the mean of its magnitudes; with n = 2^(bits - 1), levels are
    s (k + 1/2) / n for k from -n to n - 1. The gradient passes through, also beyond the last level.

    Args:
        bits: 1 to 8.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.above = 2 ** (bits - 1)  # levels above 0

    def forward(self, weight: Tensor) -> Tensor:
        """Map ``(outputs, ...)`` to the same shape, with at most 2^bits values a row."""
        fixed, n = weight.detach(), self.above
        scale = 2 * fixed.abs().mean(rows(weight), keepdim=True)
        small = torch.finfo(weight.dtype).tiny  # a row of zeros stays one
        level = torch.round(fixed / scale.clamp_min(small) * n - 0.5).clamp(-n, n - 1)
        # Adding a difference that is exactly 0 gives the levels themselves, to the last bit.
        quantised: Tensor = scale * ((level + 0.5) / n) + (weight - fixed)
        return quantised


def quantize(network: nn.Module, settings: StatsQSettings) -> None:
    """Quantise the weights of all convolutions and linear layers.

    Raises:
        UnsupportedError: There is none.
    """
    parametrize_weights(network, WEIGHTED, lambda weight: StatsQ(settings.bits))
