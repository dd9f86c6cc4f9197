"""What a joint search's gain is due to: architectures, recipes, or both together.

A network that was found together with its recipe may owe all it is better by to the recipe. So the
same strategy, with the same settings, also searches architectures alone, all by the run's recipe,
and recipes alone, all for one network of typical size, each with the epochs that the joint search
has spent. What each found, and that network by the run's recipe, is trained in full on the seeds
and scales of the full trainings.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, replace
from math import isfinite
from typing import Any, Final

import numpy as np

from nas.core.architecture import Architecture, Candidate, Recipe
from nas.core.config import FinalSettings, RunConfig
from nas.core.errors import NasError
from nas.core.problem import Problem
from nas.core.space import Space
from nas.core.work import Evaluate, Next, Request, Start, Work
from nas.engine.baseline import MUCH_LESS, chosen
from nas.engine.budget import Budget
from nas.engine.loop import Conversation, PhaseResult, Stage, close
from nas.engine.records import Entry
from nas.engine.seeds import derive
from nas.evaluators import Account, account_of
from nas.measure.comparison import Comparison, paired, sentence
from nas.strategies.base import Strategy
from nas.strategies.finale import FINAL, FOUND, full_trainings
from search_spaces import get_space
from search_spaces.recipes.joint import RecipeSpace

__all__ = ["CREDIT", "credit", "credit_stages", "expected_credit", "is_joint"]

CREDIT: Final = "credit"
ARCHITECTURES: Final = "architectures"
RECIPES: Final = "recipes"
NEITHER: Final = "neither"
"""The arms besides `FOUND`: what was searched by itself, and the network that nobody searched."""

SAMPLES: Final = 101
"""Random members, the one of median size of which is the network of the search of recipes."""

WORDS: Final = {
    ARCHITECTURES: "architectures alone",
    RECIPES: "recipes alone",
    FOUND: "both together",
}

Picks = Callable[[Problem, PhaseResult], Sequence[Candidate]]
"""What an arm has found, the best first, given how its search ended."""


def expected_credit(config: RunConfig, epochs: float | None) -> dict[str, float]:
    """Epochs of the two searches and of full trainings for one found architecture and recipe.

    Empty where nothing of the kind is done, or it is not known beforehand.

    Args:
        config: A run's.
        epochs: Those of its search; None if nobody knows.
    """
    final, joint = config.final, _chooses_both(get_space(config.space))
    account = account_of(config.evaluator)
    each = final.epochs or config.recipe.get("epochs")
    if not (joint and final.credit and account.in_full and epochs and isinstance(each, int)):
        return {}
    trainings = 3 * final.seeds * max(1, len(final.scales))
    return {"epochs": 2 * epochs + trainings * each}


def is_joint(problem: Problem) -> bool:
    """Whether architectures and recipes are searched together."""
    return _chooses_both(problem.space)


def _chooses_both(space: Space) -> bool:
    return isinstance(space, RecipeSpace) and space.held is None


def credit_stages(
    strategy: Strategy,
    search: str,
    seed: int,
    settings: FinalSettings,
    recipe: Recipe | None,
    picks: Picks,
) -> list[Stage]:
    """The two searches and the full trainings that follow a joint search.

    Args:
        strategy: The joint search's.
        search: Name of its stage.
        seed: The run's.
        settings: Of full trainings.
        recipe: Of full trainings of candidates without one of their own; None for the run's.
        picks: What a search has found.
    """

    def budget(before: Mapping[str, PhaseResult]) -> Budget:
        return Budget(epochs=before[search].spent.epochs)

    def architectures(problem: Problem, rng: np.random.Generator, before: Any) -> Conversation:
        return _arm(strategy.unending, _architectures(problem), rng, ARCHITECTURES)

    found: list[Architecture] = []  # of all stages the same: worked out once

    def network(problem: Problem) -> Architecture:
        if not found:
            found.append(typical(problem, strategy, seed))
        return found[0]

    def recipes(problem: Problem, rng: np.random.Generator, before: Any) -> Conversation:
        part = _recipes(problem, network(problem))
        # The network is given: limits of what it is like leave nothing to be chosen.
        return _arm(strategy.unending.unlimited, part, rng, RECIPES)

    def trainings(
        problem: Problem, rng: np.random.Generator, before: Mapping[str, PhaseResult]
    ) -> Generator[Request, Any, None]:
        count = len(picks(problem, before[search]))
        alone = _architectures(problem), _recipes(problem, network(problem))
        arms = {NEITHER: [Candidate(network(problem))]}
        for name, part in zip((ARCHITECTURES, RECIPES), alone, strict=True):
            arms[name] = [c.unscaled for c in picks(part, before[name])[:count]]
        if count:
            yield full_trainings(arms, settings, recipe, CREDIT)

    return [
        Stage(ARCHITECTURES, architectures, budget, aside=True),
        Stage(RECIPES, recipes, budget, aside=True),
        Stage(CREDIT, trainings, aside=True),
    ]


def _arm(strategy: Strategy, part: Problem, rng: np.random.Generator, arm: str) -> Conversation:
    """A search with the arm among the tags of its evaluations; nobody found if it cannot be."""
    try:
        return (yield from _tagged(strategy.run(part, rng), arm))
    except NasError as error:  # what was searched and paid for is whole without this
        part.announce("notice", {"text": f"the search of {WORDS[arm]} cannot be: {error}"})
        return []


def _tagged(search: Conversation, arm: str) -> Conversation:
    def mark(work: Work) -> Work:
        return replace(work, tags={**work.tags, "arm": arm}) if isinstance(work, Evaluate) else work

    answer = None
    try:
        while True:
            request = search.send(answer)
            if isinstance(request, Start):
                answer = yield Start([mark(work) for work in request.works])
            elif isinstance(request, Next):
                answer = yield request
            else:
                answer = yield [mark(work) for work in request]
    except StopIteration as end:
        return end.value
    except GeneratorExit:  # the epochs are spent; what was found until then counts
        return close(search)


def typical(problem: Problem, strategy: Strategy, seed: int) -> Architecture:
    """The network of median multiply-accumulates among some that a strategy would search.

    Of those within limits if any are found; a random one where sizes are not known. Sizes are those
    of canonical representatives: what is computed for nothing is no size, and a network of which
    nothing is left is not typical.
    """
    alone, rng = _architectures(problem), np.random.default_rng(derive(seed, "typical"))
    sampled = strategy.sample(alone, SAMPLES, rng) or alone.sample(SAMPLES, rng)
    drawn = [alone.candidate(alone.space.canonical(alone.member(c))) for c in sampled]
    sizes = [problem.known(candidate).get("macs", 0.0) for candidate in drawn]
    order = sorted((size, c.id, c) for size, c in zip(sizes, drawn, strict=True) if size)
    found = order[len(order) // 2][2] if order else drawn[0]
    return found.architecture


def _joint(problem: Problem) -> RecipeSpace:
    assert isinstance(problem.space, RecipeSpace)
    return problem.space


def _architectures(problem: Problem) -> Problem:
    return replace(problem, space=_joint(problem).base)


def _recipes(problem: Problem, network: Architecture) -> Problem:
    return replace(problem, space=_joint(problem).recipes_of(network))


def credit(history: Sequence[Entry], account: Account) -> Mapping[str, Any]:
    """What a result says of it, under "credit"; nothing if nothing was searched for it.

    Trainings are paired by scale and seed; of every arm the best by what a search sees stands for
    it. The intervals are about these networks and recipes: they hold the chance of their trainings,
    not that of the searches.

    Args:
        history: All works of the run.
        account: Says by which figures candidates are chosen and compared.
    """
    kept = [entry for entry in history if entry.ordinal >= 0]  # of the budget as it is now
    if not any(entry.phase in (ARCHITECTURES, RECIPES, CREDIT) for entry in kept):
        return {}
    arms: dict[str, list[Entry]] = {name: [] for name in (NEITHER, *WORDS)}
    for entry in kept:
        arm, stage = str(entry.tags.get("arm")), entry.tags.get("stage")
        trained = stage == CREDIT or (stage == FINAL and arm == FOUND)
        if trained and entry.ok and {account.goal, account.tested} <= entry.figures.keys():
            arms.setdefault(arm, []).append(entry)
    found = {arm: chosen(entries, account) for arm, entries in arms.items()}
    there = [arm for arm, figures in found.items() if figures]
    pairs = sorted(set.intersection(*(set(found[arm]) for arm in there))) if there else []
    figures = {arm: [found[arm][pair] for pair in pairs] for arm in there if pairs}
    gains = _compared(figures, [(name, NEITHER) for name in WORDS])
    beside = _compared(figures, [(FOUND, name) for name in (ARCHITECTURES, RECIPES)])
    epochs = {
        name: sum(e.spent.epochs for e in kept if e.phase == phase)
        for name, phase in ((FOUND, "search"), (ARCHITECTURES,) * 2, (RECIPES,) * 2)
    }
    said = [
        sentence(result, WORDS[name], "what nobody searched", account.tested)
        for (name, _), result in gains.items()
    ]
    said += [
        sentence(result, WORDS[FOUND], WORDS[name], account.tested)
        for (_, name), result in beside.items()
    ]
    for name in (ARCHITECTURES, RECIPES):
        if not arms[name] and any(entry.phase == CREDIT for entry in kept):
            said.append(f"The search of {WORDS[name]} found nothing that could be trained.")
        elif arms[name] and epochs[name] < MUCH_LESS * epochs[FOUND]:
            share = 100 * epochs[name] / epochs[FOUND]
            said.append(f"The search of {WORDS[name]} ended after {share:.0f}% of the epochs.")
        elif arms[name] and MUCH_LESS * epochs[name] > epochs[FOUND]:
            share = 100 * epochs[name] / epochs[FOUND]
            said.append(f"The search of {WORDS[name]} had {share:.0f}% of the epochs.")
    return {
        CREDIT: {
            "metric": account.tested,
            "sentences": said,
            "arms": figures,
            "gains": {name: _numbers(result) for (name, _), result in gains.items()},
            "joint_against": {name: _numbers(result) for (_, name), result in beside.items()},
            "epochs": epochs,
        }
    }


def _compared(
    figures: Mapping[str, Sequence[float]], pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Comparison]:
    """Those of the pairs of arms that both have figures."""
    return {
        (first, second): paired(figures[first], figures[second])
        for first, second in pairs
        if first in figures and second in figures
    }


def _numbers(result: Comparison) -> dict[str, Any]:
    numbers = {key: value for key, value in asdict(result).items() if isfinite(value)}
    return {**numbers, "verdict": result.verdict}
