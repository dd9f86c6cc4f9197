"""Running statistics of batch normalisation: when to leave them alone, and counting them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["count_anew", "counted", "counting", "unmoved_statistics"]


def counted(network: nn.Module) -> list[_BatchNorm]:
    """Layers that have running statistics."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@contextmanager
def unmoved_statistics(network: nn.Module) -> Iterator[None]:
    """Forward passes within leave running statistics as they are.

    An optimizer that asks for the gradient of a batch again, elsewhere, would count it twice,
    and with weights that are not the network's. Batches are normalised as they are in training.
    """
    found = counted(network)
    before = [(module.momentum, _copy(module.num_batches_tracked)) for module in found]
    for module in found:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, (momentum, batches) in zip(found, before, strict=True):
            module.momentum = momentum
            if module.num_batches_tracked is not None and batches is not None:
                module.num_batches_tracked.copy_(batches)


def counting(network: nn.Module, batch: bool) -> AbstractContextManager[None]:
    """Forward passes within are counted by running statistics if `batch`, else leave them alone."""
    return nullcontext() if batch else unmoved_statistics(network)


@torch.no_grad()
def count_anew(network: nn.Module, look: Callable[[], object]) -> None:
    """Running statistics become means over some batches, at the weights as they are.

    All other layers do what they do when the network is measured: nothing is dropped.

    Args:
        network: Comes back in its own mode.
        look: Runs the batches forward, all of about one size.
    """
    found, training = counted(network), network.training
    momenta = [layer.momentum for layer in found]
    network.eval()
    for layer in found:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None  # a mean of all
    try:
        look()
    finally:
        for layer, momentum in zip(found, momenta, strict=True):
            layer.momentum = momentum
        network.train(training)


def _copy(batches: Tensor | None) -> Tensor | None:
    return None if batches is None else batches.clone()
