"""A genetic search on predicted scores: thousands of candidates scored, none of them trained.

The second stage of Dai et al., "FBNetV3: Joint Architecture-Recipe Search using Predictor
Pretraining", CVPR 2021: the first generation are the best so far and random ones; children are kept
only if they are within the limits; the best live on; it ends when the best score does not change.
"Adaptive" is after Srinivas & Patnaik, "Adaptive Probabilities of Crossover and Mutation in Genetic
Algorithms", IEEE Transactions on Systems, Man and Cybernetics 24(4), 1994: who is better than the
mean is changed less, the better the less. The paper's numbers are not public where we looked; the
defaults are ours. A child outside of the limits is repaired (`evolution.repair`), so that bands can
be narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from pydantic import Field

from evolution.repair import Distance, repaired
from evolution.selection import crowding, ranks
from nas.core.architecture import Architecture
from nas.core.config import Settings
from nas.core.space import Space

__all__ = ["Genetic", "GeneticSettings", "Score", "genetic_front", "genetic_search"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

Indices: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

Score: TypeAlias = Callable[[Sequence[Architecture]], Floats]
"""Scores ``(n,)`` of members, less is better; the same for a member whenever it is asked."""

DRAWS: Final = 4
"""Attempts at a child that is new and within the limits before the nearest one is repaired."""

REPAIRS: Final = 40
"""Changes tried to bring a child within the limits: it begins near a parent that keeps them."""


class GeneticSettings(Settings):
    """Settings of the search on predicted scores.

    Attributes:
        best: How many of the best so far are in the first generation (p).
        random: How many random ones are (q), and live in every generation with `best` together.
        children: Children of each of them.
        crossover: Probability that a child of somebody no better than the mean has two parents; it
            falls to 0 for the best.
        mutation: Mutations that are expected of its child besides the first; they fall likewise.
        patience: Generations without a better score after which it ends.
        tolerance: What a better score is better by, at least.
        generations: At most so many.
    """

    best: int = Field(40, ge=1, le=100_000)
    random: int = Field(40, ge=0, le=100_000)
    children: int = Field(6, ge=1, le=1000)
    crossover: float = Field(0.5, ge=0, le=1)
    mutation: float = Field(1.0, ge=0)
    patience: int = Field(5, ge=1)
    tolerance: float = Field(1e-6, ge=0)
    generations: int = Field(50, ge=1, le=100_000)

    @property
    def room(self) -> int:
        """How many live in every generation."""
        return self.best + self.random


@dataclass
class Genetic:
    """What a search found.

    Attributes:
        members: Those alive at the end, the best first; all within the limits.
        scores: Theirs.
        history: The best score of every generation, the first one included; it never rises.
        scored: How many members were scored.
    """

    members: list[Architecture]
    scores: Floats
    history: list[float] = field(default_factory=list)
    scored: int = 0


def genetic_search(
    space: Space,
    first: Sequence[Architecture],
    score: Score,
    distance: Distance,
    settings: GeneticSettings,
    rng: np.random.Generator,
) -> Genetic:
    """Search for the least score within limits.

    Args:
        space: The space.
        first: The first generation; those outside of the limits are left out.
        score: Scores members.
        distance: To the limits.
        settings: How.
        rng: All chance.

    Returns:
        What was found; nobody if nobody of the first generation is within the limits.
    """
    alive = list({member.id: member for member in first if distance(member) <= 0}.values())
    if not alive:
        return Genetic([], np.empty(0))
    breed = _Breed(space, distance, settings, rng, {member.id for member in alive})
    found = _fittest(alive, np.asarray(score(alive), np.float64), settings.room)
    found.history, found.scored = [float(found.scores[0])], len(alive)
    idle = 0
    for _ in range(settings.generations):
        spread = float(found.scores.mean()) - found.scores[0]
        fitness = 1 - (found.scores - found.scores[0]) / spread if spread > 0 else 0 * found.scores
        children = breed.children(found.members, fitness.clip(0, 1).tolist())
        if not children:
            break
        told = np.asarray(score(children), np.float64)
        history, scored = found.history, found.scored + len(children)
        both = [*found.members, *children]
        found = _fittest(both, np.concatenate([found.scores, told]), settings.room)
        better = found.scores[0] < history[-1] - settings.tolerance
        found.history, found.scored = [*history, float(found.scores[0])], scored
        idle = 0 if better else idle + 1
        if idle == settings.patience:
            break
    return found


def genetic_front(
    space: Space,
    first: Sequence[Architecture],
    costs: Score,
    distance: Distance,
    settings: GeneticSettings,
    rng: np.random.Generator,
) -> list[Architecture]:
    """The same for a front of several costs, sorted as in NSGA-II (`evolution.selection`).

    Args:
        space: The space.
        first: The first generation; those outside of the limits are left out.
        costs: Costs ``(n, m)`` of members.
        distance: To the limits.
        settings: How; it goes on for `patience` generations.
        rng: All chance.

    Returns:
        Everybody alive at the end, by front, then the least crowded.
    """
    alive = list({member.id: member for member in first if distance(member) <= 0}.values())
    if not alive:
        return []
    breed = _Breed(space, distance, settings, rng, {member.id for member in alive})
    told = np.asarray(costs(alive), np.float64)
    for turn in range(settings.patience + 1):
        order = _front_order(alive, told)[: settings.room]
        alive, told = [alive[int(row)] for row in order], told[order]
        if turn == settings.patience:
            break
        fitness = np.linspace(1, -1, len(alive)).clip(0, 1)
        children = breed.children(alive, fitness.tolist())
        if not children:
            break
        alive = [*alive, *children]
        told = np.concatenate([told, np.asarray(costs(children), np.float64)])
    return alive


def _fittest(members: Sequence[Architecture], scores: Floats, room: int) -> Genetic:
    """The best of them; ties are broken by id, so that no order depends on who came first."""
    ids = np.array([member.id for member in members])
    order = np.lexsort((ids, scores))[:room]
    return Genetic([members[int(row)] for row in order], scores[order])


def _front_order(members: Sequence[Architecture], costs: Floats) -> Indices:
    fronts = ranks(costs)
    ids = np.array([member.id for member in members])
    return np.lexsort((ids, -crowding(costs, fronts), fronts))


@dataclass
class _Breed:
    """Makes children, none of them twice.

    Attributes:
        known: Ids of whoever was there.
    """

    space: Space
    distance: Distance
    settings: GeneticSettings
    rng: np.random.Generator
    known: set[str]

    def children(
        self, alive: Sequence[Architecture], fitness: Sequence[float]
    ) -> list[Architecture]:
        """New members within the limits, each different from all that were there.

        Args:
            alive: The parents.
            fitness: Of each, from 0 (no better than the mean) to 1 (the best).
        """
        if self.space.size == 1:
            return []
        children: list[Architecture] = []
        for parent, own in zip(alive, fitness, strict=True):
            for _ in range(self.settings.children):
                child = self._new(alive, parent, 1 - own)
                if child is not None:
                    children.append(child)
        return children

    def _new(
        self, alive: Sequence[Architecture], parent: Architecture, change: float
    ) -> Architecture | None:
        """The first new child within the limits; else the nearest one, repaired."""
        nearest, least = None, np.inf
        for _ in range(DRAWS):
            child = self._child(alive, parent, change)
            if child.id in self.known:
                continue
            distance = self.distance(child)
            if distance <= 0:
                self.known.add(child.id)
                return child
            if distance < least:
                nearest, least = child, distance
        if nearest is not None:
            nearest = repaired(self.space, nearest, self.distance, self.rng, REPAIRS)
        if nearest is None or nearest.id in self.known:
            return None
        self.known.add(nearest.id)
        return nearest

    def _child(
        self, alive: Sequence[Architecture], parent: Architecture, change: float
    ) -> Architecture:
        """A child that is changed as much as `change`, from 0 to 1, allows."""
        space, rng = self.space, self.rng
        if rng.random() < self.settings.crossover * change:
            other = alive[int(rng.integers(len(alive)))]
            child = space.crossover(parent, other, rng)
            if child.id != parent.id:
                return child
        child = space.mutate(parent, rng)
        for _ in range(int(rng.poisson(self.settings.mutation * change))):
            child = space.mutate(child, rng)
        return child
