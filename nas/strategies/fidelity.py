"""Budgets of strategies that train many a little and few a lot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, model_validator

from evolution.member import members_of
from evolution.selection import ordered
from nas.core.architecture import Candidate
from nas.core.config import Settings
from nas.core.errors import ConfigError
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome


class FidelitySettings(Settings):
    """Which budgets there are.

    Attributes:
        levels: Budgets in epochs, growing; None for `max_epochs` and what is left of it when it
            is divided by `eta` again and again, down to `min_epochs`.
        min_epochs: Least budget of derived levels.
        max_epochs: Largest budget of derived levels.
        eta: One of so many is promoted from a level to the next.
        schedule: "shared": all trainings follow the learning-rate schedule of the largest
            budget, and a promoted one goes on where it ended, which costs the difference only;
            "own": every training has a schedule of its own and begins anew. Tables hold what
            they hold, and charge by the same rule.
    """

    levels: tuple[float, ...] | None = None
    min_epochs: float = Field(1.0, gt=0)
    max_epochs: float = Field(27.0, gt=0)
    eta: float = Field(3.0, gt=1)
    schedule: Literal["shared", "own"] = "shared"

    @model_validator(mode="after")
    def _levels_grow(self) -> FidelitySettings:
        levels = self.levels
        if levels is None:
            if self.max_epochs < self.min_epochs:
                raise ConfigError(
                    f"max_epochs={self.max_epochs:g} is less than min_epochs={self.min_epochs:g}",
                    "give a larger max_epochs",
                )
            return self
        growing = all(a < b for a, b in pairwise(levels))
        if not levels or levels[0] <= 0 or not growing:
            raise ConfigError(f"levels {list(levels)}", "expected growing numbers of epochs")
        return self

    @property
    def ladder(self) -> tuple[float, ...]:
        """The budgets from the smallest to the largest; derived ones are whole epochs."""
        if self.levels is not None:
            return self.levels
        budgets = {self.max_epochs}
        budget = self.max_epochs
        while (budget := budget / self.eta) >= self.min_epochs * (1 - 1e-9):
            budgets.add(float(round(budget)) if budget >= 1 else budget)
        return tuple(sorted(budgets))


def trained(
    settings: FidelitySettings,
    candidate: Candidate,
    level: int,
    first: int = 0,
    tags: Mapping[str, Any] | None = None,
) -> Evaluate:
    """The evaluation of a candidate at a level.

    Args:
        settings: Which budgets there are.
        candidate: Which one.
        level: Index into the ladder.
        first: The level at which the candidate's training began.
        tags: Free labels.
    """
    ladder = settings.ladder
    shared = settings.schedule == "shared"
    return Evaluate(
        candidate,
        ladder[level],
        tags=tags or {},
        horizon=ladder[-1] if shared else None,
        since=ladder[level - 1] if shared and level > first else None,
    )


def promoted(problem: Problem, outcomes: Sequence[Outcome], count: int) -> list[Candidate]:
    """The `count` best of those that did not fail, from best to worst.

    By limits and cost for one objective; by non-dominated front, then the least crowded, for
    several.
    """
    alive = [outcome for outcome in outcomes if outcome.ok]
    return [member.candidate for member in ordered(members_of(problem, alive))[:count]]
