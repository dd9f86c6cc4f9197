"""Normalisations that stand in for two-dimensional batch normalisation.

Weights, biases and running statistics stay the tensors that they were, where the new layer has a
place for them. What a network keeps for good (`group`, `batch-channel`) are adaptations, and so
their functions and classes need torch only: an exported module holds their source.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import UnsupportedError
from nas.layers.adapt import adapt, adaptations
from nas.layers.replace import replace_modules
from nas.layers.settings import BatchChannelSettings, GhostSettings, GroupSettings

__all__ = [
    "BatchChannelNorm2d",
    "GhostBatchNorm2d",
    "batch_channel",
    "batch_channel_normalization",
    "ghost",
    "group",
    "group_normalization",
    "groups_of",
]


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of parts of a batch (Hoffer et al., NIPS 2017).

    In training each part is normalised for itself and moves the running statistics as a batch of
    its own. In evaluation it is `BatchNorm2d`, and `settled` gives that for good.

    Args:
        batch_norm: Arguments of `BatchNorm2d`.
        chunk: Least images of a part; a batch has as many parts as it has whole chunks.
    """

    def __init__(self, *batch_norm: Any, chunk: int) -> None:
        super().__init__(*batch_norm)
        self.chunk = chunk

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        normalise = super().forward
        parts = len(input) // self.chunk if self.training else 1
        if parts < 2:
            return normalise(input)
        return torch.cat([normalise(part) for part in input.tensor_split(parts)])

    def settled(self) -> nn.BatchNorm2d:
        """The plain layer, of the same tensors."""
        plain: nn.BatchNorm2d = taken_over(nn.BatchNorm2d, self)
        return plain


class BatchChannelNorm2d(nn.BatchNorm2d):
    """Batch normalisation, then group normalisation with a weight and a bias per group.

    Qiao et al., "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization",
    2019. Where the batch normalisation has no weights, the group normalisation has none either.

    Args:
        batch_norm: Arguments of `BatchNorm2d`.
        groups: Number of groups.
        speed: Where not 0, batches are normalised by running estimates in training, too, which
            first move by this share towards the mean of the batch and its squared distance to the
            mean estimated before. No gradient passes through estimates.
    """

    def __init__(self, *batch_norm: Any, groups: int, speed: float) -> None:
        super().__init__(*batch_norm)
        self.groups, self.speed = groups, speed
        if speed:
            self.momentum = speed
        self.group_weight = nn.Parameter(torch.ones(groups)) if self.affine else None
        self.group_bias = nn.Parameter(torch.zeros(groups)) if self.affine else None

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        estimated = self.speed and self.training and self.track_running_stats
        y = self._estimated(input) if estimated else super().forward(input)
        weight, bias = self._per_channel(self.group_weight), self._per_channel(self.group_bias)
        return functional.group_norm(y, self.groups, weight, bias, self.eps)

    def _per_channel(self, values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        size = self.num_features // self.groups
        return values.unsqueeze(1).expand(self.groups, size).reshape(self.num_features)

    def _estimated(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        assert mean is not None
        assert variance is not None
        moved = self.momentum
        if moved is None:  # a mean of all batches, as torch has it
            seen = self.num_batches_tracked
            moved = 1.0 if seen is None else 1.0 / (float(seen) + 1.0)
        with torch.no_grad():
            found = x.to(mean.dtype)
            square = (found - mean.view(-1, 1, 1)).square().mean((0, 2, 3))
            mean.lerp_(found.mean((0, 2, 3)), moved)
            variance.lerp_(square, moved)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)


def groups_of(channels: int, size: int) -> int:
    """Number of groups of `size` channels, or of the next larger size that divides them."""
    return max(g for g in range(1, max(1, channels // size) + 1) if channels % g == 0)


def is_plain(module: nn.Module) -> bool:
    """Whether it is what can be exchanged: `BatchNorm2d` and none of its heirs."""
    return type(module) is nn.BatchNorm2d


def taken_over(kind: Any, old: nn.BatchNorm2d, **more: Any) -> Any:
    """A batch normalisation of another kind, with the tensors of the old one."""
    same = (old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats)
    new = kind(*same, **more)
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        setattr(new, name, getattr(old, name))
    return new.train(old.training)


def group_normalization(network: nn.Module, *, group_size: int) -> None:
    """Put group normalisations (Wu & He, ECCV 2018) in place of batch normalisations."""

    def make(old: nn.BatchNorm2d) -> nn.GroupNorm:
        groups = groups_of(old.num_features, group_size)
        new = nn.GroupNorm(groups, old.num_features, old.eps, old.affine)
        new.weight, new.bias = old.weight, old.bias
        return new.train(old.training)

    replace_modules(network, is_plain, make)


def batch_channel_normalization(network: nn.Module, *, group_size: int, speed: float) -> None:
    """Put batch-channel normalisations in place of batch normalisations."""

    def make(old: nn.BatchNorm2d) -> BatchChannelNorm2d:
        groups = groups_of(old.num_features, group_size)
        new: BatchChannelNorm2d = taken_over(BatchChannelNorm2d, old, groups=groups, speed=speed)
        return new.to(old.weight) if old.affine else new

    replace_modules(network, is_plain, make)


def ghost(network: nn.Module, settings: GhostSettings) -> None:
    """Give a network ghost batch normalisations, until it is settled.

    Raises:
        UnsupportedError: There is no batch normalisation.
    """

    def make(old: nn.BatchNorm2d) -> GhostBatchNorm2d:
        made: GhostBatchNorm2d = taken_over(GhostBatchNorm2d, old, chunk=settings.chunk)
        return made

    _require(network)
    replace_modules(network, is_plain, make)


def group(network: nn.Module, settings: GroupSettings) -> None:
    """Give a network group normalisations for good.

    Raises:
        UnsupportedError: There is no batch normalisation.
    """
    _for_good(network, "group-normalization", settings)


def batch_channel(network: nn.Module, settings: BatchChannelSettings) -> None:
    """Give a network batch-channel normalisations for good.

    Raises:
        UnsupportedError: There is no batch normalisation.
    """
    _for_good(network, "batch-channel-normalization", settings)


def _for_good(network: nn.Module, name: str, settings: GroupSettings) -> None:
    wanted = settings.model_dump()
    if (name, wanted) not in adaptations(network):
        _require(network)
        adapt(network, name, **wanted)


def _require(network: nn.Module) -> None:
    if not any(is_plain(module) for module in network.modules()):
        raise UnsupportedError(
            f"a {type(network).__name__} has no batch normalisation to exchange",
            "leave recipe.normalization at batch",
        )
