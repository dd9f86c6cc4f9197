"""RANK-NOSH's scout: learns from the pyramid's readings who is worth a training next.

What it decides goes through `problem.remember`, scores included, so that a resumed search takes
the same decisions without a ranker being trained again, on another machine, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import Field

from evolution.quality import hypervolume, reference_point
from evolution.selection import crowding, ranks
from nas.core.architecture import Architecture, Candidate
from nas.core.config import Settings
from nas.core.errors import ConfigError
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.work import Outcome
from nas.strategies.pyramid import Climber, Pyramid
from nas.strategies.reliability import UNKNOWN, Floats, Readings, places
from predictors import Labels, get_predictor
from predictors.pairs import Mode

if TYPE_CHECKING:
    from predictors.base import Predictor

NO_RANKER: Final = "none"
"""The name of no predictor: newcomers are drawn at random."""

EXACT: Final = frozenset({"params", "macs", "latency_ms", "memory_mb", "energy_j"})
"""Figures that training does not change: known for good after the first reading."""

BEST: Final = 10
"""Best candidates whose neighbourhood is ranked, too, where a space cannot be ranked whole."""

ENOUGH: Final = 5
"""Readings of a level from which scores are told in its units."""

SHORTLIST: Final = 200
"""Candidates, by predicted front, whose hypervolume is worked out."""


class ScoutSettings(Settings):
    """Settings of the scout; see `RankNoshSettings` for those not described here.

    Attributes:
        several: Whether all objectives count, or only the first one.
    """

    pairs: Mode = "common"
    predictor: str = "pairwise-linear"
    encoding: str = ""
    free: bool = True
    whole: int = Field(50_000, ge=1)
    pool: int = Field(2_000, ge=10)
    several: bool = True


class Scout:
    """Draws, ranks and proposes candidates.

    Args:
        problem: The space and the objectives.
        rng: Of the search.
        settings: How.
        pyramid: Read, never changed.
        level0: The objective of level 0, None if there is no such level.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        settings: ScoutSettings,
        pyramid: Pyramid,
        level0: Objective | None = None,
    ) -> None:
        self._problem, self._rng, self._settings = problem, rng, settings
        self._pyramid, self._level0 = pyramid, level0
        several = settings.several and len(problem.objectives) > 1
        self._objectives = problem.objectives if several else problem.objectives[:1]
        self._learned = [i for i, o in enumerate(self._objectives) if o.metric not in EXACT]
        if not self._learned:
            raise ConfigError(
                f"training changes none of the objectives ({self._objectives[0]}, ...)",
                "add one that it does, such as error:min",
            )
        if settings.predictor != NO_RANKER:
            self._predictor(settings.predictor, 0)  # what is wrong with it is said at once
        self._scores: dict[str, list[float]] = {}  # by candidate, one for each learned objective
        self._figures: dict[str, Mapping[str, float]] = {}  # that cost nothing, by architecture
        self._round = 0
        self._readings = Readings(pyramid, self._objectives, self._learned, level0)
        self._trust = self._trusted()
        self._known: set[str] = set()  # functional identity of whoever was named

    # -- who enters ------------------------------------------------------------------------

    def entry_level(self) -> int:
        """The level on which newcomers should enter."""
        return self._readings.entry_level()

    def draw(self, count: int) -> list[Candidate]:
        """`count` random candidates, none of them equal to one named before."""
        drawn: list[Candidate] = []
        for _ in range(100 * count):
            if len(drawn) == count:
                break
            candidate = self._problem.candidate(self._problem.space.sample(self._rng))
            if self._name(candidate):
                drawn.append(candidate)
        return drawn

    def propose(self, count: int) -> list[Candidate]:
        """The most promising candidates not named before; random ones while nothing is known."""
        seed = int(self._rng.integers(2**63))
        read = sum(c.last is not None for c in self._pyramid.climbers.values())
        if read < 2 or self._settings.predictor == NO_RANKER:
            return self.draw(count)
        self._round += 1
        self._trust = self._trusted()
        told = self._problem.remember(f"round-{self._round}", lambda: self._decide(count, seed))
        self._scores.update(told["scores"])
        space = self._problem.space
        chosen = [self._problem.candidate(space.architecture(c)) for c in told["newcomers"]]
        for candidate in chosen:
            self._name(candidate)
        self._problem.announce(
            "ranking",
            {
                "round": self._round,
                "reliability": self._trust[self._learned[0]],
                "read": told["read"],
            },
        )
        return chosen

    def _decide(self, count: int, seed: int) -> dict[str, Any]:
        read = [c for c in self._pyramid.climbers.values() if c.last is not None]
        pool = self._within_limits(self._unnamed(np.random.default_rng(seed)))
        both = [self._problem.member(climber.candidate) for climber in read] + pool
        free = self._free(both)
        scores = np.stack([self._rank(i, read, both, free, seed) for i in self._learned], axis=1)
        of_pool = scores[len(read) :]
        if len(self._objectives) == 1:
            best = [int(row) for row in np.argsort(of_pool[:, 0], kind="stable")[:count]]
        else:
            costs = self._predict(read, both, scores, free, seed)
            best = self._promising(costs[: len(read)], costs[len(read) :], count)
        return {
            "newcomers": [dict(pool[i].choices) for i in best],
            "scores": {c.candidate.id: list(scores[i]) for i, c in enumerate(read)}
            | {self._problem.candidate(pool[i]).id: list(of_pool[i]) for i in best},
            "read": len(read),
        }

    def _rank(
        self,
        objective: int,
        read: Sequence[Climber],
        architectures: Sequence[Architecture],
        free: Floats | None,
        seed: int,
    ) -> Floats:
        """Scores of `architectures`, the first of which are those read; less is better."""
        labels = Labels(
            np.array([self._readings.cost(objective, climber.last) for climber in read]),
            np.array([climber.last[0] if climber.last else 0 for climber in read]),
            np.array(self._trust[objective]),
            self._readings.history(objective, read),
        )
        ranker = self._predictor(self._settings.predictor, seed)
        ranker.fit(architectures[: len(read)], labels, None if free is None else free[: len(read)])
        return np.asarray(ranker.rank(architectures, free), dtype=np.float64)

    def _predictor(self, name: str, seed: int) -> Predictor:
        kind = get_predictor(name)
        wanted = {"mode": self._settings.pairs, "encoding": self._settings.encoding}
        # A regressor knows no pairs; every predictor has an encoding of its own choice.
        given = {k: v for k, v in wanted.items() if v and k in kind.Settings.model_fields}
        return kind(self._problem.space, given, seed)

    def _free(self, architectures: Sequence[Architecture]) -> Floats | None:
        """Figures that cost nothing `(n, k)`; None if there are none or they are not wanted."""
        if not self._settings.free or not self._known_of(architectures[0]):
            return None
        rows = [list(self._known_of(architecture).values()) for architecture in architectures]
        return np.array(rows, dtype=np.float64)

    def _known_of(self, architecture: Architecture) -> Mapping[str, float]:
        figures = self._figures.get(architecture.id)
        if figures is None:
            figures = self._problem.free(self._problem.candidate(architecture))
            self._figures[architecture.id] = figures
        return figures

    def _unnamed(self, rng: np.random.Generator) -> list[Architecture]:
        """Whom to rank: everybody, or in a large space a sample and the best ones' neighbours."""
        problem, space = self._problem, self._problem.space
        size = space.size
        if size is not None and size <= self._settings.whole:
            return [a for name, a in space.distinct.items() if name not in self._known]
        drawn = [space.sample(rng) for _ in range(self._settings.pool // 2)]
        best = sorted(self._leaders(), key=problem.rank_key)[:BEST]
        each = self._settings.pool // 2 // max(1, len(best))
        for outcome in best:
            drawn += islice(space.neighbors(problem.member(outcome.candidate)), each)
        found: dict[str, Architecture] = {}
        for architecture in drawn:
            found.setdefault(space.identity(architecture), architecture)
        return [a for name, a in found.items() if name not in self._known]

    def _within_limits(self, architectures: list[Architecture]) -> list[Architecture]:
        """Without those that are known to break a limit, if any are left then."""
        limits = [o for o in self._problem.objectives if o.limit is not None]
        if not limits:
            return architectures
        kept = []
        for architecture in architectures:
            figures = self._known_of(architecture)
            if all(o.feasible(figures) for o in limits if o.metric in figures):
                kept.append(architecture)
        return kept or architectures

    def _leaders(self) -> list[Outcome]:
        """Readings on the highest level that anybody has finished."""
        last = [c.last for c in self._pyramid.climbers.values() if c.last is not None]
        highest = max(level for level, _ in last)
        return [outcome for level, outcome in last if level == highest]

    def _name(self, candidate: Candidate) -> bool:
        """Remember that the candidate was named; tells whether it was the first time."""
        identity = self._problem.space.identity(self._problem.member(candidate))
        new = identity not in self._known
        self._known.add(identity)
        return new

    # -- several objectives ----------------------------------------------------------------

    def _predict(
        self,
        read: Sequence[Climber],
        architectures: Sequence[Architecture],
        scores: Floats,
        free: Floats | None,
        seed: int,
    ) -> Floats:
        """Expected costs of everybody at the top `(n, objectives)`, measured ones where known."""
        costs = np.empty((len(architectures), len(self._objectives)))
        for index, objective in enumerate(self._objectives):
            measured = np.array([self._readings.cost(index, climber.last) for climber in read])
            if index in self._learned:
                column = scores[:, self._learned.index(index)]
                costs[:, index] = self._calibrated(index, read, column)
                continue
            known = [self._known_of(architecture) for architecture in architectures]
            if all(objective.metric in figures for figures in known):
                costs[:, index] = [objective.cost(figures) for figures in known]
                continue
            model = self._predictor("forest", seed)
            model.fit(
                architectures[: len(read)], measured, None if free is None else free[: len(read)]
            )
            costs[:, index] = model.predict(architectures, free).mean
            costs[: len(read), index] = measured
        return costs

    def _calibrated(self, objective: int, read: Sequence[Climber], scores: Floats) -> Floats:
        """Scores as costs on the highest level of which enough is known, by a straight line."""
        levels = range(len(self._pyramid.budgets))
        level = max((n for n in levels if len(self._pyramid.on_level(n)) >= ENOUGH), default=0)
        rows = [row for row, climber in enumerate(read) if level in climber.readings]
        x = scores[rows]
        y = np.array(
            [self._readings.cost(objective, (level, read[row].readings[level])) for row in rows]
        )
        spread = float(np.var(x)) if len(rows) else 0.0
        slope = max(0.0, float(np.cov(x, y, bias=True)[0, 1]) / spread) if spread > 0 else 0.0
        center = (float(np.mean(x)), float(np.mean(y))) if rows else (0.0, 0.0)
        costs: Floats = center[1] + slope * (scores - center[0])
        costs[rows] = y
        return costs

    def _promising(self, read: Floats, pool: Floats, count: int) -> list[int]:
        """Rows of `pool` that add most to the hypervolume, each beside those chosen before it."""
        read = read[np.isfinite(read).all(axis=1)]
        ceilings = [objective.ceiling for objective in self._objectives]
        feasible = (pool <= ceilings).all(axis=1)
        rows = np.flatnonzero(feasible) if feasible.any() else np.arange(len(pool))
        fronts = ranks(pool[rows])
        order = np.lexsort((-crowding(pool[rows], fronts), fronts))[: max(SHORTLIST, count)]
        left = [int(rows[i]) for i in order]
        corner = reference_point(np.concatenate([read, pool[left]]))
        held = read[(read <= ceilings).all(axis=1)]
        chosen: list[int] = []
        while left and len(chosen) < count:
            volumes = [hypervolume(np.vstack([held, pool[row]]), corner) for row in left]
            best = int(np.argmax(volumes))
            held = np.vstack([held, pool[left[best]]])
            chosen.append(left.pop(best))
        return chosen

    # -- who climbs ------------------------------------------------------------------------

    def order_by_reading(self, level: int, climbers: Sequence[Climber]) -> list[Climber]:
        """From best to worst by what was read on the level; ties in order of entry.

        All that is compared, here and in `order`, is compared among everybody read on the level,
        so that it does not change while some of them climb.
        """
        everybody = self._pyramid.on_level(level)
        return self._sorted(climbers, everybody, self._readings.costs(level, everybody))

    def order(self, level: int, climbers: Sequence[Climber]) -> list[Climber]:
        """As `order_by_reading`, the ranker having a say as far as the level is unreliable.

        Readings and scores are compared as places from 0 to 1. A level as reliable as one just
        below the top of which nothing is known, or more, is taken at its word. What the ranker says
        and how far a level is relied on are those of the last round.
        """
        everybody = self._pyramid.on_level(level)
        costs = self._readings.costs(level, everybody)
        for column, index in enumerate(self._learned):
            read = places(costs[:, index])
            said = [self._scores.get(climber.candidate.id) for climber in everybody]
            scores = np.array([math.nan if s is None else s[column] for s in said])
            relied = min(1.0, self._trust[index][level] / UNKNOWN)
            trust = np.where(np.isnan(scores), 1.0, relied)
            costs[:, index] = trust * read + (1 - trust) * places(scores)
        return self._sorted(climbers, everybody, costs)

    def _sorted(
        self, climbers: Sequence[Climber], everybody: Sequence[Climber], costs: Floats
    ) -> list[Climber]:
        numbers = np.array([climber.number for climber in everybody])
        beyond = np.array([self._violation(climber) for climber in everybody])
        if costs.shape[1] == 1:
            order = np.lexsort((numbers, costs[:, 0], beyond))
        else:
            fronts = ranks(costs, beyond)
            order = np.lexsort((numbers, -crowding(costs, fronts), fronts))
        wanted = {climber.number for climber in climbers}
        return [everybody[place] for place in order if everybody[place].number in wanted]

    def _violation(self, climber: Climber) -> float:
        last = climber.last
        if last is None or (self._level0 is not None and last[0] == 0):
            return 0.0
        return self._problem.violation(last[1])

    def _trusted(self) -> dict[int, list[float]]:
        return {index: self._readings.reliability(index) for index in self._learned}
