"""Regularized (aging) evolution: the oldest dies, not the worst.

Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019,
algorithm 1. Deviations: with several workers the paper's asynchronous form is run, in which a
child is begun whenever a worker becomes free (`parallel` = 1 is the algorithm as printed); and no
candidate is asked for twice (`duplicates` = true is the algorithm as printed).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from evolution.variation import Variation
from nas.core.architecture import Candidate
from nas.core.config import Settings
from nas.core.problem import Problem
from nas.core.work import Evaluate, Next, Outcome, Request, Start
from nas.strategies.base import Strategy


class RegularizedEvolutionSettings(Settings):
    """Settings of regularized evolution; the paper's are population 100, tournament 25.

    Attributes:
        population: Number of candidates alive (P).
        tournament: Number among which the parent is chosen (S).
        parallel: Children being evaluated at any time.
        epochs: Training epochs of each candidate; None for the recipe's own.
        duplicates: Ask for known candidates again; they cost nothing and age like the others.
    """

    population: int = Field(50, ge=2, le=100_000)
    tournament: int = Field(12, ge=1, le=100_000)
    parallel: int = Field(1, ge=1, le=4096)
    epochs: float | None = Field(None, gt=0)
    duplicates: bool = False


class RegularizedEvolution(Strategy):
    """Evolution by mutation only, in which every candidate lives equally long."""

    Settings: ClassVar[type[RegularizedEvolutionSettings]] = RegularizedEvolutionSettings
    settings: RegularizedEvolutionSettings

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, None]:
        """Evaluate a random population, then children of tournament winners.

        It ends when the space is exhausted, or goes on for ever with `duplicates`.
        """
        s = self.settings
        variation = Variation(problem, rng, duplicates=s.duplicates)
        first = variation.sample(s.population)
        population: deque[Outcome] = deque(
            (yield [Evaluate(candidate, s.epochs) for candidate in first])
        )
        flying = 0
        while True:
            while flying < s.parallel:
                child = self._child(problem, variation, population, rng)
                if child is None:
                    break
                yield Start([Evaluate(child, s.epochs)])
                flying += 1
            if not flying:
                return
            population.append((yield Next()))
            population.popleft()
            flying -= 1

    def _child(
        self,
        problem: Problem,
        variation: Variation,
        population: deque[Outcome],
        rng: np.random.Generator,
    ) -> Candidate | None:
        """A mutant of the best of a random sample, drawn with replacement as in the paper."""
        drawn = rng.integers(len(population), size=self.settings.tournament)
        parent = problem.best([population[index] for index in drawn])
        return variation.mutant(parent.candidate)
