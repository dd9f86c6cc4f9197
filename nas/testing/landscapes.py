"""Problems whose every answer is known, and a driver that runs strategies on them in no time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np

from nas.core.choices import Categorical
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.tree import ChoiceTree
from nas.core.work import Call, Evaluate, Next, Outcome, Request, Spent, Start
from nas.strategies.base import Strategy
from nas.testing.toys import ToySpace

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Figures: TypeAlias = Callable[[Evaluate], Mapping[str, float]]

EDGES: Final = 6
OPERATIONS: Final = 5
PRICES: Final = (0.0, 1.0, 2.0, 4.0, 7.0)
"""What each operation adds to the cost."""


class PairwiseSpace(ToySpace):
    """Six edges with one of five operations each: 15,625 members, as many as NAS-Bench-201.

    Only its choices mean anything; graph and network are the toy's.

    Args:
        edges: Another number of edges.
    """

    def __init__(self, edges: int = EDGES) -> None:
        super().__init__("pairwise")
        options = tuple(f"o{index}" for index in range(OPERATIONS))
        self.tree = ChoiceTree(tuple(Categorical(f"e{index}", options) for index in range(edges)))


class Pairwise:
    """A score with interactions between every two edges, against a cost that adds up.

    Both objectives are known for all members, so the exact front is, too.

    Args:
        seed: Of the landscape.
        interaction: Standard deviation of what two operations together add; alone they add 1.
    """

    def __init__(self, seed: int = 0, interaction: float = 0.3) -> None:
        rng = np.random.default_rng(seed)
        self._alone = rng.normal(0.0, 1.0, (EDGES, OPERATIONS))
        self._pairs = rng.normal(0.0, interaction, (EDGES, EDGES, OPERATIONS, OPERATIONS))
        self._places: dict[Any, int] = {f"o{index}": index for index in range(OPERATIONS)}
        self.problem = Problem(
            PairwiseSpace(), (Objective("score", "max"), Objective("cost", "min"))
        )

    def figures(self, work: Evaluate) -> dict[str, float]:
        """Score and cost of a candidate."""
        index = 0
        for value in work.candidate.architecture.choices.values():  # sorted: e0, e1, ...
            index = index * OPERATIONS + self._places[value]
        score, cost = self._known[index]
        return {"score": -score, "cost": cost}

    @cached_property
    def _known(self) -> list[list[float]]:
        known: list[list[float]] = self.costs.tolist()
        return known

    @cached_property
    def costs(self) -> Floats:
        """Both objectives of all members as costs, shape (15625, 2)."""
        grid = np.indices((OPERATIONS,) * EDGES).reshape(EDGES, -1).T
        score, cost = self._score(grid)
        return np.stack([-score, cost], axis=1)

    def _score(self, rows: Any) -> tuple[Floats, Floats]:
        edges = np.arange(EDGES)
        score = self._alone[edges, rows].sum(axis=1)
        for first in range(EDGES):
            for second in range(first + 1, EDGES):
                score = score + self._pairs[first, second, rows[:, first], rows[:, second]]
        return score, np.array(PRICES)[rows].sum(axis=1)


def drive(
    strategy: Strategy,
    problem: Problem,
    figures: Figures,
    evaluations: int,
    seed: int = 0,
) -> list[Outcome]:
    """Run a strategy without an engine: no store, no executor, started works end in their order.

    Args:
        strategy: One without sessions.
        problem: What it searches.
        figures: Figures of an evaluation; a `CandidateError` is the caller's affair.
        evaluations: After so many it is closed.
        seed: Of its chance.

    Returns:
        The outcomes in the order in which they were told.
    """
    generator = strategy.run(problem, np.random.default_rng(seed))
    told: list[Outcome] = []
    flying: deque[Outcome] = deque()

    def outcome(work: Evaluate | Call) -> Outcome:
        if not isinstance(work, Evaluate):
            raise TypeError("a strategy with sessions needs the engine")
        spent = Spent(max(0.0, (work.budget or 0.0) - (work.since or 0.0)), 1)
        return Outcome(work, figures=figures(work), spent=spent)

    answer: Any = None
    while len(told) < evaluations:
        try:
            request: Request = generator.send(answer)
        except StopIteration:
            break
        if isinstance(request, Start):
            flying.extend(map(outcome, request.works))
            answer = None
        elif isinstance(request, Next):
            answer = flying.popleft()
            told.append(answer)
        else:
            works: Sequence[Evaluate | Call] = request
            answer = [outcome(work) for work in works]
            told.extend(answer)
    generator.close()
    return told[:evaluations]
