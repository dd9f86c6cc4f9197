"""Dropout before a classifier, for the time of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn import functional

from nas.core.errors import UnsupportedError
from nas.layers.auxiliary import is_auxiliary

__all__ = ["dropped_inputs"]


@contextmanager
def dropped_inputs(network: nn.Module, p: float) -> Iterator[None]:
    """Within, each input of the last linear layer is zero with probability `p` in training mode.

    The others are scaled up (Srivastava et al., JMLR 2014). The network has no layer more: it is a
    hook, gone afterwards. An auxiliary head is left alone.

    Args:
        network: Its last `nn.Linear` is its classifier.
        p: In [0, 1); at 0 nothing is done.

    Raises:
        UnsupportedError: There is no linear layer.
    """
    if not p:
        yield
        return
    layers = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and not is_auxiliary(name)
    ]
    if not layers:
        raise UnsupportedError(
            f"dropout = {p:g}, but a {type(network).__name__} has no linear layer", "leave it 0"
        )

    def drop(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        first, *rest = inputs
        return functional.dropout(first, p, layer.training), *rest

    handle = layers[-1].register_forward_pre_hook(drop)
    try:
        yield
    finally:
        handle.remove()
