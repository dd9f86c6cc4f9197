"""What follows a search on a table: one reading of the test split, beside many random searches.

On a table a whole random search costs nothing, so the search is compared with a distribution of
them: each spends the epochs that the search has spent on random architectures at the largest
budget, picks by validation as the search does, and has the test figure of its pick read.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nas.core.architecture import Candidate
from nas.core.config import FinalSettings
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome, Request, Split
from nas.strategies.finale import FOUND, RANDOM

SEARCH_TAG: Final = "search"
"""Tag with a random search's number; `PICK` for what the strategy's own search stands for."""

PICK: Final = "pick"


@dataclass(frozen=True)
class Reading:
    """How a table is read at the end.

    Attributes:
        budget: The largest budget.
        split: "test", or "validation" where the table has no test figures.
    """

    budget: float
    split: Split


def draws_of(epochs: float, budget: float) -> int:
    """Evaluations at the largest budget that a random search of so many epochs has; at least 1."""
    return max(1, int(epochs // budget))


def table_finale(
    problem: Problem,
    found: Sequence[Candidate],
    epochs: float,
    settings: FinalSettings,
    rng: np.random.Generator,
    reading: Reading,
) -> Generator[Request, Any, list[Candidate]]:
    """Read what was found once, and what random searches of the same cost find.

    Args:
        problem: The space and the objectives.
        found: The search's front; the first one is its pick.
        epochs: What the search has spent.
        settings: How many random searches, if any.
        rng: Of the random searches.
        reading: What is read.

    Returns:
        What was found.
    """
    works = [
        _read(candidate, reading, FOUND, PICK if number == 0 else "")
        for number, candidate in enumerate(found)
    ]
    if settings.random_arm:
        picks: list[Candidate] = []
        for _ in range(settings.random_searches):
            drawn = problem.sample(draws_of(epochs, reading.budget), rng)
            tags = {"stage": "draw", "arm": RANDOM}
            outcomes: list[Outcome] = yield [
                Evaluate(candidate, reading.budget, tags=tags) for candidate in dict.fromkeys(drawn)
            ]
            alive = [outcome for outcome in outcomes if outcome.ok]
            if alive:
                picks.append(problem.best(alive).candidate)
        works += [_read(c, reading, RANDOM, str(number)) for number, c in enumerate(picks)]
    yield works
    return list(found)


def _read(candidate: Candidate, reading: Reading, arm: str, search: str) -> Evaluate:
    tags = {"stage": "final", "arm": arm, SEARCH_TAG: search}
    return Evaluate(candidate, reading.budget, split=reading.split, tags=tags)
