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
from nas.core.architecture import Architecture
from nas.core.config import Settings
from nas.core.space import Space

__all__ = ["Genetic", "GeneticSettings", "Score", "genetic_search"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

Score: TypeAlias = Callable[[Sequence[Architecture]], Floats]
"""Scores ``(n,)`` of members, less is better; the same for a member whenever it is asked."""

DRAWS: Final = 8
"""Attempts at a child that is new before a parent has one fewer."""

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
    known = {member.id for member in alive}
    scores = np.asarray(score(alive), np.float64)
    room = settings.best + settings.random
    found = _fittest(alive, scores, room)
    found.history, found.scored = [float(found.scores[0])], len(alive)
    idle = 0
    for _ in range(settings.generations):
        children = _children(space, found, distance, settings, rng, known)
        if not children:
            break
        told = np.asarray(score(children), np.float64)
        history, scored = found.history, found.scored + len(children)
        both = [*found.members, *children]
        found = _fittest(both, np.concatenate([found.scores, told]), room)
        better = found.scores[0] < history[-1] - settings.tolerance
        found.history, found.scored = [*history, float(found.scores[0])], scored
        idle = 0 if better else idle + 1
        if idle == settings.patience:
            break
    return found


def _fittest(members: Sequence[Architecture], scores: Floats, room: int) -> Genetic:
    """The best of them; ties are broken by id, so that no order depends on who came first."""
    ids = np.array([member.id for member in members])
    order = np.lexsort((ids, scores))[:room]
    return Genetic([members[int(row)] for row in order], scores[order])


def _children(
    space: Space,
    found: Genetic,
    distance: Distance,
    settings: GeneticSettings,
    rng: np.random.Generator,
    known: set[str],
) -> list[Architecture]:
    """New members within the limits, each different from all that were scored."""
    if space.size == 1:
        return []
    mean, best = float(found.scores.mean()), float(found.scores[0])
    children: list[Architecture] = []
    for parent, score in zip(found.members, found.scores.tolist(), strict=True):
        fitness = min(1.0, max(0.0, (mean - score) / (mean - best))) if mean > best else 0.0
        for _ in range(settings.children):
            for _ in range(DRAWS):
                child = _child(space, found.members, parent, 1 - fitness, settings, rng)
                near = repaired(space, child, distance, rng, REPAIRS)
                if near is not None and near.id not in known:
                    known.add(near.id)
                    children.append(near)
                    break
    return children


def _child(
    space: Space,
    alive: Sequence[Architecture],
    parent: Architecture,
    change: float,
    settings: GeneticSettings,
    rng: np.random.Generator,
) -> Architecture:
    """A child that is changed as much as `change`, from 0 to 1, allows."""
    if rng.random() < settings.crossover * change:
        other = alive[int(rng.integers(len(alive)))]
        child = space.crossover(parent, other, rng)
        if child.id != parent.id:
            return child
        parent = child
    child = space.mutate(parent, rng)
    for _ in range(int(rng.poisson(settings.mutation * change))):
        child = space.mutate(child, rng)
    return child
