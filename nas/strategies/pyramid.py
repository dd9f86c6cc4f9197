"""The pyramid of non-uniform successive halving: who was trained how far, who climbs next.

RANK-NOSH (Wang et al., ICCV 2021, Fig. 2) keeps a pool in which every level holds the best share
of the level below it. Nobody is thrown away: whoever is not promoted stays on its level, goes on
to teach the ranker, and is promoted later if it is then among the best. The published text leaves
the rounding open; cumulative quotas (level l + 1 holds `ceil(ratio * reached(l))`) reproduce the
published epochs to the digit and make the cost independent of the size of the batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from nas.core.architecture import Candidate
from nas.core.errors import ConfigError
from nas.core.work import Outcome


@dataclass
class Climber:
    """A candidate in the pyramid.

    Attributes:
        candidate: The candidate.
        number: In which it entered; breaks ties.
        level: The highest level it was sent to.
        readings: Its outcomes by level; levels below the one it entered on are missing.
        failed: A training of it failed; it stays where it is for good.
    """

    candidate: Candidate
    number: int
    level: int = 0
    readings: dict[int, Outcome] = field(default_factory=dict)
    failed: bool = False

    @property
    def waiting(self) -> bool:
        """Whether it has finished its level and could be sent higher."""
        return not self.failed and self.level in self.readings

    @property
    def last(self) -> tuple[int, Outcome] | None:
        """The highest level it has finished, and the reading there."""
        level = max(self.readings, default=None)
        return None if level is None else (level, self.readings[level])


Order = Callable[[int, Sequence[Climber]], Sequence[Climber]]
"""Sorts the climbers that wait on a level from best to worst."""


class Pyramid:
    """Levels, quotas and everyone in them.

    Args:
        budgets: What a training up to each level costs in all, increasing; a first one of zero
            is level 0, which is scored and not trained.
        ratio: Share of a level that reaches the next one, above 0 and at most 1.
        reserve: Share of every quota that is held back until the pyramid is full, so that those
            who enter late can climb; level 0 holds nothing back. 0 is the published pyramid.
        continued: Whether a training costs what it adds to the one before, or all of its epochs.

    Attributes:
        full: Nobody will enter any more.
        least: How many may climb to each level before its quota allows for them; quotas then wait
            until they have caught up. None, unless somebody says so.

    Raises:
        ConfigError: The budgets do not increase, or the ratio is out of range.
    """

    def __init__(
        self,
        budgets: Sequence[float],
        ratio: float,
        reserve: float = 0.0,
        *,
        continued: bool = True,
    ) -> None:
        if not budgets or any(b <= a for a, b in pairwise(budgets)):
            raise ConfigError(f"levels are {list(budgets)}", "expected increasing epochs")
        if budgets[0] < 0 or budgets[-1] <= 0:
            raise ConfigError(f"levels are {list(budgets)}", "expected epochs above 0")
        if not 0 < ratio <= 1:
            raise ConfigError(f"ratio is {ratio}", "expected above 0 and at most 1")
        self.budgets = tuple(float(budget) for budget in budgets)
        # As a fraction of what was written: 0.1 * 30 is a little more than 3 in floats.
        self._ratio = Fraction(str(ratio))
        self._held = self._ratio * (1 - Fraction(str(reserve)))
        self._reserve = reserve
        below = (0.0, *self.budgets) if continued else [0.0] * len(budgets)
        # What a training to each level costs those who come from the level below.
        self._prices = tuple(b - before for b, before in zip(self.budgets, below, strict=False))
        self._continued = continued
        self.full = False
        self.least = [0] * len(budgets)
        self.climbers: dict[str, Climber] = {}
        self._reached = [0] * len(budgets)

    @property
    def top(self) -> int:
        """Number of the highest level."""
        return len(self.budgets) - 1

    @property
    def reached(self) -> tuple[int, ...]:
        """How many were ever sent to each level, running and failed ones included."""
        return tuple(self._reached)

    def enter(self, candidate: Candidate, level: int = 0) -> Climber:
        """Send a newcomer to the lowest level, or past levels that say nothing.

        Raises:
            ValueError: It is in the pyramid already.
        """
        if candidate.id in self.climbers:
            raise ValueError(f"candidate {candidate.id} is in the pyramid already")
        climber = Climber(candidate, len(self.climbers), level)
        self.climbers[candidate.id] = climber
        for passed in range(level + 1):
            self._reached[passed] += 1
        return climber

    def promote(self, climber: Climber) -> None:
        """Send a waiting climber one level up.

        Raises:
            ValueError: It is still busy, has failed, or is on the top level.
        """
        if not climber.waiting or climber.level == self.top:
            raise ValueError(f"candidate {climber.candidate.id} cannot climb")
        climber.level += 1
        self._reached[climber.level] += 1

    def record(self, climber: Climber, outcome: Outcome) -> None:
        """Take in what its training up to its level gave."""
        if outcome.ok:
            climber.readings[climber.level] = outcome
        else:
            climber.failed = True

    def open(self, level: int) -> int:
        """How many more the quota of `level` lets climb there now."""
        below = self._reached[level - 1]
        if self._reserve and not self.full and self.budgets[level - 1] > 0:
            quota = max(floor(self._held * below), min(self.least[level], below))
        else:
            quota = self._quota(level, below)
        return max(0, quota - self._reached[level])

    def waiting(self, level: int) -> list[Climber]:
        """Those who finished exactly `level` and were not sent higher, in order of entry."""
        return [c for c in self.climbers.values() if c.level == level and c.waiting]

    def next_climbers(self, order: Order, most: int | None = None) -> list[Climber]:
        """Who climbs now: the best of the lowest level above which there is room.

        Sent up already when this returns; empty if nobody can climb before others have finished.

        Args:
            order: Sorts those who wait.
            most: At most so many; None for all that the quota lets.
        """
        for level in range(self.top):
            room = self.open(level + 1)
            if room > 0 and (waiting := self.waiting(level)):
                chosen = list(order(level, waiting))[: min(room, most or room)]
                for climber in chosen:
                    self.promote(climber)
                return chosen
        return []

    def on_level(self, level: int) -> list[Climber]:
        """Everyone with a reading of `level`, in order of entry."""
        return [c for c in self.climbers.values() if level in c.readings]

    def price(self, climber: Climber) -> float:
        """Epochs of the training that brings it to its level."""
        last = climber.last if self._continued else None
        return self.budgets[climber.level] - (self.budgets[last[0]] if last else 0.0)

    def outlook(self, count: int, level: int = 0) -> float:
        """Epochs still to be paid once `count` more have entered on `level`.

        Those that they, and all who are there already, will let climb are included.
        """
        due = count * self.budgets[level]
        reached = [r + count * (i <= level) for i, r in enumerate(self._reached)]
        for upper in range(1, self.top + 1):
            climbing = max(0, self._quota(upper, reached[upper - 1]) - reached[upper])
            reached[upper] += climbing
            due += climbing * self._prices[upper]
        return due

    def _quota(self, level: int, below: int) -> int:
        """How many of those who reached the level below may reach this one."""
        return max(ceil(self._ratio * below), min(self.least[level], below))

    def cost(self, count: int) -> float:
        """Epochs of a pyramid into which `count` have entered."""
        return sum(r * price for r, price in zip(self.counts(count), self._prices, strict=True))

    def counts(self, count: int) -> list[int]:
        """How many of `count` newcomers reach each level in the end."""
        counts = [count]
        for _ in range(self.top):
            counts.append(ceil(self._ratio * counts[-1]))
        return counts
