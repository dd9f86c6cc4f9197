"""One population: what its members cost, who survives, what their children are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from evolution.member import Member
from evolution.selection import graded
from evolution.variation import Variation
from nas.core.architecture import Candidate
from nas.core.problem import Problem
from nas.strategies.eagan.settings import EaganSettings

__all__ = ["Population"]

Figures = Mapping[str, float]


class Population:
    """Networks of one part, the other part held; all are candidates, pairs.

    Args:
        problem: Its space is that of the part.
        settings: Resolved.
        rng: All chance.
        most: How many there are.
    """

    def __init__(
        self, problem: Problem, settings: EaganSettings, rng: np.random.Generator, most: int
    ) -> None:
        self.problem, self.most = problem, most
        self._settings, self._rng = settings, rng
        self._variation = Variation(problem, rng, canonical=True)
        self.alive: list[Candidate] = []

    def begin(self, known: Sequence[Candidate] = ()) -> None:
        """Be those that are known and as many random ones as there is room for."""
        for candidate in known:
            self._variation.claim(candidate)
        self.alive = [*known, *self._variation.sample(self.most - len(known))]

    def texts(self) -> list[str]:
        """The genotypes, as published."""
        return [self.text(candidate) for candidate in self.alive]

    def text(self, candidate: Candidate) -> str:
        """The genotype of its part."""
        return self.problem.space.format(self.problem.member(candidate))

    def members(
        self, figures: Sequence[Figures | None], errors: float | None = None
    ) -> list[Member]:
        """Those alive with their costs, beyond the limits where they failed or are above the cap.

        Args:
            figures: Of each; None where it failed.
            errors: Relative standard error of all first objectives; None for the figures' own.
        """
        found = []
        for candidate, given in zip(self.alive, figures, strict=True):
            told = given or {}
            objectives = self.problem.objectives
            costs = tuple(objective.cost(told) for objective in objectives)
            own = [told.get(f"{objective.metric}_se", 0.0) for objective in objectives]
            if errors is not None and math.isfinite(costs[0]):
                own[0] = errors * abs(costs[0])
            beyond = sum(objective.violation(told) for objective in objectives)
            found.append(Member(candidate, costs, tuple(own), beyond, candidate.id))
        return self._capped(found)

    def _capped(self, members: list[Member]) -> list[Member]:
        firsts = [member.costs[0] for member in members if math.isfinite(member.costs[0])]
        cap = (self._settings.cap or 0.0) * median(firsts) if firsts else 0.0
        if cap <= 0:
            return members
        return [
            replace(member, violation=member.violation + max(0.0, member.costs[0] / cap - 1))
            if math.isfinite(member.costs[0])
            else member
            for member in members
        ]

    def graded(self, members: Sequence[Member]) -> list[tuple[Member, int]]:
        """From best to worst, each with its front: then the least crowded, in mode paper chance."""
        s = self._settings
        ranked = graded(members, s.confidence or 0.0)
        if s.mode == "paper":
            chance = self._rng.permutation(len(ranked))
            places = sorted(range(len(ranked)), key=lambda i: (ranked[i][1], chance[i]))
            ranked = [ranked[i] for i in places]
        return [(member, front) for member, front, _ in ranked]

    def best(self, members: Sequence[Member]) -> Member:
        """The one with the least first objective among those within the limits."""
        return min(members, key=lambda m: (m.violation, *m.costs, m.key))

    def next_round(
        self, members: Sequence[Member], stay: Candidate | None = None
    ) -> list[Candidate]:
        """Keep the better half and fill up with its children; those that were kept.

        Args:
            members: All alive.
            stay: Kept in any case, and first.
        """
        keep = (self.most + 1) // 2
        ranked = [m.candidate for m, _ in self.graded(members) if math.isfinite(m.violation)]
        kept = [] if stay is None else [stay]
        kept += [c for c in ranked if c != stay][: keep - len(kept)]
        children = (self._child(kept) for _ in range(self.most - len(kept)))
        self.alive = [*kept, *(child for child in children if child is not None)]
        return kept

    def _child(self, parents: Sequence[Candidate]) -> Candidate | None:
        """One edge of a second parent, one exchanged; never one that there was before."""
        s, rng, problem = self._settings, self._rng, self.problem

        def draw() -> Candidate:
            first, second = (parents[int(i)] for i in rng.integers(len(parents), size=2))
            if rng.random() < s.crossover:
                first = problem.crossover(first, second, rng)
            if rng.random() < s.mutation:
                first = problem.mutate(first, rng)
            return first

        return self._variation.propose(draw) if parents else None
