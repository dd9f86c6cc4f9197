"""What FBNetV3's trainings were read for, and after how many epochs they may end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from nas.core.architecture import Candidate
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome
from nas.strategies.fbnetv3.early_stop import Correlation, correlations, first_reliable
from nas.strategies.fbnetv3.surrogate import Reading

__all__ = ["Plan", "Readings", "Rules"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

ROUND = "round"
"""Tag of the works of stage 1: the number of their batch, from 1."""


@dataclass(frozen=True)
class Plan:
    """How long later trainings are.

    Attributes:
        full: Epochs of a training in full; None for the recipe's own, of which nothing is known.
        stop: Epochs after which the others end; equal to `full` if that is all there is.
        cheap: Epochs after which the best of many are chosen to go on; None for none.
    """

    full: float | None
    stop: float | None
    cheap: float | None = None

    @property
    def levels(self) -> tuple[float | None, ...]:
        """The epochs at which candidates are compared, the least first."""
        return (self.stop,) if self.cheap is None else (self.cheap, self.stop)

    def work(
        self, candidate: Candidate, epochs: float | None, since: float | None, tag: int | str
    ) -> Evaluate:
        """The training of a candidate to so many epochs, going on where it has been."""
        shared = self.full is not None and (epochs != self.full or since is not None)
        key = ROUND if isinstance(tag, int) else "stage"
        horizon = self.full if shared else None
        return Evaluate(candidate, epochs, tags={key: tag}, horizon=horizon, since=since)


@dataclass(frozen=True)
class Rules:
    """When trainings are long enough.

    Attributes:
        threshold: Rank correlation with the end from which they may end early.
        cheap: From which short ones choose who goes on; 1 for never.
        widen: One of so many goes on.
        correlation: Which one.
    """

    threshold: float
    cheap: float
    widen: float
    correlation: Correlation


class Readings:
    """All outcomes so far, by candidate.

    Args:
        problem: Whose objectives count.
        learned: Numbers of those that training changes.
    """

    def __init__(self, problem: Problem, learned: Sequence[int]) -> None:
        self._problem, self._learned = problem, learned
        self._told: dict[str, list[Outcome]] = {}
        self._candidates: dict[str, Candidate] = {}

    @property
    def candidates(self) -> list[Candidate]:
        """Everybody who was trained, in the order in which they were told."""
        return list(self._candidates.values())

    def __len__(self) -> int:
        """Number of outcomes."""
        return sum(len(told) for told in self._told.values())

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what trainings gave."""
        for outcome in outcomes:
            self._told.setdefault(outcome.candidate.id, []).append(outcome)
            self._candidates.setdefault(outcome.candidate.id, outcome.candidate)

    def plan(
        self, epochs: float | None, levels: Sequence[float], rules: Rules
    ) -> tuple[Plan, list[float]]:
        """How long trainings need to be, from a first batch trained in full.

        Args:
            epochs: Of a training in full; None if that is the recipe's own.
            levels: Where the first batch was read, if it has no curves.
            rules: What is enough.

        Returns:
            The plan, and the correlation of every epoch (or level) with the last one; none where
            there is only one.
        """
        grid = self._grid(epochs, levels)
        if len(grid) < 2:
            return Plan(epochs, epochs), []
        goal = self._learned[0]
        rows = [self._costs(candidate, grid)[:, goal] for candidate in self.candidates]
        table = np.array(rows, np.float64)
        stop = first_reliable(table, rules.threshold, rules.correlation)
        cheap = first_reliable(table[:, : stop + 1], rules.cheap, rules.correlation)
        # A short training must leave something to be saved by not going on.
        short = rules.cheap < 1 and grid[cheap] * rules.widen <= grid[stop]
        plan = Plan(grid[-1], grid[stop], grid[cheap] if short else None)
        return plan, [float(value) for value in correlations(table, rules.correlation)]

    def of(self, plan: Plan) -> list[Reading]:
        """Costs of everybody on the levels of a plan, whoever was told first."""
        found = (self._candidates[name] for name in sorted(self._candidates))
        return [Reading(self._problem.member(c), self._costs(c, plan.levels)) for c in found]

    def at(self, epochs: float | None) -> dict[str, Floats]:
        """Costs ``(m,)`` of so many epochs by candidate's id, those that are known and finite."""
        found = {name: self._costs(c, [epochs])[0] for name, c in self._candidates.items()}
        return {name: costs for name, costs in found.items() if np.isfinite(costs).all()}

    def reached(self, candidate: Candidate) -> float | None:
        """The most epochs that a candidate was trained for successfully; None for none."""
        budgets = [o.budget for o in self._told.get(candidate.id, ()) if o.ok and o.budget]
        return max(budgets, default=None)

    def _grid(self, epochs: float | None, levels: Sequence[float]) -> list[float]:
        """Epochs at which everybody who did not fail was read; empty if that is not known."""
        if levels:
            return sorted({*levels, *([] if epochs is None else [epochs])})
        lengths = {
            len(self._curve(outcome, self._problem.objectives[self._learned[0]]))
            for told in self._told.values()
            for outcome in told
            if outcome.ok
        }
        if len(lengths) != 1:
            return []
        return [float(epoch) for epoch in range(1, lengths.pop() + 1)]

    def _costs(self, candidate: Candidate, epochs: Sequence[float | None]) -> Floats:
        """Costs ``(levels, m)``: NaN where unread, infinite where the training failed."""
        costs = np.full((len(epochs), len(self._problem.objectives)), np.nan)
        for outcome in self._told[candidate.id]:
            for row, level in enumerate(epochs):
                read = self._read(outcome, level)
                if read is not None:
                    costs[row] = read
        return costs

    def _read(self, outcome: Outcome, epochs: float | None) -> list[float] | None:
        """Costs at so many epochs of a training; None if it says nothing of them."""
        objectives = self._problem.objectives
        worst = [math.inf] * len(objectives)
        if outcome.budget == epochs:
            return list(self._problem.costs(outcome)) if outcome.ok else worst
        if epochs is None:
            return None
        curve = self._curve(outcome, objectives[self._learned[0]])
        if len(curve) >= epochs and float(epochs).is_integer():
            return [self._at(outcome, objective, int(epochs)) for objective in objectives]
        wanted = outcome.budget is None or epochs <= outcome.budget
        return worst if wanted and not outcome.ok else None

    def _at(self, outcome: Outcome, objective: Objective, epoch: int) -> float:
        curve = self._curve(outcome, objective)
        value = curve[epoch - 1] if len(curve) >= epoch else None
        figures = outcome.figures if value is None else {objective.metric: value}
        return objective.cost(figures)

    @staticmethod
    def _curve(outcome: Outcome, objective: Objective) -> Sequence[float]:
        return outcome.curve.get(objective.metric, ())
