"""Size as a proxy: the baseline that any other one has to beat."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from predictors.proxies.base import Batch, Proxy, logits

__all__ = ["MACS", "PARAMS"]

_BASELINE = "the usual baseline, e.g. Ning et al., NeurIPS 2021"


def params(network: nn.Module, batch: Batch) -> float:
    """Number of trainable parameters."""
    return float(sum(parameter.numel() for parameter in network.parameters()))


@torch.no_grad()
def macs(network: nn.Module, batch: Batch) -> float:
    """Multiply-accumulates of convolutions and linear layers for one image."""
    counter = FlopCounterMode(display=False)
    with counter:
        logits(network.eval(), batch.images[:1])
    return counter.get_total_flops() / 2


PARAMS = Proxy(params, True, "none", _BASELINE)
MACS = Proxy(macs, True, "forward", _BASELINE)
