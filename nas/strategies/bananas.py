"""BANANAS: Bayesian optimisation with an ensemble of networks on paths.

White, Neiswanger & Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural
Architecture Search", AAAI 2021, algorithm 1 and section 4: an ensemble of feed-forward networks on
the path encoding, independent Thompson sampling, and candidates mutated from the best so far.
Deviations: the networks are this project's (`predictors`: squared error of standardised values,
two hidden layers) rather than ten layers wide of twenty with their own loss; what is known without
training, such as parameters, is not predicted; with several objectives each has a predictor, and
the samples are sorted by non-dominated front, then the least crowded.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field

from evolution.member import Member, members_of
from evolution.selection import ordered
from evolution.variation import Variation
from nas.core.architecture import Candidate
from nas.core.config import Json, Settings
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome, Request
from nas.strategies.base import Strategy
from predictors import get_predictor

if TYPE_CHECKING:
    from predictors.base import Predictor

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class BananasSettings(Settings):
    """Settings of BANANAS.

    Attributes:
        initial: Random candidates before anything is predicted.
        batch: Candidates evaluated between two fits.
        pool: New candidates that are ranked by the predictor.
        parents: The best so far, whose mutants the pool holds.
        fresh: Share of the pool that is random instead.
        mutation: Expected number of mutations of a mutant, at least one.
        acquisition: "its" draws each candidate's cost from its own prediction (published),
            "ucb" takes the mean less half the deviation, "greedy" the mean.
        predictor: A regressing predictor.
        encoding: What it sees of an architecture.
        predictor_settings: Its other settings.
        epochs: Training epochs of each evaluation; None for the recipe's own.
    """

    initial: int = Field(10, ge=2, le=100_000)
    batch: int = Field(10, ge=1, le=10_000)
    pool: int = Field(100, ge=1, le=100_000)
    parents: int = Field(5, ge=1, le=100_000)
    fresh: float = Field(0.0, ge=0, le=1)
    mutation: float = Field(1.0, gt=0)
    acquisition: Literal["its", "ucb", "greedy"] = "its"
    predictor: str = "mlp"
    encoding: str = "path"
    predictor_settings: Json = Field(default_factory=dict)
    epochs: float | None = Field(None, gt=0)


class Bananas(Strategy):
    """Fits, ranks mutants of the best, evaluates the most promising."""

    Settings: ClassVar[type[BananasSettings]] = BananasSettings
    settings: BananasSettings

    def check(self, problem: Problem) -> None:
        """Refuse an unknown predictor or encoding, and settings that the predictor has not."""
        self._predictor(problem, 0)

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, None]:
        """Evaluate batch after batch until the budget is spent or the space is exhausted."""
        s = self.settings
        variation = Variation(problem, rng)
        told: list[Outcome] = []
        candidates = variation.sample(s.initial)
        turn = 0
        while candidates:
            told.extend((yield [Evaluate(candidate, s.epochs) for candidate in candidates]))
            # A choice made of fitted numbers is kept: another machine rounds otherwise.
            seed = int(rng.integers(2**63))
            choose = partial(self._choose, problem, told, variation, seed)
            kept = problem.remember(f"batch/{turn}", choose)
            candidates = [c for c in map(Candidate.from_dict, kept) if variation.claim(c)]
            candidates += variation.sample(s.batch - len(candidates))
            turn += 1

    def _choose(
        self, problem: Problem, told: Sequence[Outcome], variation: Variation, seed: int
    ) -> list[dict[str, Any]]:
        """The most promising new candidates, as plain data."""
        rng = np.random.default_rng(seed)
        pool = self._pool(problem, told, variation, rng)
        readings = sum(outcome.ok for outcome in told)
        if not pool or readings < 2:
            return []
        expected = [
            self._expected(problem, objective, told, pool, rng) for objective in problem.objectives
        ]
        members = [
            _promise(problem, candidate, row)
            for candidate, row in zip(pool, np.stack(expected, axis=1).tolist(), strict=True)
        ]
        best = ordered(members)[: self.settings.batch]
        return [member.candidate.to_dict() for member in best]

    def _pool(
        self,
        problem: Problem,
        told: Sequence[Outcome],
        variation: Variation,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        """New candidates near the best ones."""
        s = self.settings
        alive = [outcome for outcome in told if outcome.ok]
        best = [m.candidate for m in ordered(members_of(problem, alive))[: s.parents]]
        found: dict[str, Candidate] = {}
        for turn in range(4 * s.pool):
            if len(found) == s.pool:
                break
            if not best or rng.random() < s.fresh:
                candidate = problem.candidate(problem.space.sample(rng))
            else:
                candidate = best[turn % len(best)]
                for _ in range(1 + int(rng.poisson(max(0.0, s.mutation - 1.0)))):
                    candidate = problem.mutate(candidate, rng)
            if not variation.knows(candidate):
                found.setdefault(candidate.id, candidate)
        return list(found.values())

    def _expected(
        self,
        problem: Problem,
        objective: Objective,
        told: Sequence[Outcome],
        pool: Sequence[Candidate],
        rng: np.random.Generator,
    ) -> Floats:
        """What to hope of each of the pool: costs (n,), exact where they are known for free."""
        s = self.settings
        free = [problem.free(candidate) for candidate in pool]
        if all(objective.metric in figures for figures in free):
            return np.array([objective.cost(figures) for figures in free])
        predictor = self._predictor(problem, int(rng.integers(2**31)))
        values = [objective.cost(outcome.figures) if outcome.ok else math.nan for outcome in told]
        finite = np.where(np.isfinite(values), values, math.nan)
        predictor.fit([problem.member(outcome.candidate) for outcome in told], finite)
        said = predictor.predict([problem.member(candidate) for candidate in pool])
        if s.acquisition == "greedy":
            return said.mean
        if s.acquisition == "ucb":
            return said.mean - 0.5 * said.std
        return rng.normal(said.mean, said.std)

    def _predictor(self, problem: Problem, seed: int) -> Predictor:
        s = self.settings
        settings = {"encoding": s.encoding, **s.predictor_settings}
        return get_predictor(s.predictor)(problem.space, settings, seed)


def _promise(problem: Problem, candidate: Candidate, costs: Sequence[float]) -> Member:
    """A member of what is hoped for, limits included."""
    figures: Mapping[str, float] = {
        objective.metric: cost if objective.direction == "min" else -cost
        for objective, cost in zip(problem.objectives, costs, strict=True)
    }
    beyond = sum(objective.violation(figures) for objective in problem.objectives)
    return Member(candidate, tuple(costs), (0.0,) * len(costs), beyond, candidate.id)
