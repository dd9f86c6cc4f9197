"""Where FBNetV3's search may go: the limits of trainings and of targets, and the pool within."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from evolution.bands import Band, parse_bands
from evolution.pool import feasible_pool
from nas.core.architecture import Architecture
from nas.core.errors import ConfigError
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.seeds import derive
from nas.strategies.fbnetv3.surrogate import Knowledge

__all__ = ["Target", "Terrain"]

ENOUGH: Final = 8
"""Members within a target's limits after which these are known to leave some."""


@dataclass(frozen=True)
class Target:
    """Limits to find something for.

    Attributes:
        bands: All of them are to be kept.
    """

    bands: tuple[Band, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read bands joined by commas.

        Raises:
            ConfigError: One cannot be read.
        """
        return cls(parse_bands(text))

    def __str__(self) -> str:
        return ",".join(map(str, self.bands)) or "no limit"


class Terrain:
    """The members that may be trained.

    Args:
        problem: Its space, and the limits of objectives that are known without training.
        knowledge: What is known.
        within: Limits besides.
        targets: Trained is what keeps those of at least one, if there are any.
        count: Members of the pool.
        seed: Of the pool.

    Raises:
        ConfigError: A limit is of something that is not known without training.
    """

    def __init__(
        self,
        problem: Problem,
        knowledge: Knowledge,
        within: Sequence[str],
        targets: Sequence[Target],
        count: int,
        seed: int,
    ) -> None:
        self._space, self._knowledge = problem.space, knowledge
        self._seed, self._count = seed, count
        limits = [Band.of(objective) for objective in problem.objectives]
        known = [band for band in limits if band is not None and band.metric in knowledge.metrics]
        self.always = (*known, *(band for text in within for band in parse_bands(text)))
        self.targets = tuple(targets)
        for bands in (self.always, *(target.bands for target in targets)):
            knowledge.check(bands)

    def distance(self, member: Architecture) -> float:
        """How far a member is from what may be trained; 0 if it may."""
        beyond = self._knowledge.beyond
        nearest = min((beyond(target.bands, member) for target in self.targets), default=0.0)
        return beyond(self.always, member) + nearest

    def distance_to(self, target: Target, member: Architecture) -> float:
        """How far a member is from a target, the limits that always hold included."""
        beyond = self._knowledge.beyond
        return beyond(self.always, member) + beyond(target.bands, member)

    @cached_property
    def pool(self) -> list[Architecture]:
        """Quasi-random members that may be trained; worked out when it is first asked for."""
        seed = derive(self._seed, "pool")
        return feasible_pool(self._space, self._count, self.distance, seed)

    def some(self, target: Target, count: int, seed: int) -> list[Architecture]:
        """Up to `count` members that keep a target."""
        near = lambda member: self.distance_to(target, member)  # noqa: E731
        return feasible_pool(self._space, count, near, seed)

    def check(self) -> None:
        """Refuse limits that leave nothing, as far as can be found out quickly.

        Raises:
            ConfigError: No member keeps a target, or the limits that always hold.
        """
        for target in self.targets or (Target(),):
            if not (self.always or target.bands):
                continue
            nearest = _Nearest(self, target)
            if not feasible_pool(self._space, ENOUGH, nearest, derive(self._seed, "check")):
                raise ConfigError(
                    f"no member of {self._space.name!r} was found within"
                    f" {Target((*self.always, *target.bands))}",
                    f"the nearest one has {nearest.figures(self._knowledge)}",
                )

    def spread(self, objective: Objective, count: int) -> list[str]:
        """Limits on a known objective at equal shares of the pool, the last one at its end."""
        costs = [objective.cost(self._knowledge(member)) for member in self.pool]
        shares = np.arange(1, count + 1) / count
        limits = np.unique(np.quantile(costs, shares, method="higher")).tolist()
        if objective.direction == "min":
            return [f"{objective.metric}<={limit!r}" for limit in limits]
        return [f"{objective.metric}>={-limit!r}" for limit in limits]


class _Nearest:
    """A distance to a target that remembers who came nearest."""

    def __init__(self, terrain: Terrain, target: Target) -> None:
        self._terrain, self._target = terrain, target
        self._least = np.inf
        self._member: Architecture | None = None

    def __call__(self, member: Architecture) -> float:
        distance = self._terrain.distance_to(self._target, member)
        if distance < self._least:
            self._least, self._member = distance, member
        return distance

    def figures(self, knowledge: Knowledge) -> str:
        """What the nearest member has of what is limited, for people."""
        if self._member is None:
            return "no figures"
        bands = (*self._terrain.always, *self._target.bands)
        names = dict.fromkeys(band.metric for band in bands)
        found = knowledge(self._member)
        return ", ".join(f"{name} {found[name]:.6g}" for name in names)
