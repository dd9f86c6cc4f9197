"""The Zen-score: how complex a function an untrained network can be."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from predictors.proxies.base import Batch, Proxy, logits, outputs_of

__all__ = ["ZEN"]

_NOISE: Final = 0.01
_IMAGES: Final = 16
_REPEATS: Final = 4
_STILL: Final = 1e-20


@torch.no_grad()
def zen(network: nn.Module, batch: Batch) -> float:
    """Logarithm of how far noise moves the last feature map, mean over some draws.

    Images (16) and weights are drawn from the normal distribution. The last feature map is the
    last output with height and width that a module gives. Each batch normalisation adds the
    logarithm of the root of its mean variance, for it has divided by that; one that nothing varies
    in hides nothing.
    """
    norms: list[Tensor] = []
    maps: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.ndim == 4:
            maps.append(output)
        if isinstance(module, nn.BatchNorm2d):
            norms.append(inputs[0].var((0, 2, 3), unbiased=False).mean())

    found = []
    for _ in range(_REPEATS):
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight.normal_(generator=batch.generator)
        images = batch.images.new_empty((_IMAGES, *batch.images.shape[1:]))
        images.normal_(generator=batch.generator)
        noise = torch.empty_like(images).normal_(generator=batch.generator)
        norms.clear()
        maps.clear()
        with outputs_of(network, keep):
            logits(network, images)
            if not maps:
                return math.nan
            clean = maps[-1]
            hidden = sum(0.5 * math.log(v) for v in map(float, norms) if v > _STILL)
            logits(network, images + _NOISE * noise)
        moved = float((maps[-1] - clean).flatten(1).norm(dim=1).mean())
        if not moved > 0:
            return math.nan
        found.append(math.log(moved) + hidden)
    return sum(found) / len(found)


ZEN = Proxy(zen, True, "forward", "Lin et al., ICCV 2021")
