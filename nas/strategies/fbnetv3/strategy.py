"""FBNetV3: architectures and recipes chosen by a predictor, for all limits in one go.

Dai et al., "FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining", CVPR 2021
(method NARS). Stage 1 trains small batches from a quasi-random pool within limits, and a predictor
learns from all of them which to train next; the first batch is trained in full, and says after how
many epochs later trainings may end. Stage 2 trains nothing: for each limit a genetic search finds
the members that the predictor expects the least cost of (`evolution.genetic`).

`mode=paper` is that as far as it is public where we looked; numbers that are not (the batch of the
joint search, those of the genetic search, widths of the predictor) are settings with defaults of
ours. The default differs in what follows from measurements (`benchmarks/nars.py`):

- a stack of predictors that suits few readings, to which free statistics are inputs;
- batches by what can be hoped of predictions beside what is known exactly, spread over the front
  of all objectives by hypervolume, from the pool and from a genetic search around the front;
- where recipes are searched, half of them are drawn near the one that is usual otherwise;
- where short trainings order well enough, many are trained shortly and the best of them go on;
- without `targets`, limits are laid over the range of the first objective that is known exactly.

In both, what is found is trained in full once (`verify`), so that a search whose evaluator trains
nothing afterwards has figures of it.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field, model_validator

from evolution.batch import Acquisition
from evolution.genetic import GeneticSettings
from nas.core.architecture import Candidate
from nas.core.config import Json, Settings
from nas.core.config import Settings as SettingsModel
from nas.core.errors import ConfigError
from nas.core.problem import Problem
from nas.core.space import Space
from nas.core.work import Evaluate, Next, Outcome, Request, Start
from nas.strategies.base import Finding, Strategy
from nas.strategies.fbnetv3.early_stop import Correlation
from nas.strategies.fbnetv3.readings import ROUND, Plan
from nas.strategies.fbnetv3.search import Search
from nas.strategies.fbnetv3.terrain import Target
from nas.strategies.fidelity import promoted
from predictors import get_predictor
from search_spaces.recipes.joint import RecipeSpace

ROUNDS: Final = 10_000
"""More of them than any budget pays for."""

PUBLISHED: Mapping[str, Any] = {
    "pool": 20_000,
    "cheap": 1.0,
    "acquisition": "greedy",
    "predictor": "nars",
    "verify": 1,
    "familiar": False,
}
OURS: Mapping[str, Any] = {
    "pool": 4000,
    "cheap": 0.6,
    "acquisition": "lcb",
    "predictor": "stacked",
    "verify": 2,
    "familiar": True,
    "front": 3,
}
ALONE: Mapping[str, Any] = {
    "statistics": False,
    "members": 1,
    "pretraining": 10_000,
    "freeze": 1_000_000,
    "frozen_steps": 50,
    "steps": 50,
}
"""Settings of the published predictor: one network, frozen for 50 epochs, then 50 of everything."""


class FbnetV3Settings(Settings):
    """Settings of FBNetV3's search.

    Attributes:
        mode: `default`, or `paper` for the published rules; what is None below follows it.
        epochs: Epochs of a training in full; None for the recipe's own.
        levels: Budgets up to `epochs` at which the first batch is read where trainings have no
            curve, as in a table; empty for curves.
        pool: Members of the quasi-random pool, no fewer than `first`; by default 4,000, published
            20,000.
        first: Trainings of the first batch, all in full.
        batch: Trainings of every later batch, in units of one that ends where it may.
        rounds: Batches, the first one included.
        within: Limits that all that is trained keeps besides the objectives', such as
            `4e8<=macs<=8e8`, of what is known without training.
        targets: Limits to find something for; several for one target are joined by commas.
        front: Without `targets`: how many limits are laid over the range of the first objective
            that is known exactly; by default 3, in the paper none.
        threshold: Rank correlation with the end from which a training may end early.
        correlation: Which one: `spearman`, or `kendall` for tau-b.
        cheap: Rank correlation from which short trainings choose who goes on; 1 for no short
            trainings. By default 0.6, published 1.
        widen: One of so many that are trained shortly goes on.
        acquisition: `thompson`, `lcb` or `greedy`, see `evolution.batch`; by default `lcb`,
            published `greedy`.
        predictor: A regressing predictor; by default `stacked`, published `nars`.
        predictor_settings: Its settings.
        verify: How many found for each target are trained in full; by default 2, published 1.
        familiar: Whether, where recipes are searched, every second training of the first batch is
            by the recipe that is usual otherwise, every second recipe of the pool is near it, and
            what differs from it is doubted at first, unless the network is given; by default so,
            published not.
        search: The genetic search.
    """

    mode: Literal["default", "paper"] = "default"
    epochs: float | None = Field(None, gt=0)
    levels: tuple[float, ...] = ()
    pool: int | None = Field(None, ge=1, le=1_000_000)
    first: int = Field(16, ge=2, le=100_000)
    batch: int = Field(16, ge=1, le=100_000)
    rounds: int = Field(4, ge=1, le=ROUNDS)
    within: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    front: int | None = Field(None, ge=1, le=100)
    threshold: float = Field(0.92, gt=0, le=1)
    correlation: Correlation = "spearman"
    cheap: float | None = Field(None, gt=0, le=1)
    widen: float = Field(3.0, gt=1)
    acquisition: Acquisition | None = None
    predictor: str | None = None
    predictor_settings: Json | None = None
    verify: int | None = Field(None, ge=0, le=1000)
    familiar: bool | None = None
    search: GeneticSettings = GeneticSettings()

    @model_validator(mode="after")
    def _levels_grow(self) -> FbnetV3Settings:
        steps = (0.0, *self.levels)
        if any(a >= b for a, b in pairwise(steps)) or steps[-1] > (self.epochs or math.inf):
            raise ConfigError(
                f"levels {list(self.levels)}", "expected growing numbers up to epochs"
            )
        return self

    @model_validator(mode="after")
    def _pool_feeds_the_first_batch(self) -> FbnetV3Settings:
        if self.pool is not None and self.pool < self.first:
            raise ConfigError(
                f"a pool of {self.pool} for a first batch of {self.first}",
                "enlarge the pool, or lower first",
            )
        return self

    @property
    def complete(self) -> FbnetV3Settings:
        """The settings with what follows `mode` filled in."""
        defaults = dict(PUBLISHED if self.mode == "paper" else OURS)
        own = self.predictor_settings is None and self.predictor in (None, "nars")
        if self.mode == "paper" and own:
            defaults["predictor_settings"] = dict(ALONE)
        if self.levels:
            defaults["epochs"] = self.levels[-1]
        defaults["pool"] = max(defaults["pool"], self.first)
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return self.model_copy(update=missing)


class FbnetV3(Strategy):
    """Constrained rounds of trainings, then a search on what the predictor learnt from them."""

    Settings: ClassVar[type[FbnetV3Settings]] = FbnetV3Settings
    settings: FbnetV3Settings

    def __init__(self, settings: SettingsModel | Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._complete = self.settings.complete
        for text in (*self.settings.targets, *self.settings.within):
            _parsed(text)

    @property
    def unending(self) -> FbnetV3:
        """With rounds for ever; what was trained within them counts, found without a training."""
        return FbnetV3(self.settings.model_copy(update={"rounds": ROUNDS}))

    @property
    def unlimited(self) -> FbnetV3:
        """Without targets and what holds for all."""
        return FbnetV3(self.settings.model_copy(update={"targets": (), "within": ()}))

    def sample(self, problem: Problem, count: int, rng: np.random.Generator) -> list[Candidate]:
        """The beginning of a quasi-random pool within all limits."""
        settings = self._complete.model_copy(update={"pool": count})
        terrain = Search(problem, settings, _seed(rng), self._targets()).terrain
        return [problem.candidate(member) for member in terrain.pool]

    def levels(self) -> tuple[float, ...]:
        """Budgets of the first batch, where they are known."""
        s = self._complete
        return tuple(sorted({*s.levels, *(() if s.epochs is None else (s.epochs,))}))

    def expected(self, space: Space) -> Mapping[str, float]:
        """At most so many epochs, where those of one training are known."""
        s = self._complete
        if s.epochs is None:
            return {}
        found = (s.verify or 0) * max(1, len(s.targets), s.front or 1)
        return {"epochs": s.epochs * (s.first + (s.rounds - 1) * s.batch + found)}

    def check(self, problem: Problem) -> None:
        """Refuse an unknown predictor, and limits of what is not known or that leave nothing.

        What is only counted once the data is read is looked at when the search begins.
        """
        s = self._complete
        if self.settings.familiar and not isinstance(problem.space, RecipeSpace):
            raise ConfigError(
                f"familiar=true, but {problem.space.name!r} joins no recipes to networks",
                "leave it out, or search a space called SPACE+recipe",
            )
        if problem.counted is None:
            self._search(problem, 0, self._targets()).terrain.check()
        kind = get_predictor(s.predictor or "")
        kind(problem.space, s.predictor_settings or {}, 0)

    def run(
        self, problem: Problem, rng: np.random.Generator
    ) -> Generator[Request, Any, list[Candidate] | None]:
        """Train batches, then find something for every target and train that in full.

        Raises:
            ConfigError: Limits leave nothing, or are of what is not known without training.
        """
        search = self._search(problem, _seed(rng), self._targets())
        search.terrain.check()
        search.familiar.announce()
        with suppress(GeneratorExit):  # the budget is spent; what was trained counts
            yield from self._first_batch(search, problem)
            for turn in range(2, self.settings.rounds + 1):
                candidates = search.propose(turn)
                if not candidates:
                    break
                yield from self._later_batch(search, problem, candidates, turn)
            return (yield from self._found(search, self._laid(search, problem)))
        targets = self._laid(search, problem)
        return search.best_trained(targets, search.plan.stop) or None

    def find(
        self,
        problem: Problem,
        outcomes: Sequence[Outcome],
        targets: Sequence[str],
        rng: np.random.Generator,
        count: int = 1,
    ) -> list[Finding]:
        """Stage 2 alone; the predictor learns from what was trained.

        Raises:
            ConfigError: Limits leave nothing, or are of what is not known without training.
        """
        parsed = [_parsed(text) for text in targets]
        search = self._search(problem, _seed(rng), parsed)
        search.terrain.check()
        stages: dict[bool, list[Outcome]] = {True: [], False: []}
        for outcome in outcomes:
            if isinstance(outcome.work, Evaluate):
                stages[outcome.work.tags.get(ROUND) == 1].append(outcome)
        search.readings.add(stages[True])
        search.plan, _ = search.decided()
        search.readings.add(stages[False])
        if not search.ready():
            raise ConfigError(
                "there are fewer than two successful trainings to learn from", "let it search first"
            )
        return [
            finding
            for number, target in enumerate(parsed)
            for finding in search.find(target, count, f"target-{number}")
        ]

    def _search(self, problem: Problem, seed: int, targets: Sequence[Target]) -> Search:
        return Search(problem, self._complete, seed, targets)

    def _targets(self) -> list[Target]:
        return [Target.parse(text) for text in self.settings.targets]

    def _first_batch(self, search: Search, problem: Problem) -> Generator[Request, Any, None]:
        """Train some of the pool in full; what is read on the way says how long others need."""
        epochs = self._complete.epochs
        candidates = search.take(problem.remember("batch-1", search.start))
        since = None
        for level in self.levels() or (None,):
            works = [Plan(epochs, epochs).work(c, level, since, 1) for c in candidates]
            told = yield from _trained(search, works)
            candidates = [outcome.candidate for outcome in told if outcome.ok]
            since = level

        def decide() -> dict[str, Any]:
            plan, found = search.decided()
            return {**asdict(plan), "correlations": [round(value, 4) for value in found]}

        decided = problem.remember("plan", decide)
        search.plan = Plan(decided["full"], decided["stop"], decided["cheap"])
        problem.announce("early stop", decided)

    def _later_batch(
        self, search: Search, problem: Problem, candidates: Sequence[Candidate], turn: int
    ) -> Generator[Request, Any, None]:
        plan = search.plan
        if plan.cheap is not None:
            works = [plan.work(c, plan.cheap, None, turn) for c in candidates]
            told = yield from _trained(search, works)
            candidates = promoted(problem, told, search.promoted(len(told)))
        works = [plan.work(c, plan.stop, plan.cheap, turn) for c in candidates]
        yield from _trained(search, works)

    def _laid(self, search: Search, problem: Problem) -> list[Target]:
        """The targets: those asked for, or limits over the range of a known objective."""
        if self.settings.targets:
            return self._targets()
        known = [o for o in problem.objectives if o.metric in search.knowledge.metrics]
        count = self._complete.front
        if not known or count is None:
            return [Target()]
        texts = problem.remember("targets", partial(search.terrain.spread, known[0], count))
        return [Target.parse(text) for text in texts]

    def _found(
        self, search: Search, targets: Sequence[Target]
    ) -> Generator[Request, Any, list[Candidate]]:
        """Find, train in full, and take the best of each target."""
        s, plan = self._complete, search.plan
        findings = [
            search.find(target, max(1, s.verify or 0), f"target-{number}")
            for number, target in enumerate(targets)
        ]
        named = [[search.trained_as(f.candidate) for f in found] for found in findings]
        if s.verify:
            done = search.readings.at(plan.full)
            left = dict.fromkeys(c for found in named for c in found if c.id not in done)
            since = search.readings.reached
            works = [plan.work(c, plan.full, since(c), "verify") for c in left]
            yield from _trained(search, works)
        if s.mode == "paper" or not s.verify:
            return list(dict.fromkeys(found[0] for found in named if found))
        return search.best_trained(targets, plan.full)


def _trained(search: Search, works: Sequence[Evaluate]) -> Generator[Request, Any, list[Outcome]]:
    """Have different works done, and take in the outcomes in the order of the works.

    Those that are done when the budget is spent are taken in as well.
    """
    told: dict[str, Outcome] = {}
    yield Start(works)
    try:
        for _ in works:
            outcome = yield Next()
            told[outcome.work.key] = outcome
    finally:
        done = [told[work.key] for work in works if work.key in told]
        search.readings.add(done)
    return done


def _parsed(text: str) -> Target:
    """A target of at least one limit."""
    target = Target.parse(text)
    if not target.bands:
        raise ConfigError("a limit is empty", "give METRIC<=LIMIT, or leave it out")
    return target


def _seed(rng: np.random.Generator) -> int:
    """The seed of a search: the first thing that is drawn, so that it can be had again."""
    return int(rng.integers(2**63))
