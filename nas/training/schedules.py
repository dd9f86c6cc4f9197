"""Learning-rate schedules: pure functions of the step, by name; torch-free."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from nas.core.config import Settings, build_settings
from nas.core.registry import Registry


class ScheduleSettings(Settings):
    """Settings of a schedule; this one has none."""


class DecaySettings(ScheduleSettings):
    """Settings of schedules that go down to the end.

    Attributes:
        final: Factor at the end, from 0 to 1.
    """

    final: float = Field(default=0.0, ge=0, le=1)


class ExponentialSettings(ScheduleSettings):
    """Settings of exponential decay.

    Attributes:
        final: Factor at the end, above 0 and up to 1.
    """

    final: float = Field(default=0.01, gt=0, le=1)


class WsdSettings(DecaySettings):
    """Settings of warmup-stable-decay.

    Attributes:
        decay: Share of the steps (after warm-up) at the end in which the rate goes down.
        shape: Its form; "sqrt" is 1 - sqrt(x), which falls fast first.
    """

    decay: float = Field(default=0.2, gt=0, le=1)
    shape: Literal["linear", "sqrt", "cosine"] = "linear"


@dataclass(frozen=True)
class Schedule:
    """A row of the table of schedules.

    Attributes:
        settings: The frozen model of its settings.
        factor: From progress (0 at the end of warm-up, 1 at the end of training) and settings
            to the factor of the learning rate.
    """

    settings: type[ScheduleSettings]
    factor: Callable[[float, Any], float]


def constant(progress: float, settings: ScheduleSettings) -> float:
    """Always 1."""
    return 1.0


def cosine(progress: float, settings: DecaySettings) -> float:
    """Half a cosine wave from 1 to `final` (Loshchilov and Hutter, 2017, without restarts)."""
    return settings.final + (1 - settings.final) * (1 + math.cos(math.pi * progress)) / 2


def exponential(progress: float, settings: ExponentialSettings) -> float:
    """The same ratio in equal times; `final` = g ** epochs is a factor g every epoch."""
    return math.pow(settings.final, progress)


def warmup_stable_decay(progress: float, settings: WsdSettings) -> float:
    """1, then down to `final` in the last share of the steps.

    With a few epochs only it beats cosine by far, because more of the time is spent at the full
    rate.
    """
    into = max(0.0, (progress - (1 - settings.decay)) / settings.decay)
    left = {
        "linear": 1 - into,
        "sqrt": 1 - math.sqrt(into),
        "cosine": (1 + math.cos(math.pi * into)) / 2,
    }[settings.shape]
    return settings.final + (1 - settings.final) * left


SCHEDULES: Registry[Schedule] = Registry("schedule", "nas.schedules")
SCHEDULES.add("constant", Schedule(ScheduleSettings, constant), "the full rate to the end")
SCHEDULES.add("cosine", Schedule(DecaySettings, cosine), "half a cosine wave down")
SCHEDULES.add(
    "exponential", Schedule(ExponentialSettings, exponential), "an equal factor every epoch"
)
SCHEDULES.add(
    "warmup-stable-decay",
    Schedule(WsdSettings, warmup_stable_decay),
    "the full rate, then down in the last fifth; best for few epochs",
)


def rate(
    name: str, settings: Mapping[str, Any], total: int, warmup: int = 0
) -> Callable[[int], float]:
    """The factor of the learning rate as a function of the step.

    The first `warmup` steps rise linearly from 1 / warmup to 1; the schedule has the others.

    Args:
        name: A member of `SCHEDULES`.
        settings: As its settings model declares them.
        total: Steps of the training, warm-up included.
        warmup: Steps of warm-up; cut to `total`.

    Raises:
        PluginError: The name is unknown.
        ConfigError: A setting is unknown or out of range.
    """
    member = SCHEDULES.get(name)
    values = build_settings(member.settings, settings, f"{name} setting")
    warmup = min(warmup, total)
    rest = max(1, total - warmup)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return member.factor(min(1.0, (step - warmup) / rest), values)

    return factor
