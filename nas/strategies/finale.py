"""What follows every search: full trainings on several seeds, beside random search at equal cost.

A claim that a search is worth its cost needs two things that searches rarely report: how the
found network does when trained in full, several times, on data the search never saw; and how
well drawing architectures at random does for the same money (Li & Talwalkar, UAI 2019; Yu et
al., ICLR 2020). The random arm draws architectures and trains each for a few epochs until it has
spent the multiply-accumulates of the search, keeps as many of the best by validation error as the
search found, and those are trained in full on the same seeds and scales.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from math import ceil
from typing import Any, Final

import numpy as np

from nas.core.architecture import Candidate, Recipe
from nas.core.config import FinalSettings, merge
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome, Request

FINAL: Final = "final"
"""Tag `stage` of full trainings."""

FOUND: Final = "search"
RANDOM: Final = "random"
"""The two arms; every work of this phase carries one as its tag `arm`."""

_DRAW = 4
"""Random candidates asked for at a time, so that workers have something to share."""


def finale(
    problem: Problem,
    found: Sequence[Candidate],
    search_macs: float,
    settings: FinalSettings,
    rng: np.random.Generator,
    recipe: Recipe | None = None,
) -> Generator[Request, Any, list[Candidate]]:
    """Train what was found in full, and what random search finds for the same compute.

    Args:
        problem: The space and the objectives.
        found: What the strategy returned.
        search_macs: Multiply-accumulates the strategy spent.
        settings: How much of it.
        rng: Of the random arm.
        recipe: Of full trainings of candidates that have none of their own; None for the run's.

    Returns:
        What was found, as it was trained in full: the run's result is about these, never about
        random search's picks.
    """
    arms = {FOUND: list(dict.fromkeys(candidate.unscaled for candidate in found))}
    if settings.random_arm:
        ranked = yield from _random_search(problem, search_macs, settings, rng)
        if ranked:
            arms[RANDOM] = ranked[: len(arms[FOUND])]
    works = full_trainings(arms, settings, recipe)
    yield works
    return list(dict.fromkeys(w.candidate for w in works if w.tags["arm"] == FOUND))


def full_trainings(
    arms: Mapping[str, Sequence[Candidate]],
    settings: FinalSettings,
    recipe: Recipe | None,
    stage: str = FINAL,
) -> list[Evaluate]:
    """Full trainings of what arms have, all on the same seeds and scales.

    Args:
        arms: Candidates by the name of their arm.
        settings: How many.
        recipe: As of `finale`.
        stage: What they are tagged with.
    """
    return [
        Evaluate(
            Candidate(candidate.architecture, _full(candidate, recipe, settings), scale),
            settings.epochs,
            seed,
            "test",
            {"stage": stage, "arm": arm},
        )
        for scale in settings.scales or ({},)
        for seed in range(settings.seeds)
        for arm, candidates in arms.items()
        for candidate in candidates
    ]


def _full(candidate: Candidate, recipe: Recipe | None, settings: FinalSettings) -> Recipe | None:
    """How a candidate is trained in full: what was searched for stays as it was found."""
    own = candidate.recipe
    if own is None or not settings.recipe:
        return recipe if own is None else own
    return Recipe(merge(settings.recipe, own.to_dict()))


def _random_search(
    problem: Problem, macs: float, settings: FinalSettings, rng: np.random.Generator
) -> Generator[Request, Any, list[Candidate]]:
    """As many random candidates as `macs` pays for, best first; at least one draw is made."""
    seen: dict[str, Outcome] = {}
    spent = 0.0
    while spent < macs and len(seen) < settings.random_limit:
        left = settings.random_limit - len(seen)
        if spent > 0:  # no more than the compute that is left pays for, as far as one can tell
            left = min(left, ceil((macs - spent) / (spent / len(seen))))
        count = min(_DRAW, left)
        # As many as were seen besides: they may all come again.
        sample = dict.fromkeys(problem.sample(count + len(seen), rng))
        drawn = [candidate for candidate in sample if candidate.id not in seen][:count]
        if not drawn:
            break  # a space smaller than the compute
        works = [
            Evaluate(c, settings.random_epochs, tags={"stage": "draw", "arm": RANDOM})
            for c in drawn
        ]
        for outcome in (yield works):
            seen[outcome.candidate.id] = outcome
            spent += outcome.spent.macs
    alive = [outcome for outcome in seen.values() if outcome.ok]
    return [outcome.candidate for outcome in sorted(alive, key=problem.rank_key)]
