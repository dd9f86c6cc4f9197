"""Learning-rate schedules: pure functions of the step, by name; torch-free."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

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


class OneCycleSettings(ScheduleSettings):
    """Settings of the one-cycle schedule.

    Attributes:
        rise: Share of the steps (after warm-up) in which the rate goes up.
        start: Factor at the beginning, from 0 to 1.
        final: Factor at the end, from 0 to 1.
    """

    rise: float = Field(default=0.3, gt=0, lt=1)
    start: float = Field(default=0.04, ge=0, le=1)
    final: float = Field(default=1e-4, ge=0, le=1)


class UbaSettings(DecaySettings):
    """Settings of the budget-aware schedule.

    Attributes:
        phi: How early the rate goes down: 2 is cosine, towards 0 it stays up to the end. With few
            epochs 0.5 did better than 2 where it was measured (digits).
    """

    phi: float = Field(default=0.5, gt=0)


class PowerSettings(ScheduleSettings):
    """Settings of the power schedule.

    Attributes:
        flat: Steps (after warm-up) after which the rate begins to fall.
        exponent: Of the fall, below 0.
        decay: Share of the steps at the end in which the rate goes down to 0, too; 0 for none.
    """

    flat: int = Field(default=500, ge=1)
    exponent: float = Field(default=-0.51, lt=0)
    decay: float = Field(default=0.1, ge=0, le=1)


class AutoLrsSettings(ScheduleSettings):
    """Settings of AutoLRS, where a factor is one of the learning rate.

    Attributes:
        lowest: Least factor that is tried, above 0.
        highest: Largest factor that is tried: one at which the network cannot break down, which a
            few steps may not show.
        stage: Steps of the first stage, at most: a fifteenth of a training of less than fifteen
            such, but no less than makes tries of 20 steps.
        doublings: How often the next stage is twice as long.
        tries: Factors tried at the beginning of a stage, at least 2.
        share: Steps of a try, as a share of the stage's.
        kappa: How much a factor of which little is known is preferred to one that is known to be
            good.
        validation: Whether stages after the longest but one are judged by the validation loss,
            where there are images for it; all others are by the training loss.
        rise: Losses of which one is above the stage's first by this factor are not forecast: the
            mean of the last is taken.
    """

    lowest: float = Field(default=0.01, gt=0)
    highest: float = Field(default=3.0, gt=0)
    stage: int = Field(default=1000, ge=1)
    doublings: int = Field(default=3, ge=0, le=20)
    tries: int = Field(default=10, ge=2, le=100)
    share: float = Field(default=0.1, gt=0, le=1)
    kappa: float = Field(default=2.0, ge=0)
    validation: bool = True
    rise: float = Field(default=2.0, ge=1)

    @model_validator(mode="after")
    def _some_room(self) -> AutoLrsSettings:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest} to be less than highest {self.highest}")
        return self


@dataclass(frozen=True)
class Moment:
    """When a rate is asked for; warm-up is over and not counted.

    Attributes:
        step: Steps taken, from 0.
        steps: Of the whole training, at least 1.
    """

    step: int
    steps: int

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.step / self.steps)


@dataclass(frozen=True)
class Schedule:
    """A row of the table of schedules.

    Attributes:
        settings: The frozen model of its settings.
        factor: From a moment and settings to the factor of the learning rate.
        search: "module:class" of what looks for the factor while the network is trained (see
            `nas.training.autolrs.RateSearch`), in place of `factor`; empty for none.
    """

    settings: type[ScheduleSettings]
    factor: Callable[[Moment, Any], float]
    search: str = ""


def constant(at: Moment, settings: ScheduleSettings) -> float:
    """Always 1."""
    return 1.0


def cosine(at: Moment, settings: DecaySettings) -> float:
    """Half a cosine wave from 1 to `final` (Loshchilov and Hutter, 2017, without restarts)."""
    return _eased(1.0, settings.final, at.progress)


def exponential(at: Moment, settings: ExponentialSettings) -> float:
    """The same ratio in equal times; `final` = g ** epochs is a factor g every epoch."""
    return math.pow(settings.final, at.progress)


def one_cycle(at: Moment, settings: OneCycleSettings) -> float:
    """Up to 1 and down to `final`, each along half a cosine wave (Smith and Topin, 2019)."""
    if at.progress < settings.rise:
        return _eased(settings.start, 1.0, at.progress / settings.rise)
    return _eased(1.0, settings.final, (at.progress - settings.rise) / (1 - settings.rise))


def budget_aware(at: Moment, settings: UbaSettings) -> float:
    """UBA: one number between constant, cosine and steep decay.

    With c = 1 + cos(pi t) it is 2 c / (2 phi + (2 - phi) c).
    """
    wave = 1 + math.cos(math.pi * at.progress)
    factor = 2 * wave / (2 * settings.phi + (2 - settings.phi) * wave)
    return settings.final + (1 - settings.final) * factor


def power(at: Moment, settings: PowerSettings) -> float:
    """1, then a power of the steps taken (Shen et al., "Power Scheduler", 2024).

    Before its last part it knows no horizon, so that a training can be made longer.
    """
    fallen = math.pow(max(1.0, at.step / settings.flat), settings.exponent)
    if not settings.decay:
        return fallen
    return fallen * min(1.0, (1 - at.progress) / settings.decay)


def warmup_stable_decay(at: Moment, settings: WsdSettings) -> float:
    """1, then down to `final` in the last share of the steps.

    With a few epochs only it beats cosine by far, because more of the time is spent at the full
    rate.
    """
    into = max(0.0, (at.progress - (1 - settings.decay)) / settings.decay)
    left = {
        "linear": 1 - into,
        "sqrt": 1 - math.sqrt(into),
        "cosine": (1 + math.cos(math.pi * into)) / 2,
    }[settings.shape]
    return settings.final + (1 - settings.final) * left


def _eased(start: float, end: float, share: float) -> float:
    """From `start` to `end` along half a cosine wave."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES: Registry[Schedule] = Registry("schedule", "nas.schedules")
SCHEDULES.add("constant", Schedule(ScheduleSettings, constant), "the full rate to the end")
SCHEDULES.add("cosine", Schedule(DecaySettings, cosine), "half a cosine wave down")
SCHEDULES.add(
    "exponential", Schedule(ExponentialSettings, exponential), "an equal factor every epoch"
)
SCHEDULES.add("one-cycle", Schedule(OneCycleSettings, one_cycle), "up for a third, then down")
SCHEDULES.add(
    "uba", Schedule(UbaSettings, budget_aware), "between constant, cosine and steep decay"
)
SCHEDULES.add(
    "power", Schedule(PowerSettings, power), "a power of the steps, no horizon before its end"
)
SCHEDULES.add(
    "warmup-stable-decay",
    Schedule(WsdSettings, warmup_stable_decay),
    "the full rate, then down in the last fifth; best for few epochs",
)
SCHEDULES.add(
    "autolrs",
    Schedule(AutoLrsSettings, constant, "nas.training.autolrs:RateSearch"),
    "looked for stage by stage, at the price of training twice as long",
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
        return member.factor(Moment(step - warmup, rest), values)

    return factor
