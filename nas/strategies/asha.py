"""ASHA: successive halving that waits for nobody.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht & Talwalkar, "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2: whoever is free promotes a candidate
that is among the best 1/eta of its level so far, from the highest level downwards, or begins a new
one. Deviation: with several objectives the best are by non-dominated front, then least crowded.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Generator
from typing import Any, ClassVar, Final

import numpy as np
from pydantic import Field

from evolution.variation import Variation
from nas.core.architecture import Candidate
from nas.core.problem import Problem
from nas.core.work import Evaluate, Next, Outcome, Request, Start
from nas.strategies.base import Strategy
from nas.strategies.fidelity import FidelitySettings, promoted, trained

RECOUNT: Final = 0.02
"""A level sorted by several objectives is sorted again when it has grown by this share."""


class AshaSettings(FidelitySettings):
    """Settings of ASHA; the paper's eta is 4, its authors' later advice 3.

    Attributes:
        parallel: Candidates being evaluated at any time; at least the number of workers.
        early: Level at which new candidates begin (the paper's early-stopping rate s).
        canonical: Take candidates that compute the same function for the same.
    """

    parallel: int = Field(1, ge=1, le=4096)
    early: int = Field(0, ge=0)
    canonical: bool = False


class Asha(Strategy):
    """Promotes whenever a level's best have not all been promoted."""

    Settings: ClassVar[type[AshaSettings]] = AshaSettings
    settings: AshaSettings

    def levels(self) -> tuple[float, ...]:
        """The budgets of the ladder."""
        return self.settings.ladder

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, None]:
        """Promote or begin, until the budget is spent or the space is exhausted."""
        s = self.settings
        variation = Variation(problem, rng, canonical=s.canonical)
        top = len(s.ladder) - 1
        rungs = [_Rung(problem) for _ in range(top)]
        place = {budget: level for level, budget in enumerate(s.ladder)}
        flying = 0
        while True:
            while flying < s.parallel:
                work = self._job(rungs, variation)
                if work is None:
                    break
                yield Start([work])
                flying += 1
            if not flying:
                return
            outcome = yield Next()
            flying -= 1
            level = place[outcome.budget]
            if level < top:
                rungs[level].add(outcome)

    def _job(self, rungs: list[_Rung], variation: Variation) -> Evaluate | None:
        """What whoever is free does next; None if there is nothing (algorithm 2, `get_job`)."""
        s = self.settings
        first = min(s.early, len(rungs))
        for level in range(len(rungs) - 1, -1, -1):
            candidate = rungs[level].promote(s.eta)
            if candidate is not None:
                return trained(s, candidate, level + 1, first)
        fresh = variation.sample(1)
        return trained(s, fresh[0], first, first) if fresh else None


class _Rung:
    """What was told at one level, and who of it was promoted.

    Args:
        problem: Whose objectives count.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._keys: list[tuple[Any, ...]] = []  # of all, sorted
        self._waiting: list[tuple[tuple[Any, ...], Candidate]] = []  # a heap
        self._told: list[Outcome] = []
        self._order: list[Candidate] = []  # several objectives: from best to worst
        self._sorted_at = 0
        self._gone: set[str] = set()

    def add(self, outcome: Outcome) -> None:
        """Take in what was told at this level; failed ones count but are never promoted."""
        self._told.append(outcome)
        if len(self._problem.objectives) > 1:
            return
        key = self._problem.rank_key(outcome)
        insort(self._keys, key)
        if outcome.ok:
            heapq.heappush(self._waiting, (key, outcome.candidate))

    def promote(self, eta: float) -> Candidate | None:
        """One that is among the best 1/eta and was not promoted yet."""
        quota = int(len(self._told) / eta + 1e-9)
        if quota == 0:
            return None
        if len(self._problem.objectives) > 1:
            return self._promote_from_front(quota)
        if not self._waiting or bisect_left(self._keys, self._waiting[0][0]) >= quota:
            return None
        return heapq.heappop(self._waiting)[1]

    def _promote_from_front(self, quota: int) -> Candidate | None:
        if len(self._told) >= self._sorted_at * (1 + RECOUNT):
            self._order = promoted(self._problem, self._told, len(self._told))
            self._sorted_at = len(self._told)
        for candidate in self._order[:quota]:
            if candidate.id not in self._gone:
                self._gone.add(candidate.id)
                return candidate
        return None
