"""What may be chosen in the FBNetV3 spaces, as tables; no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nas.core.choices import Categorical, Choice, Integer
from nas.core.tree import ChoiceTree
from search_spaces.fbnetv3.plan import Stage, round8

__all__ = ["FBNETV3", "KERNELS", "RESOLUTION", "SMALL", "Ranges", "StageRanges"]

KERNELS: Final = (3, 5)
"""Sides of depthwise kernels."""

RESOLUTION: Final = "resolution"
STEM: Final = "stem/channels"
HEAD: Final = "head/expansion"


@dataclass(frozen=True)
class StageRanges:
    """What may be chosen in a stage; ranges are lowest value, highest value, step.

    Attributes:
        channels: Channels.
        blocks: Number of blocks, the first one included.
        first: Expansion of the first block; of every block where `others` is None.
        others: Expansion of the other blocks, which then have a kernel of their own, too.
        stride: Of the first block.
        squeeze: Whether blocks have squeeze-and-excitation.
        rounded: Whether channels are rounded to multiples of 8.
    """

    channels: tuple[int, int, int]
    blocks: tuple[int, int]
    first: tuple[int, int]
    others: tuple[int, int] | None = None
    stride: int = 1
    squeeze: bool = False
    rounded: bool = True

    def choices(self, stage: str) -> list[Choice]:
        """The choices of the stage of a name; what has a single value is none."""
        if self.others is None:
            found: list[Choice] = [Categorical(f"{stage}/kernel", KERNELS)]
            if self.first[0] < self.first[1]:
                found.append(Integer(f"{stage}/expansion", *self.first))
        else:
            found = []
            for blocks, expansion in (("first", self.first), ("others", self.others)):
                found.append(Categorical(f"{stage}/{blocks}/kernel", KERNELS))
                found.append(Integer(f"{stage}/{blocks}/expansion", *expansion))
        channels, blocks_ = Integer(f"{stage}/channels", *self.channels), self.blocks
        return [*found, channels, Integer(f"{stage}/blocks", *blocks_)]

    def read(self, stage: str, choices: Mapping[str, Any], padding: int | None) -> Stage:
        """What was chosen for the stage of a name."""
        kinds = ("", "") if self.others is None else ("/first", "/others")
        first, others = (
            (
                int(choices[f"{stage}{kind}/kernel"]),
                int(choices.get(f"{stage}{kind}/expansion", self.first[0])),
            )
            for kind in kinds
        )
        channels = int(choices[f"{stage}/channels"])
        return Stage(
            channels=round8(channels) if self.rounded else channels,
            blocks=int(choices[f"{stage}/blocks"]),
            kernels=(first[0], others[0]),
            expansions=(first[1], others[1]),
            stride=self.stride,
            squeeze=self.squeeze,
            padding=padding,
        )

    def canonical(self, stage: str, choices: Mapping[str, Any]) -> dict[str, Any]:
        """The choices that are to be replaced for the representative of equal networks."""
        changes: dict[str, Any] = {}
        if self.rounded:
            changes[f"{stage}/channels"] = round8(choices[f"{stage}/channels"])
        if self.others is not None and choices[f"{stage}/blocks"] == 1:
            changes[f"{stage}/others/kernel"] = KERNELS[0]
            changes[f"{stage}/others/expansion"] = self.others[0]
        return changes


@dataclass(frozen=True)
class Ranges:
    """What may be chosen in a space.

    Attributes:
        stem: Channels of the stem.
        stem_stride: Its stride.
        stages: The stages, named ``stage1``, ``stage2``, ...
        head: Expansion of the convolution before the pooling.
        features: Length of the vector that the classifier reads.
        resolution: Side of the square that images are resized to; None for images as they are.
    """

    stem: tuple[int, int, int]
    stem_stride: int
    stages: tuple[StageRanges, ...]
    head: tuple[int, int]
    features: int
    resolution: tuple[int, int, int] | None = None

    @property
    def named(self) -> dict[str, StageRanges]:
        """The stages by name."""
        return {f"stage{number}": stage for number, stage in enumerate(self.stages, start=1)}

    def tree(self) -> ChoiceTree:
        """The choices of the space."""
        choices: list[Choice] = [Integer(STEM, *self.stem), Integer(HEAD, *self.head)]
        if self.resolution is not None:
            choices.append(Integer(RESOLUTION, *self.resolution))
        for name, stage in self.named.items():
            choices.extend(stage.choices(name))
        return ChoiceTree(tuple(choices))


FBNETV3: Final = Ranges(
    resolution=(224, 320, 8),
    stem=(8, 32, 4),
    stem_stride=2,
    stages=(
        StageRanges((8, 24, 4), (1, 4), (1, 1), rounded=False),
        StageRanges((20, 40, 4), (3, 7), (4, 7), (2, 5), stride=2),
        StageRanges((24, 56, 4), (3, 7), (4, 7), (2, 5), stride=2, squeeze=True),
        StageRanges((56, 104, 4), (3, 8), (4, 7), (2, 5), stride=2),
        StageRanges((96, 160, 4), (4, 10), (4, 7), (2, 5), squeeze=True),
        StageRanges((176, 264, 4), (4, 9), (4, 7), (2, 5), stride=2, squeeze=True),
        StageRanges((180, 288, 4), (1, 2), (5, 6), squeeze=True),
    ),
    head=(5, 6),
    features=1984,
)
"""The paper's space, widened so that all released networks lie in it."""

SMALL: Final = Ranges(
    stem=(8, 16, 4),
    stem_stride=1,
    stages=(
        StageRanges((8, 16, 4), (1, 2), (1, 1), rounded=False),
        StageRanges((16, 32, 8), (1, 4), (2, 6), (1, 4), stride=2),
        StageRanges((24, 56, 8), (1, 4), (2, 6), (1, 4), stride=2, squeeze=True),
        StageRanges((40, 96, 8), (1, 4), (2, 6), (1, 4), squeeze=True),
    ),
    head=(2, 4),
    features=128,
)
"""For images of 8 to 32 pixels: four stages, of which two halve the resolution."""
