"""Which layers of a network have weights, in the order they are applied in."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["weighted_layers"]


@torch.no_grad()
def weighted_layers(network: nn.Module, images: Tensor) -> dict[str, int]:
    """Names of the two-dimensional convolutions and linear layers that images pass in evaluation.

    Args:
        network: Any module; it is left as it was.
        images: (batch, channels, height, width).

    Returns:
        Name to how often it is applied, in the order of first times.
    """
    found: dict[str, int] = {}
    trial = copy.deepcopy(network).eval()

    def count(name: str) -> Any:
        def hook(*_: Any) -> None:
            found[name] = found.get(name, 0) + 1

        return hook

    for name, module in trial.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count(name))
    trial(images)
    return found
