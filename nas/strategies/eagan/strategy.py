"""EAGAN: generators are searched against one discriminator, then discriminators with one generator.

Ying et al., "EAGAN: Efficient Two-stage Evolutionary Architecture Search for GANs", ECCV 2022,
Algorithm 1. Stage 1 is many-to-one: a supernet of generators is trained against one discriminator,
and a population of its paths evolves. Stage 2 is one-to-one: every discriminator of a population
trains its own copy of the generator that was found, by which it is judged; before each round all
copies get the weights of the best one.

Where we differ (`mode=paper` is the other way): the last front is cut by crowding (NSGA-II), only
differences that exceed chance count, what is far behind cannot survive by its size; discriminators
are trained in several pairs each, and stage 2 ends where no gain over the discriminator of stage 1
can be told from chance. The numerics live in `nas.oneshot` and are asked for by calls to the
session "gan".
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from evolution.member import Member
from nas.core.architecture import Candidate
from nas.core.errors import CandidateError, ConfigError, NasError, UnsupportedError
from nas.core.problem import Problem
from nas.core.work import Call, Outcome, Request
from nas.strategies.base import Strategy
from nas.strategies.eagan.gain import Gain, gain_over
from nas.strategies.eagan.population import Figures, Population
from nas.strategies.eagan.readings import (
    SIZES,
    able,
    challengers,
    chance_of,
    error_of_means,
    mean,
    ranking,
    words,
)
from nas.strategies.eagan.settings import EaganSettings
from search_spaces import get_space
from search_spaces.gan.space import PAIR, GanSpace

__all__ = ["SESSION", "Eagan"]

SESSION = "gan"
GENERATOR, DISCRIMINATOR = "generator", "discriminator"

Steps = Generator[Request, Any, None]


class Eagan(Strategy):
    """Two-stage evolution of a generator and a discriminator that share weights with others."""

    Settings: ClassVar[type[EaganSettings]] = EaganSettings
    settings: EaganSettings
    sessions: ClassVar[Mapping[str, str]] = {SESSION: "gan-supernet"}

    def check(self, problem: Problem) -> None:
        """Refuse other spaces, and objectives that a supernet cannot be scored by.

        Raises:
            UnsupportedError: The space has no generators and discriminators that share weights.
            ConfigError: An objective needs a training, or the discriminator is none.
        """
        space = problem.space
        if not isinstance(space, GanSpace):
            raise UnsupportedError(
                f"strategy 'eagan' needs a supernet of GANs, which {space.name!r} has not",
                "use one that samples, e.g. --strategy regularized-evolution",
            )
        first, *rest = [objective.metric for objective in problem.objectives]
        if problem.objectives[0].direction == "max":
            raise ConfigError(
                f"the first objective of eagan is {first}:max, but a distance is to be small",
                f"say {first}:min",
            )
        if not first.startswith("fd_") or first.startswith("fd_inf_") or first.endswith("_se"):
            raise ConfigError(
                f"the first objective of eagan is {first!r}",
                "name the distance, e.g. fd_classifier",
            )
        for name in rest:
            score = name.startswith("is_") and not name.endswith("_se")
            if name not in SIZES and not score:
                raise ConfigError(
                    f"eagan cannot score a supernet by {name!r}",
                    f"use one of {', '.join(SIZES)}, is_NAME",
                )
        held_discriminator(space, self.settings)

    def run(
        self, problem: Problem, rng: np.random.Generator
    ) -> Generator[Request, Any, list[Candidate]]:
        """Search generators, then discriminators.

        What was found is what there is where the budget ends it, or training fails for good.

        Returns:
            Pairs: the best generator, and others of its front, with the discriminator found.
        """
        self.check(problem)
        search = Search(problem, rng, self.settings.resolved)
        try:
            yield from search.generators()
            yield from search.discriminators()
        except GeneratorExit:
            if not search.found:
                raise
        except CandidateError as error:
            if not search.found:
                raise
            search.give_up(error)
        return search.found


def held_discriminator(space: GanSpace, settings: EaganSettings) -> Any:
    """The discriminator of stage 1, a member of `gan-discriminator`.

    Raises:
        ConfigError: The settings name none.
    """
    discriminators: Any = get_space("gan-discriminator")
    if DISCRIMINATOR in space.held:
        return discriminators.from_paths({DISCRIMINATOR: space.held[DISCRIMINATOR]})
    name = settings.generators.discriminator
    if name in discriminators.members:
        return discriminators.members[name]
    try:
        return discriminators.parse(name)
    except NasError as error:
        known = ", ".join(discriminators.members)
        raise ConfigError(
            f"generators.discriminator={name!r}: {error.message}",
            f"expected {known}, or a genotype",
        ) from None


class Search:
    """One run of the algorithm.

    Args:
        problem: Its space is that of pairs, or of one part.
        rng: All chance.
        settings: Resolved.

    Attributes:
        found: Pairs, the best one first; empty before there is one.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, settings: EaganSettings) -> None:
        self._problem, self._rng, self._settings = problem, rng, settings
        space: Any = problem.space
        self._space: GanSpace = space
        self._pairs: Any = get_space(PAIR)
        self._fixed = held_discriminator(space, settings)
        self._decided = False  # the generator
        self.found: list[Candidate] = []

    # -- stage 1: many to one ---------------------------------------------------------------------

    def generators(self) -> Steps:
        """Evolve the paths of a supernet of generators against one discriminator."""
        s = self._settings.generators
        discriminators: Any = get_space("gan-discriminator")
        yield from _ask("begin", discriminator=discriminators.format(self._fixed))
        population = self._population(GENERATOR, DISCRIMINATOR, self._fixed, s.population)
        if GENERATOR in self._space.held:  # it is trained, and nothing else
            generators: Any = get_space("gan-generator")
            own = generators.from_paths({GENERATOR: self._space.held[GENERATOR]})
            self.found = [population.problem.candidate(own)]
            held = [population.text(self.found[0])]
            yield from self._epochs("train", max(1, s.warmup), paths=held)
            return
        yield from self._epochs("train", s.warmup, paths=None)
        population.begin()
        for number in range(s.rounds):
            yield from self._epochs("train", s.epochs, paths=population.texts())
            scores = yield from _ask("score", paths=population.texts())
            members = population.members(scores)
            self._tell(population, 1, number, scores)
            best = population.best(members)
            if not math.isfinite(best.violation):
                raise CandidateError("no generator makes images", "lower the learning rates")
            front = [m.candidate for m, at in population.graded(members) if at == 0]
            order = dict.fromkeys([best.candidate, *front])
            self.found = list(order)[: self._settings.picks]
            if number + 1 < s.rounds:
                population.next_round(members)
        self._decide(GENERATOR, population.text(self.found[0]), best.costs[0])
        self._decided = True

    # -- stage 2: one to one ----------------------------------------------------------------------

    def discriminators(self) -> Steps:
        """Evolve discriminators, each judged by its own copies of the generator found."""
        s = self._settings.discriminators
        if DISCRIMINATOR in self._space.held or not s.rounds:
            return
        generators: Any = get_space("gan-generator")
        generator = generators.member(self.found[0])
        population = self._population(DISCRIMINATOR, GENERATOR, generator, s.population)
        held = population.problem.candidate(self._fixed)
        yield from _ask("pair", generator=generators.format(generator))
        yield from self._epochs("warm_up", s.warmup)
        population.begin([held])
        order: list[int] = []
        for number in range(s.rounds):
            begun = yield from _ask("arrange", paths=population.texts(), ranking=order)
            yield from self._epochs("train_pairs", begun["epochs"])
            scores = yield from _ask("score_pairs")
            self._tell(population, 2, number, scores)
            readings = self._readings(scores)
            order = ranking(readings)
            means = [mean(row) for row in scores]
            members = population.members(means, error_of_means(readings))
            if s.stop:
                taken = yield from self._taken(population, held, members, means, readings)
                if taken is None:
                    break
                held = taken
            else:
                best = population.best(members)
                held = best.candidate if math.isfinite(best.violation) else held
            self._pair_with(held, population.problem)
            if number + 1 < s.rounds:
                population.next_round(members, held)
        else:
            self._decide(DISCRIMINATOR, population.text(held), None)
        self._pair_with(held, population.problem)

    def _taken(
        self,
        population: Population,
        held: Candidate,
        members: Sequence[Member],
        means: Sequence[Figures | None],
        readings: Sequence[Sequence[float]],
    ) -> Generator[Request, Any, Candidate | None]:
        """Who takes the place of the one that is held; None if nobody does, and stage 2 ends."""
        objectives, alive = self._problem.objectives, population.alive
        place, fit = alive.index(held), able(objectives, means)
        if fit and place not in fit:
            best = population.best([members[i] for i in fit]).candidate
            why = "has failed" if means[place] is None else "is beyond the limits"
            self._decide(DISCRIMINATOR, population.text(best), None, f"the one held {why}")
            return best
        gain = gain_over(readings, place, allowed=challengers(objectives, means, place))
        if gain is not None and gain.share > 0 and self._settings.discriminators.confirm:
            best = alive[gain.challenger]
            both = [population.text(held), population.text(best)]
            begun = yield from _ask("confirm", paths=both)
            yield from self._epochs("train_pairs", begun["epochs"])
            again = self._readings((yield from _ask("score_pairs")))
            failed = [not all(map(math.isfinite, row)) for row in again]
            if failed == [True, False]:
                self._decide(DISCRIMINATOR, both[1], None, "the one held has failed")
                return best
            fresh = gain_over(again, 0, known=chance_of(readings))
            gain = fresh and replace(fresh, challenger=gain.challenger)
        if gain is None or not gain.sure:
            self._stop(population, held, gain, readings)
            return None
        best = alive[gain.challenger]
        figure = self._first(means[gain.challenger])
        self._decide(DISCRIMINATOR, population.text(best), figure, words(gain))
        return best

    def give_up(self, error: CandidateError) -> None:
        """Say that the search ends before its time, and with what."""
        paths = self._pairs.paths(self.found[0].architecture)
        for part in (GENERATOR, DISCRIMINATOR):
            if part in self._space.held or (part == GENERATOR and self._decided):
                continue
            whole: Any = get_space(f"gan-{part}")
            text = whole.format(whole.from_paths({part: paths[part]}))
            self._decide(part, text, None, f"the search ends early: {error.message}")

    # -- helpers ----------------------------------------------------------------------------------

    def _population(self, part: str, other: str, held: Any, most: int) -> Population:
        space: Any = get_space(f"gan-{part}")
        problem = replace(self._problem, space=space.holding(other, held))
        return Population(problem, self._settings, self._rng, most)

    def _pair_with(self, held: Candidate, problem: Problem) -> None:
        """Give all generators found this discriminator."""
        generators: Any = get_space("gan-generator")
        with_it = generators.holding(DISCRIMINATOR, problem.member(held))
        self.found = [with_it.candidate(with_it.member(pair)) for pair in self.found]

    def _epochs(self, method: str, epochs: int, **arguments: Any) -> Steps:
        """Train for so many, in calls of at most `chunk`."""
        while epochs > 0:
            now = min(epochs, self._settings.chunk)
            yield from _ask(method, epochs=now, **arguments)
            epochs -= now

    def _readings(self, scores: Sequence[Sequence[Figures | None]]) -> list[list[float]]:
        return [[self._first(figures) for figures in row] for row in scores]

    def _first(self, figures: Figures | None) -> float:
        return self._problem.objectives[0].cost(figures or {})

    def _tell(self, population: Population, stage: int, number: int, scores: Any) -> None:
        self._problem.announce(
            "population",
            {"stage": stage, "round": number, "members": population.texts(), "scores": scores},
        )

    def _decide(
        self, part: str, text: str, figure: float | None, reason: str | None = None
    ) -> None:
        metric = self._problem.objectives[0].metric
        said = reason or ("" if figure is None else f"{metric} {figure:.4g} with shared weights")
        self._problem.announce(
            "decision",
            {"what": part, "group": "gan", "edge": part, "kept": [text], "reason": said},
        )

    def _stop(
        self,
        population: Population,
        held: Candidate,
        gain: Gain | None,
        readings: Sequence[Sequence[float]],
    ) -> None:
        """Say that stage 2 ends, and why."""
        why = "no other discriminator trained a generator" if gain is None else words(gain)
        text = population.text(held)
        self._decide(DISCRIMINATOR, text, None, f"stage 2 ends, no sure gain over it: {why}")
        numbers = (
            {}
            if gain is None
            else {
                "challenger": population.texts()[gain.challenger],
                "gain": gain.share,
                "low": _finite(gain.low),
                "high": _finite(gain.high),
                "least": gain.least,
            }
        )
        self._problem.announce("stage 2 ends", {"held": text, "pairs": len(readings), **numbers})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ask(method: str, **arguments: Any) -> Generator[Request, Any, Any]:
    """The session's answer; one that failed, at whatever it was, ends the strategy."""
    outcome: Outcome
    (outcome,) = yield [Call(SESSION, method, **arguments)]
    if not outcome.ok:
        raise CandidateError(
            f"the supernet failed: {outcome.error}", "try lower learning rates, or a larger gamma"
        )
    return outcome.value
