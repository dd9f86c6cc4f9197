"""A candidate and what is known of it, in the form that selection works on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from nas.core.architecture import Candidate
from nas.core.problem import Problem
from nas.core.work import Outcome


@dataclass(frozen=True)
class Member:
    """One of a population.

    Attributes:
        candidate: The candidate.
        costs: One number per objective, less is better; the mean over readings.
        errors: Standard errors of `costs`; zeros for a single reading.
        violation: How far beyond the limits, 0 if feasible, infinite if it failed.
        key: Breaks ties, so that no order depends on which came first.
    """

    candidate: Candidate
    costs: tuple[float, ...]
    errors: tuple[float, ...]
    violation: float
    key: str


def member_of(problem: Problem, readings: Sequence[Outcome]) -> Member:
    """The member that repeated evaluations of one candidate tell of.

    A candidate one of whose evaluations failed is a failed one: it cannot be relied on.

    Args:
        problem: Whose objectives and limits count.
        readings: Outcomes of one candidate, at least one.
    """
    rows = [problem.costs(reading) for reading in readings]
    columns = list(zip(*rows, strict=True))
    costs = tuple(fmean(column) if len(column) > 1 else column[0] for column in columns)
    errors = tuple(_standard_error(column) for column in columns)
    violation = fmean([problem.violation(reading) for reading in readings])
    candidate = readings[0].candidate
    return Member(candidate, costs, errors, violation, candidate.id)


def members_of(problem: Problem, outcomes: Sequence[Outcome]) -> list[Member]:
    """A member for each outcome."""
    return [member_of(problem, [outcome]) for outcome in outcomes]


class Gathering:
    """Collects the readings of candidates until there are enough of one.

    Args:
        problem: Whose objectives and limits count.
        repeats: Readings of each candidate.
    """

    def __init__(self, problem: Problem, repeats: int) -> None:
        self._problem = problem
        self._repeats = repeats
        self._waiting: dict[str, list[Outcome]] = {}

    def add(self, outcome: Outcome) -> Member | None:
        """Take in one reading; the member once it is complete.

        The readings are sorted by seed, so that their sum does not depend on which came first.
        """
        readings = self._waiting.setdefault(outcome.candidate.id, [])
        readings.append(outcome)
        if len(readings) < self._repeats:
            return None
        del self._waiting[outcome.candidate.id]
        return member_of(self._problem, sorted(readings, key=_seed))


def _seed(outcome: Outcome) -> int:
    return getattr(outcome.work, "seed", None) or 0


def _standard_error(values: Sequence[float]) -> float:
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return 0.0
    return stdev(values) / math.sqrt(len(values))
