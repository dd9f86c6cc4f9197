"""NSGA-II: a front by evolution, for any number of objectives.

Deb, Pratap, Agarwal & Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
IEEE Transactions on Evolutionary Computation 6(2), 2002, with its constrained domination.
Deviations: no candidate is evaluated twice (`duplicates` = true for that); variation works on
choices, so crossover is uniform and a mutation changes one choice; with `parallel` a child is
begun whenever a worker becomes free, by the survivors of that moment; with `repeats` every
candidate is measured with several seeds, and only sure domination counts (`evolution.noise`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from evolution.member import Gathering, Member
from evolution.selection import survivors
from evolution.variation import Variation
from nas.core.architecture import Candidate
from nas.core.config import Settings
from nas.core.problem import Problem
from nas.core.work import Evaluate, Next, Request, Start
from nas.strategies.base import Strategy


class Nsga2Settings(Settings):
    """Settings of NSGA-II.

    Attributes:
        population: Number of candidates that survive.
        offspring: Children between two selections; None for as many as survive (as published),
            1 for steady state.
        crossover: Probability that a child mixes two parents (published: 0.9).
        mutation: Expected number of mutated choices of a child (published: 1).
        parallel: Candidates being evaluated at any time; None for whole generations (as
            published), at whose end workers wait for the last one.
        repeats: Evaluations of each candidate, with the seeds 0, 1, ...; 1 leaves the seed to
            the run.
        confidence: How sure domination must be where `repeats` is more than 1.
        epochs: Training epochs of each evaluation; None for the recipe's own.
        canonical: Take candidates that compute the same function for the same.
        duplicates: Ask for known candidates again.
    """

    population: int = Field(50, ge=2, le=100_000)
    offspring: int | None = Field(None, ge=1, le=100_000)
    crossover: float = Field(0.5, ge=0, le=1)
    mutation: float = Field(0.5, ge=0)
    parallel: int | None = Field(None, ge=1, le=4096)
    repeats: int = Field(1, ge=1, le=100)
    confidence: float = Field(0.9, ge=0, lt=1)
    epochs: float | None = Field(None, gt=0)
    canonical: bool = False
    duplicates: bool = False


@dataclass
class _Evolution:
    """What one run evolves.

    Attributes:
        problem: What is searched.
        rng: All chance.
        variation: Makes new candidates.
        alive: The survivors, from best to worst.
    """

    problem: Problem
    rng: np.random.Generator
    variation: Variation
    alive: list[Member] = field(default_factory=list)


class Nsga2(Strategy):
    """Elitist evolution sorted by domination, then by crowding."""

    Settings: ClassVar[type[Nsga2Settings]] = Nsga2Settings
    settings: Nsga2Settings

    def run(
        self, problem: Problem, rng: np.random.Generator
    ) -> Generator[Request, Any, list[Candidate] | None]:
        """Evolve until the budget is spent or the space is exhausted."""
        s = self.settings
        variation = Variation(problem, rng, canonical=s.canonical, duplicates=s.duplicates)
        evolution = _Evolution(problem, rng, variation)
        search = self._flow if s.parallel else self._generations
        with suppress(GeneratorExit):  # the budget is spent; what is alive was still found
            yield from search(evolution)
        return self._found(evolution.alive)

    def _generations(self, evolution: _Evolution) -> Generator[Request, Any, None]:
        """Whole generations, each a batch."""
        s = self.settings
        candidates = evolution.variation.sample(s.population)
        while candidates:
            told = yield self._works(candidates)
            gathering = Gathering(evolution.problem, s.repeats)
            self._select(evolution, filter(None, map(gathering.add, told)))
            candidates = []
            for _ in range(s.offspring or s.population):
                child = self._child(evolution)
                if child is not None:
                    candidates.append(child)

    def _flow(self, evolution: _Evolution) -> Generator[Request, Any, None]:
        """A child whenever fewer than `parallel` are being evaluated."""
        s = self.settings
        gathering = Gathering(evolution.problem, s.repeats)
        fresh: list[Member] = []
        first = evolution.variation.sample(s.population)
        yield Start(self._works(first))
        flying = len(first)
        while flying:
            member = gathering.add((yield Next()))
            if member is None:
                continue
            flying -= 1
            fresh.append(member)
            idle = flying < (s.parallel or 1)
            if len(fresh) >= (s.offspring or s.population) or (idle and not evolution.alive):
                self._select(evolution, fresh)
                fresh = []
            while flying < (s.parallel or 1):
                child = self._child(evolution)
                if child is None:
                    break
                yield Start(self._works([child]))
                flying += 1

    def _works(self, candidates: Sequence[Candidate]) -> list[Evaluate]:
        s = self.settings
        if s.repeats == 1:
            return [Evaluate(candidate, s.epochs) for candidate in candidates]
        return [
            Evaluate(candidate, s.epochs, seed)
            for candidate in candidates
            for seed in range(s.repeats)
        ]

    def _select(self, evolution: _Evolution, fresh: Iterable[Member]) -> None:
        """Let the best of both live, from best to worst."""
        s = self.settings
        confidence = s.confidence if s.repeats > 1 else 0.0
        chosen = survivors([*evolution.alive, *fresh], s.population, confidence)
        evolution.alive = [member for member, _, _ in chosen]

    def _child(self, evolution: _Evolution) -> Candidate | None:
        """A child of two winners of tournaments between two; other parents if it is known."""
        s, alive, variation = self.settings, evolution.alive, evolution.variation

        def draw() -> Candidate:
            # They lie in the order of their merit, so the better of two has the smaller place.
            a, b, c, d = evolution.rng.integers(len(alive), size=4).tolist()
            first, second = alive[min(a, b)].candidate, alive[min(c, d)].candidate
            return variation.cross(first, second, s.crossover, s.mutation)

        return variation.propose(draw)

    def _found(self, alive: Sequence[Member]) -> list[Candidate] | None:
        """What repeated measurement could not tell from the best; None to let figures decide."""
        if self.settings.repeats == 1 or not alive:
            return None
        best = survivors(alive, len(alive), self.settings.confidence)
        return [member.candidate for member, front, _ in best if front == 0]
