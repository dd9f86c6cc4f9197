"""One search of FBNetV3: what was read, what it makes the predictor expect, who is next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from evolution.batch import choose_batch
from evolution.genetic import genetic_front, genetic_search
from nas.core.architecture import Architecture, Candidate
from nas.core.problem import Problem
from nas.core.seeds import derive
from nas.strategies.base import Finding
from nas.strategies.fbnetv3.familiar import Familiar
from nas.strategies.fbnetv3.readings import Plan, Readings, Rules
from nas.strategies.fbnetv3.surrogate import Knowledge, Surrogate
from nas.strategies.fbnetv3.terrain import Target, Terrain

if TYPE_CHECKING:
    from nas.strategies.fbnetv3.strategy import FbnetV3Settings

__all__ = ["Search"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class Search:
    """What a search knows; a function of settings, seed and outcomes.

    Args:
        problem: What is searched.
        settings: Complete ones.
        seed: Of all chance.
        targets: To find something for.

    Raises:
        ConfigError: Problem and settings do not fit.
    """

    def __init__(
        self, problem: Problem, settings: FbnetV3Settings, seed: int, targets: Sequence[Target]
    ) -> None:
        s = self._settings = settings
        self._problem, self._seed = problem, seed
        self.knowledge = Knowledge(problem)
        self.surrogate = Surrogate(
            problem,
            self.knowledge,
            s.predictor or "",
            s.predictor_settings or {},
            derive(seed, "surrogate"),
            statistics=s.mode != "paper",
        )
        self.terrain = Terrain(
            problem, self.knowledge, s.within, targets, s.pool or 1, derive(seed, "terrain")
        )
        self.familiar = Familiar(problem, bool(s.familiar))
        self.readings = Readings(problem, self.surrogate.learned)
        self.plan = Plan(s.epochs, s.epochs)
        self._trained: dict[str, Candidate] = {}  # by what they compute
        self._next = 0  # place in the pool
        self._fitted = 0  # outcomes that the predictor has learnt from
        self._informed = False

    # -- stage 1 -----------------------------------------------------------------------------

    @cached_property
    def pool(self) -> list[Architecture]:
        """The terrain's; in a joint space every second recipe of it is drawn near the usual one."""
        rng = np.random.default_rng(derive(self._seed, "familiar"))
        return self.familiar.pool(self.terrain.pool, self.terrain.distance, rng)

    def drawn(self, count: int) -> list[Candidate]:
        """The next members of the pool that were not trained."""
        found: list[Candidate] = []
        while self._next < len(self.pool) and len(found) < count:
            member = self.pool[self._next]
            self._next += 1
            if self.claim(member):
                found.append(self._problem.candidate(member))
        return found

    def claim(self, member: Architecture) -> bool:
        """Remember that a member is trained; whether nobody was that computes the same."""
        candidate = self._problem.candidate(member)
        kept = self._trained.setdefault(self._problem.space.identity(member), candidate)
        return kept is candidate

    def trained_as(self, candidate: Candidate) -> Candidate:
        """The candidate that computes the same and was trained; itself if none was."""
        member = self._problem.member(candidate)
        return self._trained.get(self._problem.space.identity(member), candidate)

    def start(self) -> list[dict[str, Any]]:
        """Choices of the first batch."""
        first = self.familiar.first(self.terrain.pool, self._settings.first)
        return [dict(member.choices) for member in first]

    def take(self, chosen: Sequence[Mapping[str, Any]]) -> list[Candidate]:
        """Candidates of members that nobody trained yet; they are claimed."""
        members = [self._problem.space.architecture(choices) for choices in chosen]
        return [self._problem.candidate(member) for member in members if self.claim(member)]

    def decided(self) -> tuple[Plan, list[float]]:
        """How long later trainings are, by the first batch; see `Readings.plan`."""
        s = self._settings
        rules = Rules(s.threshold, s.cheap or 1.0, s.widen, s.correlation)
        return self.readings.plan(s.epochs, s.levels, rules)

    def width(self) -> int:
        """How many are trained shortly in a batch, or in all where there are no short trainings.

        Together they cost what a batch without short trainings would.
        """
        plan, batch = self.plan, self._settings.batch
        if plan.cheap is None or plan.stop is None:
            return batch
        each = plan.cheap + (plan.stop - plan.cheap) / self._settings.widen
        return max(1, math.floor(batch * plan.stop / each))

    def promoted(self, count: int) -> int:
        """How many of those trained shortly go on."""
        return math.ceil(count / self._settings.widen)

    def propose(self, turn: int) -> list[Candidate]:
        """The next batch; the predictor learns from everything first. Those drawn are claimed."""
        chosen = self._problem.remember(f"batch-{turn}", partial(self._choose, turn))
        found = self.take(chosen)
        return found + self.drawn(self.width() - len(found))

    def _choose(self, turn: int) -> list[dict[str, Any]]:
        s, seed = self._settings, derive(self._seed, "batch", turn)
        if not self.ready():
            return []
        rng = np.random.default_rng(seed)
        crowd = self._crowd(rng)
        if not crowd:
            return []
        means, stds = self._wished(crowd)
        held, _ = self._expected([self._problem.member(c) for c in self.readings.candidates])
        columns = self.surrogate.learned[:1] if s.mode == "paper" else slice(None)
        rows = choose_batch(
            means[:, columns],
            stds[:, columns],
            held[:, columns],
            self.width(),
            s.acquisition or "greedy",
            rng,
        )
        return [dict(crowd[row].choices) for row in rows]

    def _expected(self, members: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """As the surrogate; whoever is expected to break a limit is far off in all objectives."""
        means, stds = self.surrogate.expected(members)
        broken = self.surrogate.broken(means)
        worst = np.abs(means).max(axis=0, initial=1.0)
        return means + broken[:, None] * worst, stds

    def _crowd(self, rng: np.random.Generator) -> list[Architecture]:
        """Whom to choose from: the pool, and by default what a search around the best finds."""
        identity = self._problem.space.identity
        pool = [m for m in self.pool if identity(m) not in self._trained]
        if self._settings.mode == "paper":
            return pool
        read = [self._problem.member(candidate) for candidate in self.readings.candidates]
        first = [*read, *pool[: self._settings.search.random]]
        if len(self._problem.objectives) > 1:
            evolved = genetic_front(
                self._problem.space,
                first,
                self._hoped,
                self.terrain.distance,
                self._settings.search,
                rng,
            )
        else:
            evolved = genetic_search(
                self._problem.space,
                first,
                lambda members: self._hoped(members)[:, 0],
                self.terrain.distance,
                self._settings.search,
                rng,
            ).members
        found = {identity(member): member for member in [*pool, *evolved]}
        return [member for name, member in found.items() if name not in self._trained]

    def _hoped(self, members: Sequence[Architecture]) -> Floats:
        means, stds = self._wished(members)
        return means - stds

    def _wished(self, members: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """As expected, but that recipes far from the usual one are taken to cost more."""
        means, stds = self._expected(members)
        goal = self.surrogate.learned[0]
        read = self.readings.at(self.plan.stop).values()
        costs = np.array([found[goal] for found in read])
        means[:, goal] += self.familiar.doubts(members, costs)
        return means, stds

    # -- stage 2 -----------------------------------------------------------------------------

    def find(self, target: Target, count: int, name: str) -> list[Finding]:
        """The best that is expected within a target, at most so many, without a training."""
        told = self._problem.remember(name, partial(self._genetic, target, count, name))
        space, learned = self._problem.space, self.surrogate.learned
        names = [self._problem.objectives[index].metric for index in learned]
        found = []
        for row in told["found"]:
            member = space.architecture(row["choices"])
            found.append(
                Finding(
                    str(target),
                    self._problem.candidate(member),
                    dict(zip(names, row["expected"], strict=True)),
                    dict(zip(names, row["deviation"], strict=True)),
                    dict(self.knowledge(member)),
                )
            )
        self._problem.announce(
            "target",
            {"target": str(target), "scored": told["scored"], "history": told["history"]},
        )
        return found

    def best_trained(self, targets: Sequence[Target], epochs: float | None) -> list[Candidate]:
        """Who did best within each target after so many epochs, each once.

        By limits, then by the first objective that training changes.
        """
        read = self.readings.at(epochs)
        first = self.surrogate.learned[0]
        found: dict[Candidate, None] = {}
        for target in targets:
            keys = []
            for candidate in self.readings.candidates:
                member = self._problem.member(candidate)
                if candidate.id in read and self.terrain.distance_to(target, member) <= 0:
                    costs = read[candidate.id]
                    beyond = float(self.surrogate.broken(costs[None])[0])
                    keys.append(((beyond, float(costs[first]), candidate.id), candidate))
            if keys:
                found[min(keys, key=lambda item: item[0])[1]] = None
        return list(found)

    def ready(self) -> bool:
        """Let the predictor learn from all there is; whether that was anything."""
        count = len(self.readings)
        if self._fitted != count:
            self._informed = self.surrogate.fit(self.readings.of(self.plan))
            self._fitted = count
        return self._informed

    def _genetic(self, target: Target, count: int, name: str) -> dict[str, Any]:
        s, seed = self._settings, derive(self._seed, "find", name)
        near = partial(self.terrain.distance_to, target)
        read = [self._problem.member(candidate) for candidate in self.readings.candidates]
        read = [member for member in read if near(member) <= 0]
        if not self.ready():
            return {"found": [], "scored": 0, "history": []}
        order = np.argsort(self.surrogate.scores(read), kind="stable")
        first = [read[int(row)] for row in order[: s.search.best]]
        # Somebody has to be there to begin with.
        drawn = s.search.random or (0 if first else s.search.best)
        first += self.terrain.some(target, drawn, seed)
        found = genetic_search(
            self._problem.space,
            first,
            self.surrogate.scores,
            near,
            s.search,
            np.random.default_rng(seed),
        )
        distinct: dict[str, Architecture] = {}
        for member in found.members:
            distinct.setdefault(self._problem.space.identity(member), member)
        best = list(distinct.values())[:count]
        means, stds = self.surrogate.expected(best)
        return {
            "found": [
                {
                    "choices": dict(member.choices),
                    "expected": [self._figure(i, mean[i]) for i in self.surrogate.learned],
                    "deviation": [float(std[i]) for i in self.surrogate.learned],
                }
                for member, mean, std in zip(best, means, stds, strict=True)
            ],
            "scored": found.scored,
            "history": found.history,
        }

    def _figure(self, index: int, cost: float) -> float:
        """A figure from its cost."""
        return float(cost if self._problem.objectives[index].direction == "min" else -cost)
