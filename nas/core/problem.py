"""What a strategy sees of a run: the space, the objectives, and nothing that has a side effect."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from nas.core.architecture import Architecture, Candidate
from nas.core.objective import Objective
from nas.core.space import Space
from nas.core.work import Outcome

T = TypeVar("T")


def _forget(name: str, function: Callable[[], Any]) -> Any:
    return function()


def _nothing(candidate: Candidate) -> Mapping[str, float]:
    return {}


def _silent(event: str, payload: Mapping[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Problem:
    """A space and what is wanted of it.

    Attributes:
        space: The search space.
        objectives: What is good, the first one first.
        scale: Macro settings of the run's candidates.
        remember: `remember(name, function)` gives `function()`, computed once per run and from
            then on read from the store; for costly or chancy results (JSON-able).
        announce: `announce(event, payload)` records something worth showing, such as a decision;
            JSON-able; recorded once, however often the strategy is replayed. A "notice" with a
            "text" is shown as it is.
        free: `free(candidate)` gives figures that cost nothing: they are known without training,
            such as parameters, or a proxy that a table holds. The same names for every candidate.
        counted: `counted(candidate)` gives the parameters and multiply-accumulates of the network
            that a training of the candidate would build, by arithmetic; nothing where the space
            cannot count. Other than `free` it may have to read the data first, so it is asked in a
            run only, not while one is planned. None where nobody counts.
        usual: `usual()` gives all settings of the recipe by which candidates without one of their
            own are trained; nothing where there is none, or it is not ours. As `counted`, it may
            have to read the data first.
    """

    space: Space
    objectives: tuple[Objective, ...]
    scale: Mapping[str, Any] = field(default_factory=dict)
    remember: Callable[[str, Callable[[], Any]], Any] = _forget
    announce: Callable[[str, Mapping[str, Any]], None] = _silent
    free: Callable[[Candidate], Mapping[str, float]] = _nothing
    counted: Callable[[Candidate], Mapping[str, float]] | None = None
    usual: Callable[[], Mapping[str, Any]] = dict

    def candidate(self, architecture: Architecture) -> Candidate:
        """What is evaluated for a member of the space, at the run's scale."""
        return self.space.candidate(architecture)

    def member(self, candidate: Candidate) -> Architecture:
        """The member of the space that a candidate stands for."""
        return self.space.member(candidate)

    def like(self, candidate: Candidate, architecture: Architecture) -> Candidate:
        """The candidate of another member; scale, and recipe if members have none, stay."""
        made = self.candidate(architecture)
        if candidate.recipe is None and not candidate.scale:
            return made
        recipe = candidate.recipe if made.recipe is None else made.recipe
        return Candidate(made.architecture, recipe, candidate.scale)

    def sample(self, count: int, rng: np.random.Generator) -> list[Candidate]:
        """`count` random candidates, distinct as far as the space has that many."""
        found: dict[str, Candidate] = {}
        spare: list[Candidate] = []
        for _ in range(20 * count):
            candidate = self.candidate(self.space.sample(rng))
            if candidate.id in found:
                spare.append(candidate)
            else:
                found[candidate.id] = candidate
            if len(found) == count:
                break
        return (list(found.values()) + spare)[:count]

    def mutate(self, candidate: Candidate, rng: np.random.Generator) -> Candidate:
        """A candidate that differs in one choice."""
        return self.like(candidate, self.space.mutate(self.member(candidate), rng))

    def neighbors(self, candidate: Candidate) -> Iterator[Candidate]:
        """The candidates one step away in one choice."""
        near = self.space.neighbors(self.member(candidate))
        return (self.like(candidate, architecture) for architecture in near)

    def crossover(self, first: Candidate, second: Candidate, rng: np.random.Generator) -> Candidate:
        """A candidate whose choices come from either one; whatever is no choice is the first's."""
        parents = self.member(first), self.member(second)
        return self.like(first, self.space.crossover(*parents, rng))

    def known(self, candidate: Candidate) -> dict[str, float]:
        """All figures that are exact without training: counted ones, and those that are free."""
        counted = {} if self.counted is None else self.counted(candidate)
        return {**counted, **self.free(candidate)}

    def costs(self, outcome: Outcome) -> tuple[float, ...]:
        """One number per objective, less is better; infinite where there is no figure."""
        return tuple(objective.cost(outcome.figures) for objective in self.objectives)

    def violation(self, outcome: Outcome) -> float:
        """How far it is beyond the limits, summed over them; 0 if feasible, infinite if failed."""
        if not outcome.ok:
            return math.inf
        return sum(objective.violation(outcome.figures) for objective in self.objectives)

    def merit(self, outcome: Outcome) -> tuple[float, ...]:
        """Less is better: how far beyond the limits, then the objectives in their order."""
        return (float(not outcome.ok), self.violation(outcome), *self.costs(outcome))

    def rank_key(self, outcome: Outcome) -> tuple[Any, ...]:
        """Sorts outcomes from best to worst.

        Feasible ones first, then those nearest to the limits, each by the objectives in their
        order; failed ones last. Ties are broken by id, so that the order never depends on which
        came first.
        """
        return (*self.merit(outcome), outcome.candidate.id)

    def best(self, outcomes: Iterable[Outcome] | Sequence[Outcome]) -> Outcome:
        """The best outcome by `rank_key`; ValueError if there is none."""
        return min(outcomes, key=self.rank_key)
