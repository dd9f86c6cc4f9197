"""Parameters and multiply-accumulates, counted exactly and without arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nas.layers.auxiliary import is_auxiliary

if TYPE_CHECKING:
    from nas.measure.figures import Subject

__all__ = ["count_macs", "count_macs_of_parts", "count_parameters", "evaluating", "macs", "params"]


IMAGES: Final = 2


def count_parameters(network: nn.Module, exclude_auxiliary: bool = True) -> int:
    """Count a network's parameters.

    Args:
        network: Any module, on any device.
        exclude_auxiliary: Leave out the auxiliary head, as published numbers do.
    """
    return sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if not (exclude_auxiliary and is_auxiliary(name))
    )


def count_macs(network: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Count the multiply-accumulates of convolutions and linear layers for one image.

    Biases, normalisation, pooling and activations are not counted. Nothing is computed: the
    network runs in eval mode on tensors without storage.

    Args:
        network: Any module on any device that takes ``(B, *input_shape)``; it is left as it was.
        input_shape: Of one input; channels, height and width of an image.
    """
    return count_macs_of_parts(network, input_shape, {})[0]


@torch.no_grad()
def count_macs_of_parts(
    network: nn.Module, input_shape: tuple[int, ...], parts: Mapping[str, nn.Module]
) -> tuple[int, dict[str, int]]:
    """As `count_macs`, and how many of them happen inside each of some modules of the network.

    Args:
        network: Any module.
        input_shape: Of one input; channels, height and width of an image.
        parts: Modules of it by name, none inside another.

    Returns:
        The whole count, and the count of each part.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shadow = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    dtypes = [p.dtype for p in network.parameters() if p.is_floating_point()]
    # Two images: batch statistics of one image of a single pixel do not exist.
    x = torch.empty((IMAGES, *input_shape), device="meta", dtype=dtypes[0] if dtypes else None)
    counts = dict.fromkeys(parts, 0)
    hooks = []
    try:
        with evaluating(network), _Counter() as counter:

            def count(name: str, sign: int) -> Callable[..., None]:
                def hook(*_: Any) -> None:
                    counts[name] += sign * counter.flops

                return hook

            for name, part in parts.items():
                hooks.append(part.register_forward_pre_hook(count(name, -1)))
                hooks.append(part.register_forward_hook(count(name, 1)))
            functional_call(network, shadow, (x,))
    finally:
        for handle in hooks:
            handle.remove()
    flops: int = counter.flops
    per_image = 2 * IMAGES
    return flops // per_image, {name: found // per_image for name, found in counts.items()}


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A network in evaluation mode; afterwards each module is in its own again."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def params(subject: Subject) -> float:
    """The measure of that name."""
    return float(count_parameters(subject.network))


def macs(subject: Subject) -> float:
    """The measure of that name."""
    return float(count_macs(subject.network, subject.data.input_shape))


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up torch's own formulas; its counter also attributes to modules, which takes longer."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **kwargs, out_val=result))
        return result
