"""Blocks of an FBNetV3 network with all their widths worked out; no torch here.

Network and cost are both made from these, and an exported module holds this source too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Block", "Stage", "lay_out", "round8"]


@dataclass(frozen=True)
class Stage:
    """Blocks of one width, one after another; the first one may differ from the others.

    Attributes:
        channels: Channels that every block gives.
        blocks: Number of blocks, >= 1.
        kernels: Side of the depthwise kernel in the first block, and in the others.
        expansions: Hidden channels per input channel in the first block, and in the others.
        stride: Of the first block; the others have 1.
        squeeze: Whether blocks have squeeze-and-excitation.
        padding: Of the first block's depthwise convolution; None for half the kernel.
    """

    channels: int
    blocks: int
    kernels: tuple[int, int]
    expansions: tuple[int, int]
    stride: int
    squeeze: bool
    padding: int | None = None


@dataclass(frozen=True)
class Block:
    """One inverted residual block.

    Attributes:
        inputs: Channels read.
        hidden: Channels between; where they are as many as `inputs` nothing is expanded.
        outputs: Channels given.
        kernel: Side of the depthwise kernel.
        stride: Of the depthwise convolution.
        padding: Of the depthwise convolution.
        squeezed: Channels inside squeeze-and-excitation, 0 for a block without.
    """

    inputs: int
    hidden: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    squeezed: int

    @property
    def expands(self) -> bool:
        """Whether there is a convolution before the depthwise one."""
        return self.hidden != self.inputs

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.inputs == self.outputs


def round8(width: int) -> int:
    """The multiple of 8 next to `width`, halves up, at least 8, never under 95 % of it."""
    rounded = max(8, (width + 4) // 8 * 8)
    return rounded + 8 if 100 * rounded < 95 * width else rounded


def lay_out(inputs: int, stages: Iterable[Stage]) -> list[list[Block]]:
    """The blocks of each stage.

    Args:
        inputs: Channels that the first stage reads.
        stages: What was chosen.
    """
    rows = []
    for stage in stages:
        row = []
        for index in range(stage.blocks):
            later = index > 0
            kernel, expansion = stage.kernels[later], stage.expansions[later]
            hidden = round8(inputs * expansion)
            row.append(
                Block(
                    inputs=inputs,
                    hidden=hidden,
                    outputs=stage.channels,
                    kernel=kernel,
                    stride=1 if later else stage.stride,
                    padding=kernel // 2 if later or stage.padding is None else stage.padding,
                    # A quarter of the channels before expansion.
                    squeezed=round8(hidden // (4 * expansion)) if stage.squeeze else 0,
                )
            )
            inputs = stage.channels
        rows.append(row)
    return rows
