"""Drives a sampling strategy by hand and keeps the ledger of what it had trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nas.core.problem import Problem
from nas.core.work import Evaluate, Next, Outcome, Spent, Start
from nas.strategies.base import Strategy

Figures = Callable[[Evaluate], Mapping[str, float] | None]
Curves = Callable[[Evaluate], Mapping[str, Sequence[float]]]


@dataclass
class Ledger:
    """Everything a strategy asked for, in the order in which it was told.

    Attributes:
        outcomes: The outcomes.
        most: Most works that went on at one time.
        begins: When each of `outcomes` was begun, and
        ends: when it was done, on the clock of `duration`.
        found: What the strategy returned, if it came to its end.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    most: int = 0
    begins: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    found: Any = None

    def counts(self) -> list[int]:
        """Trainings to each budget, smallest budget first."""
        budgets = [outcome.budget or 0.0 for outcome in self.outcomes]
        return [budgets.count(budget) for budget in sorted(set(budgets))]

    def epochs(self) -> float:
        """Epochs paid where every training continues the one before."""
        return sum((o.budget or 0.0) - (getattr(o.work, "since", None) or 0) for o in self.outcomes)

    def anew(self) -> float:
        """Epochs paid where every training starts from nothing."""
        return sum(o.budget or 0.0 for o in self.outcomes)

    def throughput(self, parallel: int) -> float:
        """Share of the time of `parallel` workers that is worked, until nothing more is begun."""
        last = max(self.begins)
        spans = zip(self.begins, self.ends, strict=True)
        return sum(min(end, last) - begin for begin, end in spans) / (parallel * last)

    def best(self, problem: Problem) -> Outcome:
        """What the engine takes for the result: the best at the largest budget."""
        largest = max(outcome.budget or 0.0 for outcome in self.outcomes if outcome.ok)
        return problem.best([o for o in self.outcomes if (o.budget or 0.0) == largest])


def drive(
    strategy: Strategy,
    problem: Problem,
    figures: Figures,
    seed: int = 0,
    duration: Callable[[Evaluate], float] | None = None,
    epochs: float = float("inf"),
    curves: Curves = lambda work: {},
) -> Ledger:
    """Run a strategy to its end.

    Args:
        strategy: The strategy.
        problem: What it searches.
        figures: Figures of a work; None for a failure.
        seed: Of all its chance.
        duration: How long a started work takes; one after another if None.
        epochs: The strategy is closed once it has spent so many.
        curves: Figures of a work epoch by epoch.
    """
    ledger = Ledger()
    running: list[tuple[float, int, Evaluate, float]] = []
    clock, number = 0.0, 0

    def done(work: Evaluate) -> Outcome:
        found = figures(work)
        cost = Spent((work.budget or 0.0) - (work.since or 0.0), 1)
        status = "failed" if found is None else "ok"
        outcome = Outcome(work, status, found or {}, curve=curves(work), spent=cost)
        ledger.outcomes.append(outcome)
        return outcome

    generator = strategy.run(problem, np.random.default_rng(seed))
    answer: Any = None
    while ledger.epochs() < epochs:
        try:
            request = generator.send(answer)
        except StopIteration as stop:
            ledger.found = stop.value
            break
        if isinstance(request, Start):
            for work in request.works:
                assert isinstance(work, Evaluate)
                number += 1
                takes = float(number) if duration is None else clock + duration(work)
                running.append((takes, number, work, clock))
            ledger.most = max(ledger.most, len(running))
            answer = None
        elif isinstance(request, Next):
            running.sort(key=lambda item: item[:2])
            clock, _, work, begun = running.pop(0)
            ledger.begins.append(begun)
            ledger.ends.append(clock)
            answer = done(work)
        else:
            answer = [done(work) for work in request]
    generator.close()
    return ledger
