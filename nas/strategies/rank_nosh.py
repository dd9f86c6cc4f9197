"""RANK-NOSH: most candidates are trained briefly, and a ranker learns from pairs which to try next.

Wang, Chen, Cheng, Tang & Hsieh, "RANK-NOSH: Efficient Predictor-Based Architecture Search via
Non-Uniform Successive Halving", ICCV 2021. Candidates stand in a pyramid of training budgets
(`nas.strategies.pyramid`). Errors after different budgets are not on one scale, so the ranker is
trained on comparisons: of two candidates on one level the one with the lower error wins, of two
on different levels the higher one. The best-ranked candidates not yet tried enter next.

`mode=paper` is that, as reconstructed from what is public: every pair counts alike, and the best
reading climbs. The default differs so that levels which mislead do less harm (how far that holds is
in `docs/rank-nosh.md`), and in what it can do:

- a pair is compared on the highest level that both were read on, and counts by how far that level
  can be relied on: taken at face value, weak early readings are false supervision;
- how far that is, is inferred from those who climbed, the first of them by lot (`probes`);
- who climbs is decided by the reading as far as its level can be relied on, and by the ranker for
  the rest; a lowest level that is not worth its epochs is passed by newcomers from then on;
- the ranker sees hand-made features of the graph and figures that cost nothing;
- with several objectives, those that training changes each have a ranker, others are exact;
  climbers are chosen by front and crowding, newcomers by the hypervolume they promise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from nas.core.canonical import content_id
from nas.core.config import Settings
from nas.core.config import Settings as SettingsModel
from nas.core.errors import ConfigError
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.registry import close_matches
from nas.core.space import Space
from nas.core.work import Evaluate, Next, Outcome, Request, Start
from nas.strategies.base import Strategy
from nas.strategies.pyramid import Climber, Pyramid
from nas.strategies.scout import NO_RANKER, Scout, ScoutSettings
from predictors import get_predictor
from predictors.pairs import Mode

SLACK: Final = 1e-6  # epochs lost to rounding in sums

PROBES: Final = 2
"""How many climb by lot by default. More tell sooner whether a level lies, but on tables whose
levels do not, four cost what they kept from the top (docs/rank-nosh.md)."""

START: Final = 8
"""Readings on its lowest level that a search needs to begin with."""


class RankNoshSettings(Settings):
    """Settings of RANK-NOSH.

    Attributes:
        mode: `default`, or `paper` for the published rules; what is None below follows it.
        levels: Epochs of each level, increasing; with `level0` one of zero is put below.
        ratio: Share of a level that reaches the next one (r).
        candidates: How many enter in all (M); with `adaptive`, what a pyramid of so many costs
            ends the search.
        first: How many of them are drawn at random (N0).
        batch: How many enter between two trainings of the ranker (K).
        level0: A figure that costs no training, with its direction, such as `synflow:max`, by
            which candidates are weeded out before the first training; None for no such level.
        pairs: `levels` (a higher level wins), `within` (only pairs of one level), `reliability`
            (as `levels`, weighted) or `common` (what both were read for on the highest level that
            they share, weighted).
        predictor: The ranker, one of `nas list predictors`; `none` for random newcomers.
        encoding: What it sees of an architecture; empty for the predictor's own.
        free: Whether it also sees figures that cost nothing.
        whole: A space with no more functionally distinct members is ranked whole for every batch.
        pool: Candidates of a larger one that are ranked: random ones and neighbours of the best.
        schedule: `shared`, one learning-rate schedule over the top level, of which every training
            is a part and continues the one before (a table charges the epochs between); or `own`,
            every training anew, with a schedule of its own length.
        blend: Whether the ranker has a say in who climbs.
        adaptive: Whether newcomers pass levels that say nothing.
        probes: How many climb to each level first, by lot and at once, so that how far the level
            below can be relied on is known early; no more than half of the quota. By default two
            where `pairs` is `common` or `within`, else none.
        reserve: Share of every quota that is held back until everybody has entered, for those who
            come late.
        parallel: 0 for batches; else trainings that go on at any time, nobody waiting for anybody.
    """

    mode: Literal["default", "paper"] = "default"
    levels: tuple[float, ...] = (10.0, 50.0, 100.0, 200.0)
    ratio: float = Field(0.5, gt=0, le=1)
    candidates: int = Field(100, ge=2, le=1_000_000)
    first: int = Field(16, ge=2, le=1_000_000)
    batch: int = Field(10, ge=1, le=100_000)
    level0: str | None = None
    pairs: Mode | None = None
    predictor: str | None = None
    encoding: str = ""
    free: bool | None = None
    whole: int = Field(50_000, ge=1, le=1_000_000)
    pool: int = Field(2_000, ge=10, le=1_000_000)
    schedule: Literal["shared", "own"] = "shared"
    blend: bool | None = None
    adaptive: bool | None = None
    probes: int | None = Field(None, ge=0, le=1000)
    reserve: float = Field(0.0, ge=0, lt=1)
    parallel: int = Field(0, ge=0, le=4096)


class RankNosh(Strategy):
    """Non-uniform successive halving with a ranker that learns from pairs."""

    Settings: ClassVar[type[RankNoshSettings]] = RankNoshSettings
    settings: RankNoshSettings

    def __init__(self, settings: SettingsModel | Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._pyramid()
        if self._scout_settings().predictor != NO_RANKER:
            get_predictor(self._scout_settings().predictor)
        if self.settings.level0 is not None:
            Objective.parse(self.settings.level0)

    def expected(self, space: Space) -> Mapping[str, float]:
        """Evaluations and epochs of the whole pyramid."""
        pyramid, count = self._pyramid(), self.settings.candidates
        return {"epochs": pyramid.cost(count), "evaluations": float(sum(pyramid.counts(count)))}

    def levels(self) -> tuple[float, ...]:
        """Epochs of each level."""
        return self._pyramid().budgets

    def check(self, problem: Problem) -> None:
        """Refuse an unknown encoding, and objectives none of which training changes."""
        self._begin(problem, np.random.default_rng(0))

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, None]:
        """Fill the pyramid; the best on its top level is the answer.

        Raises:
            ConfigError: Training changes none of the objectives.
        """
        search = self._begin(problem, rng)
        if self.settings.parallel:
            yield from self._asynchronously(search)
        else:
            yield from self._in_batches(search)

    def _begin(self, problem: Problem, rng: np.random.Generator) -> _Search:
        return _Search(problem, rng, self.settings, self._pyramid(), self._scout_settings())

    def _in_batches(self, search: _Search) -> Generator[Request, Any, None]:
        while climbers := search.climb() or search.newcomers():
            outcomes = yield [search.work(climber) for climber in climbers]
            for climber, outcome in zip(climbers, outcomes, strict=True):
                search.record(climber, outcome)

    def _asynchronously(self, search: _Search) -> Generator[Request, Any, None]:
        """Whoever is free takes a waiting newcomer, else a promotion, else a new proposal.

        One at a time, this is the batches: a batch enters as a whole before anybody climbs.
        """
        queue: deque[Climber] = deque()
        running: dict[str, Climber] = {}
        while True:
            while len(running) < self.settings.parallel:
                queue.extend([] if queue else search.climb(1) or search.newcomers())
                if not queue:
                    break
                climber = queue.popleft()
                running[climber.candidate.id] = climber
                yield Start([search.work(climber)])
            if not running:
                return
            outcome = yield Next()
            search.record(running.pop(outcome.candidate.id), outcome)

    def _pyramid(self) -> Pyramid:
        s = self.settings
        levels = s.levels if s.level0 is None else (0.0, *s.levels)
        return Pyramid(levels, s.ratio, s.reserve, continued=s.schedule == "shared")

    def _scout_settings(self) -> ScoutSettings:
        s, paper = self.settings, self.settings.mode == "paper"
        return ScoutSettings(
            pairs=s.pairs or ("levels" if paper else "common"),
            predictor=s.predictor or ("pairwise-gin" if paper else "pairwise-linear"),
            encoding=s.encoding,
            free=not paper if s.free is None else s.free,
            whole=s.whole,
            pool=s.pool,
            several=not paper,
        )


class _Search:
    """What one search knows: the pyramid, and a scout who says who is worth a training."""

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        settings: RankNoshSettings,
        pyramid: Pyramid,
        scout: ScoutSettings,
    ) -> None:
        paper = settings.mode == "paper"
        self._settings = settings
        self._pyramid = pyramid
        self._blend = not paper if settings.blend is None else settings.blend
        self._adaptive = not paper if settings.adaptive is None else settings.adaptive
        self._level0 = None if settings.level0 is None else Objective.parse(settings.level0)
        self._scout = Scout(problem, rng, scout, pyramid, self._level0)
        self._left = pyramid.cost(settings.candidates)  # epochs of the whole pyramid
        self._empty = False
        # Elsewhere who was sent higher wins by that alone, which says nothing of who was drawn.
        compared = scout.pairs in ("common", "within")
        probes = PROBES * compared if settings.probes is None else settings.probes
        pyramid.least = [min(probes, n // 2) for n in pyramid.counts(settings.candidates)]

    def newcomers(self) -> list[Climber]:
        """The next batch, on the level where it enters.

        Once nobody more can enter, those whom the reserve lets climb; empty after that.
        """
        first = not self._pyramid.climbers
        level = self._scout.entry_level() if self._adaptive else 0
        if level and self._begin_above(level) and (climbers := self.climb()):
            return climbers
        batch = self._settings.first if first else self._pyramid.counts(self._settings.batch)[level]
        count = self._room(batch, level)
        if count < 1 or self._empty:
            opened, self._pyramid.full = not self._pyramid.full, True
            return self.climb() if opened else []
        chosen = self._scout.draw(count) if first else self._scout.propose(count)
        self._empty = len(chosen) < count  # the space has no more
        return [self._sent(self._pyramid.enter(candidate, level)) for candidate in chosen]

    def _begin_above(self, level: int) -> bool:
        """Let as many of those below a level climb to it as a search needs to begin with there."""
        least, before = self._pyramid.least, self._pyramid.least[level]
        for wanted in range(before + 1, min(START, self._settings.first) + 1):
            kept = least[1 : level + 1]
            least[1 : level + 1] = [max(n, wanted) for n in kept]
            if self._pyramid.outlook(0) > self._left + SLACK:
                least[1 : level + 1] = kept
                break
        return least[level] > before

    def _room(self, wanted: int, level: int) -> int:
        """How many more may enter: no more than M, and than what its pyramid costs pays for."""
        if level == 0:
            wanted = min(wanted, self._settings.candidates - len(self._pyramid.climbers))
        while wanted > 0 and self._pyramid.outlook(wanted, level) > self._left + SLACK:
            wanted -= 1
        return wanted

    def climb(self, most: int | None = None) -> list[Climber]:
        """Those who go one level up now."""
        return [self._sent(climber) for climber in self._pyramid.next_climbers(self._order, most)]

    def _order(self, level: int, climbers: Sequence[Climber]) -> list[Climber]:
        """Who climbs first: the probes by lot, another one on every level, then the best."""
        order = self._scout.order if self._blend else self._scout.order_by_reading
        wanted = max(0, self._pyramid.least[level + 1] - self._pyramid.reached[level + 1])
        probes = sorted(climbers, key=lambda c: content_id([level, c.candidate.id]))[:wanted]
        chosen = {climber.number for climber in probes}
        return probes + [c for c in order(level, climbers) if c.number not in chosen]

    def _sent(self, climber: Climber) -> Climber:
        self._left -= self._pyramid.price(climber)
        return climber

    def work(self, climber: Climber) -> Evaluate:
        """The training that brings a climber to its level."""
        budgets, last = self._pyramid.budgets, climber.last
        shared = budgets[climber.level] > 0 and self._settings.schedule == "shared"
        return Evaluate(
            climber.candidate,
            budgets[climber.level],
            tags={"level": climber.level},
            horizon=budgets[-1] if shared else None,
            since=budgets[last[0]] if shared and last and budgets[last[0]] > 0 else None,
        )

    def record(self, climber: Climber, outcome: Outcome) -> None:
        """Take in what a training gave.

        Raises:
            ConfigError: Nobody reports the figure of level 0.
        """
        level0 = self._level0 if climber.level == 0 and outcome.ok else None
        if level0 is not None and level0.metric not in outcome.figures:
            raise ConfigError(
                f"nobody reports level0={level0.metric!r} without training",
                close_matches(level0.metric, list(outcome.figures)),
            )
        self._pyramid.record(climber, outcome)
