"""New candidates from old ones, none of them twice.

An evaluation is dear and its repetition tells nothing new, so a proposal that was made before is
replaced by another one: the same draw again, then a walk of several mutations away from it, then
a random candidate, and at last any that is left. When nothing is left the space is exhausted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from nas.core.architecture import Candidate
from nas.core.problem import Problem

DRAWS: Final = 8
"""Draws of the wanted kind before something else is tried."""

STEPS: Final = 8
"""Mutations of a walk away from what is known."""

SAMPLES: Final = 64
"""Random candidates tried before looking through the space."""

ENUMERABLE: Final = 200_000
"""Spaces up to this size are looked through for what is left; larger ones are sampled."""

LAST_SAMPLES: Final = 5000
"""Random candidates, all known, after which a space that cannot be looked through is given up."""


class Variation:
    """Proposes candidates of a problem.

    Args:
        problem: Gives space, recipe and scale.
        rng: All chance comes from here.
        canonical: Candidates that compute the same function count as the same.
        duplicates: Propose known ones, too, as most published algorithms do.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        canonical: bool = False,
        duplicates: bool = False,
    ) -> None:
        self._problem = problem
        self._rng = rng
        self._canonical = canonical
        self._duplicates = duplicates
        self._known: set[str] = set()
        self._left: list[Candidate] | None = None
        self._exhausted = False
        self._size = problem.space.size

    @property
    def exhausted(self) -> bool:
        """Whether everything there is was proposed."""
        return self._exhausted

    @property
    def known(self) -> int:
        """How many different candidates were proposed."""
        return len(self._known)

    def claim(self, candidate: Candidate) -> bool:
        """Remember `candidate` as proposed; whether it is the first time."""
        key = self._key(candidate)
        if key in self._known:
            return False
        self._known.add(key)
        return True

    def knows(self, candidate: Candidate) -> bool:
        """Whether it was proposed."""
        return self._key(candidate) in self._known

    def sample(self, count: int) -> list[Candidate]:
        """So many random candidates, fewer only if no more are left."""
        found: list[Candidate] = []
        for _ in range(count):
            candidate = self.propose(self._random)
            if candidate is None:
                break
            found.append(candidate)
        return found

    def mutant(self, parent: Candidate) -> Candidate | None:
        """A candidate one mutation away, or more if those are known; None if none is left."""
        return self.propose(lambda: self._problem.mutate(parent, self._rng))

    def cross(
        self, first: Candidate, second: Candidate, crossover: float, mutation: float
    ) -> Candidate:
        """A child of two parents, which may be known.

        Args:
            first: One parent.
            second: The other one.
            crossover: Probability that choices of both are mixed; otherwise it begins as `first`.
            mutation: Expected number of mutations (Poisson).
        """
        problem, rng = self._problem, self._rng
        child = first
        if crossover > 0 and rng.random() < crossover:
            child = problem.crossover(first, second, rng)
        if self._movable():
            for _ in range(rng.poisson(mutation)):
                child = problem.mutate(child, rng)
        return child

    def propose(self, draw: Callable[[], Candidate]) -> Candidate | None:
        """A new candidate, drawn by `draw` if that gives one; None if none is left."""
        candidate = draw()
        if self.claim(candidate) or self._duplicates:
            return candidate
        if self._exhausted:
            return None
        for _ in range(DRAWS):
            candidate = draw()
            if self.claim(candidate):
                return candidate
        for _ in range(STEPS if self._movable() else 0):
            candidate = self._problem.mutate(candidate, self._rng)
            if self.claim(candidate):
                return candidate
        return self._fresh()

    def _random(self) -> Candidate:
        return self._problem.candidate(self._problem.space.sample(self._rng))

    def _movable(self) -> bool:
        return self._size != 1

    def _fresh(self) -> Candidate | None:
        small = self._size is not None and self._size <= ENUMERABLE
        if self._left is None:
            for _ in range(SAMPLES if small else LAST_SAMPLES):
                candidate = self._random()
                if self.claim(candidate):
                    return candidate
            self._left = self._remaining() if small else []
        while self._left:
            candidate = self._left.pop()
            if self.claim(candidate):
                return candidate
        self._exhausted = True
        return None

    def _remaining(self) -> list[Candidate]:
        problem = self._problem
        every = (problem.candidate(member) for member in problem.space.enumerate())
        left = [candidate for candidate in every if self._key(candidate) not in self._known]
        return [left[index] for index in self._rng.permutation(len(left))]

    def _key(self, candidate: Candidate) -> str:
        if not self._canonical:
            return candidate.id
        problem = self._problem
        return problem.like(candidate, problem.space.canonical(problem.member(candidate))).id
