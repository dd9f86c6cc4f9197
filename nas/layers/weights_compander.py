"""The weight compander.

Cakaj, Mehnert & Yang, "Weight Compander: A Simple Weight Reparameterization for Regularization",
IJCNN 2023.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nas.layers.settings import CompanderSettings
from nas.layers.weights import WEIGHTED, parametrize_weights

__all__ = ["Compander", "compand"]


class Compander(nn.Module):
    """Weights w = a arctan(v / b): large ones are bounded by a pi / 2, small ones move more.

    a and b are learnt per layer, as logarithms in units of where they start: they stay positive,
    and weight decay draws them there. It starts at the weights that the layer has.

    Args:
        weight: Of the layer, as initialised.
        bound: Bound of the weights, in units of the largest; more than 1.
        slope: a / b.
    """

    start: Tensor

    def __init__(self, weight: Tensor, bound: float, slope: float) -> None:
        super().__init__()
        largest = weight.detach().abs().amax()
        a = torch.where(largest > 0, largest, 1.0) * (bound * 2 / math.pi)
        self.register_buffer("start", torch.stack([a, a / slope]))
        self.logarithms = nn.Parameter(torch.zeros_like(self.start))

    def _scales(self) -> tuple[Tensor, Tensor]:
        a, b = (self.start * self.logarithms.exp()).unbind()
        return a, b

    def forward(self, v: Tensor) -> Tensor:
        """Map what is trained to weights of the same shape."""
        a, b = self._scales()
        return a * torch.arctan(v / b)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is to be trained to have these weights, each less than a pi / 2."""
        a, b = self._scales()
        return b * torch.tan(weight / a)


def compand(network: nn.Module, settings: CompanderSettings) -> None:
    """Compand the weights of all convolutions and linear layers.

    Raises:
        UnsupportedError: There is none.
    """

    def make(weight: Tensor) -> nn.Module:
        return Compander(weight, settings.bound, settings.slope)

    parametrize_weights(network, WEIGHTED, make)
