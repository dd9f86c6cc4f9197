"""When a training removes channels, and how many: plain numbers, torch-free.

HESSO (Chen et al., "HESSO: Towards Automatic Efficient and User Friendly Any Neural Network
Training and Pruning", 2024): in each of some periods the groups of channels with the lowest scores
are made zero little by little, and stay zero while the rest trains on (`nas.training.hesso`).

Of several shares the epochs are divided into as many parts, each with the learning-rate schedule
from its beginning: a part removes channels up to its share and then recovers, and its end is a
network to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from pydantic import Field, model_validator

from nas.core.config import Settings
from nas.core.errors import ConfigError
from nas.training.schedules import rate

__all__ = ["HessoSettings", "Period", "check_shares", "parts", "periods", "rate_of_parts", "target"]

LAST: Final = 2
"""The last part, whose network is the smallest, is so many times as long as each other.

On digits that gave the lowest errors of three shares together, against equal parts and against a
first one of twice the length.
"""


class HessoSettings(Settings):
    """When channels are removed.

    Attributes:
        periods: Periods of a part, in each of which an equal number of groups is chosen.
        begin: Share of a part's steps after which the first one begins.
        end: Share after which the last one ends; the rest is recovery.
    """

    periods: int = Field(default=4, ge=1)
    begin: float = Field(default=0.1, ge=0, lt=1)
    end: float = Field(default=0.4, gt=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> HessoSettings:
        if self.begin >= self.end:
            raise ValueError(f"begin to be before end, {self.end:g}")
        return self


@dataclass(frozen=True)
class Period:
    """Steps in which some groups go.

    Attributes:
        begin: The first step.
        end: The one after the last.
        count: Groups that are zero at the end, those of earlier periods included.
    """

    begin: int
    end: int
    count: int


def check_shares(shares: Sequence[float]) -> None:
    """Refuse shares that a training cannot reach one after another.

    Raises:
        ValueError: One is not between 0 and 1, or they do not ascend.
    """
    if any(not 0 < share < 1 for share in shares):
        raise ValueError("shares of channels to be between 0 and 1")
    if any(after <= before for before, after in pairwise(shares)):
        raise ValueError("shares of channels to ascend")


def target(share: float, count: int) -> int:
    """How many of some groups a share is: the nearest whole number, halves upwards."""
    return int(share * count + 0.5)


def parts(epochs: int, shares: Sequence[float]) -> tuple[int, ...]:
    """After how many epochs each share is had.

    The last part is twice as long as each other, and gets what does not divide.

    Raises:
        ConfigError: There are fewer epochs than shares.
    """
    count = len(shares)
    if epochs < count:
        raise ConfigError(
            f"{epochs} epochs are too few for {count} shares of channels",
            "a share takes an epoch at least",
        )
    return (*(max(i, epochs * i // (count - 1 + LAST)) for i in range(1, count)), epochs)


def periods(
    shares: Sequence[float], ends: Sequence[int], count: int, settings: HessoSettings
) -> list[Period]:
    """All periods of a training, in order.

    Args:
        shares: Of groups, ascending.
        ends: Number of steps after which each share is had, from the training's beginning.
        count: Of groups.
        settings: When in each part.
    """
    found: list[Period] = []
    done = start = 0
    for share, end in zip(shares, ends, strict=True):
        goal, steps = target(share, count), end - start
        last = min(end, max(start + round(settings.end * steps), start + 1))
        first = min(start + round(settings.begin * steps), last - 1)
        marks = [
            first + round((last - first) * i / settings.periods)
            for i in range(settings.periods + 1)
        ]
        for begin, stop in pairwise(marks):
            if begin < stop:  # of fewer steps than periods some have none
                more = (goal - done) * (stop - first) // (last - first)
                found.append(Period(begin, stop, done + more))
        done, start = goal, end
    return found


def rate_of_parts(
    name: str, settings: Mapping[str, Any], ends: Sequence[int], warmup: int
) -> Callable[[int], float]:
    """The factor of the learning rate as a function of the step: the schedule anew in each part.

    Args:
        name: A member of `nas.training.schedules.SCHEDULES`.
        settings: Its settings.
        ends: Number of steps after which each part ends.
        warmup: Steps of warm-up, of the first part.
    """
    starts = [0, *ends[:-1]]
    factors = [
        rate(name, settings, end - start, 0 if start else warmup)
        for start, end in zip(starts, ends, strict=True)
    ]

    def factor(step: int) -> float:
        part = sum(step >= end for end in ends[:-1])
        return factors[part](step - starts[part])

    return factor
