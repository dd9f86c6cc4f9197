"""What a joint search makes of the recipe that is usual otherwise: a prior on good defaults.

Most of a wide space of recipes is worse than what is usual, so few trainings are better spent
around that. Where no recipes are searched, or nothing is usual, none of this does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np

from nas.core.architecture import Architecture
from nas.core.choices import Value
from nas.core.problem import Problem
from search_spaces.recipes.joint import RecipeSpace

__all__ = ["Familiar"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

DRAWN_ANEW: Final = 4
"""One in so many choices of a recipe near the usual one differs from it, on average."""

TRIES: Final = 8
"""How often a recipe near the usual one is drawn for a network until it is a new one."""

DOUBT: Final = 12.0
"""What a recipe that differs in one choice is taken to cost more, in the unit of `doubts`, over the
number of trainings."""


class Familiar:
    """Draws recipes near the usual one, and doubts those that are far from it.

    Args:
        problem: Its space, and the usual recipe, which is asked for when it is first needed.
        wanted: Whether any of this is.
    """

    def __init__(self, problem: Problem, wanted: bool) -> None:
        self._problem, self._wanted = problem, wanted

    def announce(self) -> None:
        """Say if recipes are searched, but not from the usual one on."""
        space = self._problem.space
        if self._wanted and isinstance(space, RecipeSpace) and self._known is None:
            why = "nothing is usual"
            if self._usual:
                why = f"{space.name!r} has no recipes with {self._usual.get('optimizer')!r}"
            self._problem.announce("notice", {"text": f"no recipe to begin from: {why}"})

    def first(self, pool: Sequence[Architecture], count: int) -> list[Architecture]:
        """The first batch: of the pool, every second member by the usual recipe or the nearest.

        Of one network the usual recipe is trained once.
        """
        identity, known = self._problem.space.identity, self._known
        found: dict[str, Architecture] = {}
        for member in pool:
            if len(found) == count:
                break
            tried = [member]
            if known is not None and len(found) % 2:
                tried.insert(0, known.space.trained_by(member, known.values))
            new = [other for other in tried if identity(other) not in found]
            found |= {identity(other): other for other in new[:1]}
        return list(found.values())

    def pool(
        self,
        members: Sequence[Architecture],
        distance: Callable[[Architecture], float],
        rng: np.random.Generator,
    ) -> list[Architecture]:
        """Members of whose recipes every second one is drawn near the usual one.

        Near is: one in `DRAWN_ANEW` of its choices is drawn anew. The other half keeps everything
        possible.

        Args:
            members: As they were drawn.
            distance: From what may be trained, 0 within; a recipe may change what a network costs.
            rng: Draws.
        """
        known = self._known
        if known is None:
            return list(members)
        knobs, identity = known.space.knobs, known.space.identity
        pool: dict[str, Architecture] = {}
        for number, member in enumerate(members):
            for _ in range(TRIES if number % 2 else 1):
                drawn = member
                if number % 2:
                    near = knobs.near(known.values, 1 / DRAWN_ANEW, rng)
                    drawn = known.space.trained_by(member, near)
                name = identity(drawn)
                if name not in pool and distance(drawn) <= 0:
                    pool[name] = drawn
                    break
        return list(pool.values())

    def doubts(self, members: Sequence[Architecture], costs: Floats) -> Floats:
        """What unusual recipes are taken to cost more ``(n,)``, the less the more was trained.

        As in piBO (Hvarfner et al., ICLR 2022) the logarithm of the prior, here a constant times
        the choices that differ, is divided by the number of trainings. Without it the lower bound
        prefers what is unusual, of which least is known. The unit is what lies between the best and
        the middle of what was trained. Where the network is given, nothing is doubted: trainings
        are not to be spared for anything else.

        Args:
            members: Whose recipes are looked at.
            costs: Of what was trained ``(k,)``.
        """
        found, known = np.zeros(len(members)), self._known
        if known is None or known.space.held is not None or not len(costs):
            return found
        knobs = known.space.knobs
        found += [knobs.apart(member.choices, known.values) for member in members]
        return found * (DOUBT / len(costs)) * float(np.median(costs) - np.min(costs))

    @cached_property
    def _usual(self) -> Mapping[str, Any]:
        """Settings of the usual recipe; asked for once a run, since data may have to be read."""
        found: Mapping[str, Any] = self._problem.remember(
            "usual", lambda: dict(self._problem.usual())
        )
        return found

    @cached_property
    def _known(self) -> _Known | None:
        """The usual recipe as choices; None where there is nothing to begin from."""
        space = self._problem.space
        if not self._wanted or not isinstance(space, RecipeSpace):
            return None
        # Rates of one optimizer say nothing of another one's.
        if not self._usual or not space.knobs.allows(self._usual):
            return None
        return _Known(space, space.knobs.nearest(self._usual))


@dataclass(frozen=True)
class _Known:
    """A space of recipes, and the choices in it that are nearest to the usual recipe."""

    space: RecipeSpace
    values: Mapping[str, Value]
