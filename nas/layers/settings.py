"""Settings of layers that a recipe may ask for; torch-free."""

from __future__ import annotations

from pydantic import Field

from nas.core.config import Settings

__all__ = [
    "BatchChannelSettings",
    "CompanderSettings",
    "GhostSettings",
    "GroupSettings",
    "NoSettings",
    "StandardizedSettings",
    "StatsQSettings",
]


class NoSettings(Settings):
    """Settings of what has none."""


class GhostSettings(Settings):
    """Settings of ghost batch normalisation.

    Attributes:
        chunk: Images that are normalised together. A batch is divided into as many parts as it
            has whole chunks, equal but for one image: none is smaller than a chunk, and a batch
            smaller than one is normalised as a whole.
    """

    chunk: int = Field(default=16, ge=2)


class GroupSettings(Settings):
    """Settings of group normalisation.

    Attributes:
        group_size: Channels a group. Where they do not divide, groups have the next larger number
            of channels that does; layers with fewer channels have one group.
    """

    group_size: int = Field(default=8, ge=1)


class BatchChannelSettings(GroupSettings):
    """Settings of batch-channel normalisation.

    Attributes:
        speed: For batches of a few images: normalise in training, too, by running estimates that
            move towards each batch's statistics by this share. 0 for the statistics of the batch.
    """

    speed: float = Field(default=0.0, ge=0, lt=1)


class StandardizedSettings(Settings):
    """Settings of weight standardisation.

    Attributes:
        epsilon: Added to the standard deviation of a filter.
    """

    epsilon: float = Field(default=1e-5, gt=0)


class CompanderSettings(Settings):
    """Settings of the weight compander.

    Attributes:
        bound: Least upper bound of the weights at the start, in units of the largest of a layer.
        slope: a / b at the start: what a small change is multiplied by near 0.
    """

    bound: float = Field(default=2.0, gt=1)
    slope: float = Field(default=1.0, gt=0)


class StatsQSettings(Settings):
    """Settings of StatsQ.

    Attributes:
        bits: A weight takes one of 2^bits values of its row.
    """

    bits: int = Field(default=4, ge=1, le=8)
