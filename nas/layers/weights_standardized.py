"""Weight standardisation.

Qiao et al., "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization",
2019.
"""

from __future__ import annotations

from torch import Tensor, nn

from nas.layers.settings import StandardizedSettings
from nas.layers.weights import CONVOLUTIONS, parametrize_weights, rows

__all__ = ["Standardized", "standardize"]


class Standardized(nn.Module):
    """Filters with mean 0 and standard deviation 1.

    The deviation is the unbiased one, as published. Outputs do not depend on the scale of what is
    trained, so optimizers that mind that (AdamP, SGDP) go well with it.

    Args:
        epsilon: Added to the standard deviation.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, weight: Tensor) -> Tensor:
        """Map filters ``(outputs, ...)`` of more than one element to the same shape."""
        axes = rows(weight)
        centred = weight - weight.mean(axes, keepdim=True)
        return centred / (weight.std(axes, keepdim=True) + self.epsilon)


def standardize(network: nn.Module, settings: StandardizedSettings) -> None:
    """Standardise the filters of all convolutions; those of one element stay as they are.

    Raises:
        UnsupportedError: There is none.
    """

    def make(weight: Tensor) -> nn.Module | None:
        return Standardized(settings.epsilon) if weight[0].numel() > 1 else None

    parametrize_weights(network, CONVOLUTIONS, make)
