"""What a proxy is, and the conditions under which all of them are measured."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Batch", "Proxy", "logits", "loss_of", "measure_all", "weights_of"]

Work: TypeAlias = Literal["none", "forward", "backward", "twice backward"]


@dataclass(frozen=True)
class Batch:
    """What proxies look at.

    Attributes:
        images: ``(B, C, H, W)``.
        labels: ``(B,)``.
        generator: Draws noise, on the images' device.
    """

    images: Tensor
    labels: Tensor
    generator: torch.Generator


@dataclass(frozen=True)
class Proxy:
    """A proxy.

    Attributes:
        function: From a network of its own, in train mode, and a batch to a number; it may change
            the network, and may raise `torch.linalg.LinAlgError`.
        higher_is_better: What the source promises; `measure` turns the sign if it is false.
        cost: What has to be computed.
        source: Where it was published.
    """

    function: Callable[[nn.Module, Batch], float]
    higher_is_better: bool
    cost: Work
    source: str


_AUXILIARY: Final = "auxiliary_head"
_WEIGHTED: Final = (nn.Conv2d, nn.Linear)


def measure_all(
    network: nn.Module, images: Tensor, labels: Tensor, proxies: Mapping[str, Proxy], seed: int
) -> dict[str, float]:
    """See `predictors.proxies.measure`."""
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(images):
        raise ValueError(f"images {tuple(images.shape)} with labels {tuple(labels.shape)}")
    found = {}
    cuda = [images.device] if images.is_cuda else []
    for name, proxy in proxies.items():
        own = copy.deepcopy(network).train().requires_grad_(True)
        if isinstance(getattr(own, _AUXILIARY, None), nn.Module):
            setattr(own, _AUXILIARY, None)  # it serves training only, and is no part of the cells
        generator = torch.Generator(images.device).manual_seed(seed)
        with torch.random.fork_rng(devices=cuda), torch.enable_grad():
            torch.manual_seed(seed)  # dropout, where a network has any
            try:
                value = proxy.function(own, Batch(images, labels, generator))
            except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
                value = math.nan
        found[name] = (value if proxy.higher_is_better else -value) + 0.0
        if not math.isfinite(value):
            found[name] = math.nan
    return found


def logits(network: nn.Module, images: Tensor) -> Tensor:
    """The main logits ``(B, classes)``; an auxiliary head's are dropped."""
    output = network(images)
    result: Tensor = output[0] if isinstance(output, tuple) else output
    return result


def loss_of(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the batch, normalised by the batch's own statistics."""
    return functional.cross_entropy(logits(network, batch.images), batch.labels)


def weights_of(network: nn.Module) -> list[Tensor]:
    """The weights of convolutions and linear layers, which saliencies add up."""
    return [module.weight for module in network.modules() if isinstance(module, _WEIGHTED)]


@contextmanager
def outputs_of(
    network: nn.Module, keep: Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]
) -> Iterator[None]:
    """Tell of every module without children that is run: itself, its inputs and its output."""

    def told(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        keep(module, inputs, output)

    leaves = [module for module in network.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(told) for leaf in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
