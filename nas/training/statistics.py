"""Running statistics of batch normalisation, and when they are to be left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["unmoved_statistics"]


@contextmanager
def unmoved_statistics(network: nn.Module) -> Iterator[None]:
    """Forward passes within leave running statistics as they are.

    An optimizer that asks for the gradient of a batch again, elsewhere, would count it twice,
    and with weights that are not the network's. Batches are normalised as they are in training.
    """
    found = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [(module.momentum, _copy(module.num_batches_tracked)) for module in found]
    for module in found:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, (momentum, counted) in zip(found, before, strict=True):
            module.momentum = momentum
            if module.num_batches_tracked is not None and counted is not None:
                module.num_batches_tracked.copy_(counted)


def _copy(counted: Tensor | None) -> Tensor | None:
    return None if counted is None else counted.clone()
