"""Local search: look at the neighbours, go to a better one, begin anew at a local optimum.

White, Nolen & Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI 2021
(arXiv 2005.02960, "Local Search is State of the Art for Neural Architecture Search Benchmarks"),
algorithm 1. Better is by limits, then by the objectives in their order. Deviation: a candidate
that is met again, in this climb or an earlier one, is known and not asked for again.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from evolution.variation import Variation
from nas.core.architecture import Candidate
from nas.core.config import Settings
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome, Request
from nas.strategies.base import Strategy


class LocalSearchSettings(Settings):
    """Settings of local search.

    Attributes:
        improvement: "first" goes to the first better neighbour, "best" looks at all of them
            first (as published: "query all").
        initial: Random candidates of which the best one is where a climb begins.
        batch: Neighbours asked for at once; with "first" the best better one of a batch is it.
        epochs: Training epochs of each; None for the recipe's own.
    """

    improvement: Literal["first", "best"] = "first"
    initial: int = Field(1, ge=1, le=10_000)
    batch: int = Field(1, ge=1, le=10_000)
    epochs: float | None = Field(None, gt=0)


class LocalSearch(Strategy):
    """Climbs from random candidates, each to a local optimum."""

    Settings: ClassVar[type[LocalSearchSettings]] = LocalSearchSettings
    settings: LocalSearchSettings

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, None]:
        """Climb again and again until the budget is spent or the space is exhausted."""
        variation = Variation(problem, rng)
        known: dict[str, Outcome] = {}
        while True:
            starts = variation.sample(self.settings.initial)
            if not starts:
                return
            told = yield from self._look(starts, known, variation)
            here: Outcome | None = problem.best(told)
            while here is not None:
                here = yield from self._step(problem, here, known, variation, rng)

    def _step(
        self,
        problem: Problem,
        here: Outcome,
        known: dict[str, Outcome],
        variation: Variation,
        rng: np.random.Generator,
    ) -> Generator[Request, Any, Outcome | None]:
        """A better neighbour; None at a local optimum."""
        s = self.settings
        near = self._neighbors(problem, here.candidate, rng)
        size = s.batch if s.improvement == "first" else max(1, len(near))
        for begin in range(0, len(near), size):
            told = yield from self._look(near[begin : begin + size], known, variation)
            best = problem.best(told)
            if problem.merit(best) < problem.merit(here):
                return best
        return None

    def _look(
        self, candidates: list[Candidate], known: dict[str, Outcome], variation: Variation
    ) -> Generator[Request, Any, list[Outcome]]:
        """Outcomes of the candidates; only unknown ones are asked for."""
        new = [candidate for candidate in candidates if candidate.id not in known]
        for candidate in new:
            variation.claim(candidate)
        if new:
            told = yield [Evaluate(candidate, self.settings.epochs) for candidate in new]
            known.update((outcome.candidate.id, outcome) for outcome in told)
        return [known[candidate.id] for candidate in candidates]

    def _neighbors(
        self, problem: Problem, candidate: Candidate, rng: np.random.Generator
    ) -> list[Candidate]:
        """All of them, in random order."""
        near = list(problem.neighbors(candidate))
        return [near[index] for index in rng.permutation(len(near))]
