"""Stage 1 of EAGAN: a supernet of generators against one discriminator, many to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nas.core.protocols import Context
from nas.oneshot.gan_parts import (
    DISCRIMINATOR,
    FORWARDS,
    GENERATOR,
    Parts,
    Paths,
    Scores,
    balanced,
    check_stop,
    count_statistics,
    measured,
)
from nas.training.randomness import derive
from search_spaces import get_space
from search_spaces.gan.genes import Genotype
from search_spaces.gan.sharing import copy_weights

__all__ = ["GeneratorTraining"]


class GeneratorTraining:
    """One supernet, one discriminator, one optimizer of each.

    Every step of the discriminator is on the images of a few generators, which then learn from it:
    gradients reach their operations only, and what got none is not moved.

    Args:
        parts: What everything is made of.
        fixed: Rows of the discriminator.
        paths: Generators a step.
        horizon: Epochs that the schedule of rates is laid out for.

    Attributes:
        fixed: The rows.
        network: The supernet, drawn from by the paths of the moment.
        discriminator: Of these rows.
        learner: Trains both.
    """

    def __init__(self, parts: Parts, fixed: Genotype, paths: int, horizon: int) -> None:
        self._parts, self.fixed, self._several = parts, fixed, paths
        self.network = Paths(parts.supernet(GENERATOR))
        self.discriminator = parts.network(DISCRIMINATOR, fixed, "held")
        self.learner = parts.learner(self.network, self.discriminator, horizon, "generators")
        self._judged = parts.macs(DISCRIMINATOR, fixed)

    @property
    def epochs(self) -> int:
        """How many are over."""
        return self.learner.step // self.learner.steps

    def epoch(self, population: Sequence[Genotype] | None, context: Context) -> dict[str, Any]:
        """Train for one.

        Args:
            population: Paths, each of which is drawn by as often as any other; None for uniformly
                drawn ones.
            context: Asked whether to stop.

        Returns:
            Losses, `counts` of steps by path (empty where none were given), `macs`.

        Raises:
            CandidateError: A loss is not finite, or scores are out of bounds.
            Interrupted: The run is to stop.
        """
        learner, several = self.learner, self._at_once(population)
        rng = np.random.default_rng(derive(self._parts.seed, "paths", self.epochs))
        order = balanced(len(population), learner.steps * several, rng) if population else []
        counts = [0] * len(population or ())
        macs = 0.0
        learner.begin_epoch()
        for step in range(learner.steps):
            check_stop(context)
            if population is None:
                paths = [self._drawn(rng) for _ in range(several)]
            else:
                places = order[step * several : (step + 1) * several]
                paths = [population[place] for place in places]
                for place in places:
                    counts[place] += 1
            self.network.paths = paths
            before = dict(learner.passes)
            learner.take_step()
            macs += self._cost(before, paths)
        found: dict[str, Any] = learner.means()
        learner.end_epoch()
        return {**found, "counts": counts, "macs": macs}

    def _at_once(self, population: Sequence[Genotype] | None) -> int:
        """Paths in a step: no more than there are, and two images for each at least."""
        recipe = self._parts.recipe
        least = min(recipe.batch_size, recipe.generator_batch or recipe.batch_size)
        least = min(least, len(self._parts.images))
        most = self._several if population is None else len(population)
        return max(1, min(self._several, most, least // 2))

    def _drawn(self, rng: np.random.Generator) -> Genotype:
        space: Any = get_space("gan-generator")
        rows: Genotype = space.paths(space.sample(rng))[GENERATOR]
        return rows

    def _cost(self, before: Mapping[str, float], paths: Sequence[Genotype]) -> float:
        """Multiply-accumulates of a step."""
        passed = {side: now - before[side] for side, now in self.learner.passes.items()}
        each = sum(self._parts.macs(GENERATOR, path) for path in paths) / len(paths)
        return FORWARDS * (passed[GENERATOR] * each + passed[DISCRIMINATOR] * self._judged)

    def score(
        self, paths: Sequence[Genotype], scores: Scores, seed: int
    ) -> list[dict[str, float] | None]:
        """Figures of averaged weights, of the same latent vectors for all; changes nothing."""
        z = scores.latents(self._parts, seed)
        found: list[dict[str, float] | None] = []
        for path in paths:
            with measured(self.learner):
                count_statistics(self.network.network, self._parts, seed, path)
                self.network.paths = [path]
                figures = scores.of(self.network, z, self._parts.device)
            found.append(None if figures is None else figures | self._parts.sizes(path, self.fixed))
        return found

    def taken(self, path: Genotype) -> Any:
        """A generator of its own with the averaged weights of a path, which share no storage."""
        made = self._parts.network(GENERATOR, path)
        with measured(self.learner), torch.no_grad():
            count_statistics(self.network.network, self._parts, self._parts.seed, path)
            copy_weights(self.network.network, made)
        return made

    def state(self) -> dict[str, Any]:
        """Everything that later answers depend on."""
        return {"fixed": [list(row) for row in self.fixed], "learner": self.learner.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Become what gave `state`."""
        self.learner.load_state(state["learner"])
