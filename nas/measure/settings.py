"""Settings of figures that have any; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nas.core.config import Settings

__all__ = [
    "CertifiedErrorSettings",
    "EnergySettings",
    "LatencySettings",
    "MemorySettings",
    "QuantizedErrorSettings",
]


class QuantizedErrorSettings(Settings):
    """Settings of `quantized_error`.

    Attributes:
        bits: Of a weight, 2 to 8.
        ends: Bits of the first and the last layer instead, 2 to 8; None for the same. Much
            literature has 8.
        method: "flexround" learns what weights are divided by before they are rounded; "nearest"
            rounds each to the nearest point of its grid.
        images: Training images that flexround compares layers' outputs on.
        steps: Of Adam for each layer.
        learning_rate: Of Adam, in the logarithms of the divisors; a cosine ends it at 0.
    """

    bits: int = Field(4, ge=2, le=8)
    ends: int | None = Field(None, ge=2, le=8)
    method: Literal["flexround", "nearest"] = "flexround"
    images: int = Field(256, ge=1)
    steps: int = Field(200, ge=1)
    learning_rate: float = Field(0.01, gt=0)


class CertifiedErrorSettings(Settings):
    """Settings of `certified_error`.

    Attributes:
        epsilon: Radius of the ball around an image, in the largest change of a pixel (l-infinity),
            in units of images from 0 to 1. 0.03 is about 8/255.
    """

    epsilon: float = Field(0.03, ge=0, le=1)


class MemorySettings(Settings):
    """Settings of `memory_mb`.

    Attributes:
        batch: Images of a forward pass.
    """

    batch: int = Field(1, ge=1)


class LatencySettings(MemorySettings):
    """Settings of `latency_ms`.

    Attributes:
        batch: Images of a forward pass.
        threads: Of the processor; None for as many as the process has. A CUDA device has no use
            for more than one.
        passes: Timed ones, of which the median is told.
        warmup_s: Seconds of passes before.
    """

    threads: int | None = Field(1, ge=1)
    passes: int = Field(30, ge=1)
    warmup_s: float = Field(0.2, ge=0)


class EnergySettings(MemorySettings):
    """Settings of `energy_j`.

    Attributes:
        batch: Images of a forward pass.
        threads: Of the processor; None for as many as the process has.
        seconds: Passes are made for so long.
    """

    threads: int | None = Field(1, ge=1)
    seconds: float = Field(2.0, gt=0, le=600)
