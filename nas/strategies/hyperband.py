"""Hyperband: successive halving with several answers to how early one may judge.

Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar, "Hyperband: A Novel Bandit-Based Approach to
Hyperparameter Optimization", JMLR 18(185), 2018, algorithm 1. Deviations: brackets begin again
when all were run (their section 3.4 suggests it); with several objectives promotion is by
non-dominated front, then the least crowded; levels that were given are used in place of the
powers of eta, while the numbers of candidates stay the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from evolution.variation import Variation
from nas.core.architecture import Candidate
from nas.core.problem import Problem
from nas.core.work import Request
from nas.strategies.base import Strategy
from nas.strategies.fidelity import FidelitySettings, promoted, trained


class HyperbandSettings(FidelitySettings):
    """Settings of Hyperband; the paper's eta is 3 or 4.

    Attributes:
        only: Run this bracket alone, counted by the number of its halvings: 0 is random search
            at the largest budget, the most is successive halving; None for all in turn.
        rounds: How often all brackets are run; None for as often as the budget allows.
    """

    only: int | None = Field(None, ge=0)
    rounds: int | None = Field(None, ge=1)


class Hyperband(Strategy):
    """Brackets of successive halving, from the most to the least early stopping."""

    Settings: ClassVar[type[HyperbandSettings]] = HyperbandSettings
    settings: HyperbandSettings

    def levels(self) -> tuple[float, ...]:
        """The budgets of the ladder."""
        return self.settings.ladder

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, None]:
        """Run bracket after bracket."""
        s = self.settings
        variation = Variation(problem, rng)
        most = len(s.ladder) - 1
        halvings = range(most, -1, -1) if s.only is None else (min(s.only, most),)
        turn = 0
        while s.rounds is None or turn < s.rounds:
            for bracket in halvings:
                candidates = variation.sample(first_count(most, bracket, s.eta))
                if not candidates:
                    return
                yield from self._bracket(problem, candidates, bracket)
            turn += 1

    def _bracket(
        self, problem: Problem, candidates: list[Candidate], bracket: int
    ) -> Generator[Request, Any, None]:
        """Successive halving that reaches the largest budget after `bracket` halvings."""
        s = self.settings
        first = len(s.ladder) - 1 - bracket
        for step, level in enumerate(range(first, len(s.ladder))):
            tags = {"bracket": bracket}
            told = yield [trained(s, c, level, first, tags) for c in candidates]
            kept = math.floor(len(told) / s.eta + 1e-9)
            candidates = promoted(problem, told, max(1, kept))
            if not candidates:
                return
            problem.announce(
                "promoted",
                {"bracket": bracket, "step": step, "of": len(told), "kept": len(candidates)},
            )


def first_count(most: int, bracket: int, eta: float) -> int:
    """Candidates that a bracket begins with (algorithm 1, line 2).

    Args:
        most: Halvings of the most aggressive bracket.
        bracket: Halvings of this one.
        eta: One of so many is kept.
    """
    return math.ceil((most + 1) / (bracket + 1) * eta**bracket - 1e-9)
