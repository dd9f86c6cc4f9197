"""Helpers of the tests of FBNetV3's spaces."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nas.core.architecture import Architecture
from search_spaces import get_space
from search_spaces.fbnetv3.blocks import InvertedResidual
from search_spaces.fbnetv3.space import FBNetV3Space

NAMES = ("fbnetv3", "fbnetv3-small")


def space_of(name: str = "fbnetv3-small") -> FBNetV3Space:
    space = get_space(name)
    assert isinstance(space, FBNetV3Space)
    return space


def changed(member: Architecture, space: FBNetV3Space, **choices: Any) -> Architecture:
    """The member with other choices: ``stage2_channels`` is ``stage2/channels``."""
    named = {name.replace("_", "/"): value for name, value in choices.items()}
    return space.architecture({**member.choices, **named})


def blocks(network: nn.Module) -> list[InvertedResidual]:
    return [module for module in network.modules() if isinstance(module, InvertedResidual)]


def width_of(block: InvertedResidual) -> int:
    """Channels that a block reads."""
    first = block.depthwise if isinstance(block.expand, nn.Identity) else block.expand
    return first.conv.in_channels


def settled(network: nn.Module) -> nn.Module:
    """With scales and statistics that let every layer matter, as after a training."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.momentum = None  # the mean over all batches
    network.train()
    with torch.no_grad():
        for _ in range(3):
            shape = network.arguments["input_shape"]  # type: ignore[index]
            network(torch.randn(8, *shape, generator=generator))
    return network.eval()
