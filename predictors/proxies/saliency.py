"""Proxies from the derivative of a loss, after methods that prune networks before training.

As proxies: Abdelfattah et al., *Zero-Cost Proxies for Lightweight NAS*, ICLR 2021.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.autograd import grad

from predictors.proxies.base import Batch, Proxy, logits, loss_of, outputs_of, weights_of

__all__ = ["FISHER", "GRAD_NORM", "GRASP", "SNIP", "SYNFLOW"]


def _gradients(output: Tensor, weights: list[Tensor], graph: bool = False) -> list[Tensor]:
    """Derivatives of a number; zeros for weights that it does not depend on."""
    if not output.requires_grad:
        return [torch.zeros_like(weight) for weight in weights]
    found = grad(output, weights, create_graph=graph, allow_unused=True)
    return [
        torch.zeros_like(weight) if slope is None else slope
        for slope, weight in zip(found, weights, strict=True)
    ]


def _number(value: Tensor) -> float:
    return float(value.detach())


def _through(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return inputs[0]


def synflow(network: nn.Module, batch: Batch) -> float:
    """Logarithm of the sum of weight times derivative of the output for an image of ones.

    All parameters are taken by their absolute value. Batch normalisation would undo just what is
    measured, and depend on images; it is left out. In double precision: the sum grows
    exponentially with depth.
    """
    network.double()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_hook(_through)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    ones = torch.ones_like(batch.images[:1], dtype=torch.float64)
    weights = weights_of(network)
    slopes = _gradients(logits(network, ones).sum(), weights)
    total = sum(_number((w * s).sum()) for w, s in zip(weights, slopes, strict=True))
    return math.log(total) if total > 0 else math.nan


def snip(network: nn.Module, batch: Batch) -> float:
    """Sum of the absolute values of weight times derivative."""
    weights = weights_of(network)
    slopes = _gradients(loss_of(network, batch), weights)
    return sum(_number((w * s).abs().sum()) for w, s in zip(weights, slopes, strict=True))


def grasp(network: nn.Module, batch: Batch) -> float:
    """Minus the sum of weight times the Hessian's product with the gradient."""
    weights = weights_of(network)
    slopes = _gradients(loss_of(network, batch), weights, graph=True)
    # d/dw of |g|^2 / 2 is the Hessian times g.
    half = sum((0.5 * (slope * slope).sum() for slope in slopes), torch.zeros(()))
    products = _gradients(half, weights)
    return -sum(_number((w * p).sum()) for w, p in zip(weights, products, strict=True))


def fisher(network: nn.Module, batch: Batch) -> float:
    """Sum over channels of half the mean squared derivative in a factor of the channel.

    Channels are those that convolutions and linear layers give.
    """
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear)) and output.requires_grad:
            outputs.append(output)

    with outputs_of(network, keep):
        loss = loss_of(network, batch) * len(batch.images)  # the sum over images
    total = 0.0
    for output, slope in zip(outputs, _gradients(loss, outputs), strict=True):
        factor = (output * slope).flatten(2).sum(2) if output.ndim > 2 else output * slope
        total += _number(factor.square().mean(0).sum()) / 2
    return total


def grad_norm(network: nn.Module, batch: Batch) -> float:
    """Sum over layers of the Euclidean length of the gradient in the layer's weights."""
    slopes = _gradients(loss_of(network, batch), weights_of(network))
    return sum(_number(slope.norm()) for slope in slopes)


_AS_PROXY: Final = "as proxy: Abdelfattah et al., ICLR 2021"
SYNFLOW = Proxy(synflow, True, "backward", f"Tanaka et al., NeurIPS 2020; {_AS_PROXY}")
SNIP = Proxy(snip, True, "backward", f"Lee et al., ICLR 2019; {_AS_PROXY}")
GRASP = Proxy(grasp, True, "twice backward", f"Wang et al., ICLR 2020; {_AS_PROXY}")
FISHER = Proxy(fisher, True, "backward", f"Turner et al., ICLR 2020; {_AS_PROXY}")
GRAD_NORM = Proxy(grad_norm, True, "backward", _AS_PROXY)
