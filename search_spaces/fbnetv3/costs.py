"""Exact cost of an FBNetV3 network without building it, in three conventions; no torch here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from search_spaces.costs import Cost, Size
from search_spaces.fbnetv3.plan import Block, Stage, lay_out, round8

__all__ = ["Account", "network_account", "shrunk"]


@dataclass(frozen=True)
class Account:
    """What a network costs for one image.

    Attributes:
        params: Trainable parameters.
        weights: Those of them that multiply in a convolution or linear layer: without biases and
            normalisations, as the networks were published.
        macs: Multiply-accumulates of convolutions and linear layers.
        pooled: Numbers that go into global average pools; published "FLOPs" are `macs` and these.
    """

    params: int = 0
    weights: int = 0
    macs: int = 0
    pooled: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(
            self.params + other.params,
            self.weights + other.weights,
            self.macs + other.macs,
            self.pooled + other.pooled,
        )

    @property
    def cost(self) -> Cost:
        """Parameters and multiply-accumulates as every space counts them."""
        return Cost(self.params, self.macs)

    @property
    def published_flops(self) -> int:
        """Multiply-accumulates, and one for every number that is pooled."""
        return self.macs + self.pooled


def shrunk(size: Size, kernel: int, stride: int, padding: int) -> Size:
    """Height and width after a convolution."""
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
    return height, width


def network_account(
    stages: Iterable[Stage],
    size: Size,
    channels: int,
    num_classes: int,
    *,
    stem: int,
    stem_stride: int,
    head: int,
    features: int,
) -> Account:
    """Count an ``FBNetV3Network``.

    Args:
        stages: Its stages.
        size: Height and width of what the stem reads.
        channels: Channels of an image.
        num_classes: Number of logits.
        stem: Channels of the stem.
        stem_stride: Its stride.
        head: Expansion before the pooling.
        features: Length of the vector that the classifier reads.
    """
    size = shrunk(size, 3, stem_stride, 1)
    total = _conv(channels * stem * 9, size, 3 * stem)  # a bias besides its normalisation
    rows = lay_out(stem, stages)
    for block in (block for row in rows for block in row):
        cost, size = _block(block, size)
        total += cost
    last = rows[-1][-1].outputs
    expanded = round8(head * last)
    total += _conv(last * expanded, size, 2 * expanded) + _pool(expanded, size)
    total += _pool(features, (1, 1))  # the released networks pool these single pixels again
    return total + _dense(expanded, features, bias=False) + _dense(features, num_classes)


def _block(block: Block, size: Size) -> tuple[Account, Size]:
    hidden = block.hidden
    total = Account()
    if block.expands:
        total += _conv(block.inputs * hidden, size, 2 * hidden)
    size = shrunk(size, block.kernel, block.stride, block.padding)
    total += _conv(hidden * block.kernel**2, size, 2 * hidden)
    if block.squeezed:
        total += _pool(hidden, size)
        total += _dense(hidden, block.squeezed) + _dense(block.squeezed, hidden)
    return total + _conv(hidden * block.outputs, size, 2 * block.outputs), size


def _conv(weights: int, size: Size, others: int) -> Account:
    return Account(weights + others, weights, weights * size[0] * size[1])


def _dense(inputs: int, outputs: int, *, bias: bool = True) -> Account:
    weights = inputs * outputs
    return Account(weights + outputs * bias, weights, weights)


def _pool(channels: int, size: Size) -> Account:
    return Account(pooled=channels * size[0] * size[1])
