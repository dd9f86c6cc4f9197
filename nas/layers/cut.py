"""Fewer channels in a network's layers; exported modules hold this, so it needs torch only."""

from __future__ import annotations

from torch import Tensor, nn


def cut(network: nn.Module, channels: dict[str, list[int]]) -> None:
    """Give layers fewer channels, in place; of their weights the first ones stay.

    Args:
        network: Any network.
        channels: Name of a convolution or linear layer to the numbers of its inputs and outputs;
            of a batch normalisation, or another layer with the attribute `channels`, to one number.

    Raises:
        ValueError: A layer has not so many, or would have none.
    """
    for name, counts in channels.items():
        module = network.get_submodule(name)
        shape = counts[::-1]  # of the weight, whose first dimension is the outputs'
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            module.in_channels, module.out_channels = counts
            if module.groups > 1:  # depthwise: each output reads one input
                module.groups, shape = counts[0], counts[1:]
        elif isinstance(module, nn.Linear):
            module.in_features, module.out_features = counts
        else:
            setattr(
                module, "num_features" if hasattr(module, "num_features") else "channels", *counts
            )
        narrow(module, "weight", shape)
        for label in ("bias", "running_mean", "running_var"):
            narrow(module, label, shape[:1])


def narrow(module: nn.Module, label: str, shape: list[int]) -> None:
    """Keep the first entries of a layer's parameter or buffer, if it has it.

    Args:
        module: The layer.
        label: The attribute.
        shape: Of what stays, in the first dimensions.
    """
    tensor = getattr(module, label, None)
    if not isinstance(tensor, Tensor):
        return
    kept = tensor.detach()
    for dim, size in enumerate(shape):
        kept = kept.narrow(dim, 0, size)
    if 0 in shape:
        raise ValueError(f"no channel is left of {label}")
    kept = kept.clone()
    if isinstance(tensor, nn.Parameter):
        kept = nn.Parameter(kept, requires_grad=tensor.requires_grad)
    setattr(module, label, kept)
