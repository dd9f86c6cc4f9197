"""Stage 1 of EAGAN: a supernet of generators against one discriminator, many to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from nas.core.errors import CandidateError
from nas.core.protocols import Context
from nas.oneshot.gan_parts import (
    DISCRIMINATOR,
    FAILURES,
    FORWARDS,
    GENERATOR,
    Parts,
    Paths,
    Scores,
    as_lists,
    as_path,
    balanced,
    check_stop,
    copied,
    count_statistics,
    endless,
    failure,
    measured,
)
from nas.training.gan.images import latents
from nas.training.randomness import derive, generator
from nas.training.statistics import unmoved_statistics
from search_spaces import get_space
from search_spaces.gan.genes import Genotype
from search_spaces.gan.sharing import copy_weights

__all__ = ["GeneratorTraining"]

PROBES: Final = 8
"""Images that tell whether a path draws numbers at all."""
RESTARTS: Final = 16
"""Times that an epoch on uniformly drawn paths is begun again."""
DRAWS: Final = 200
"""Paths that are drawn before there are enough that make images."""


class GeneratorTraining:
    """One supernet, one discriminator, one optimizer of each.

    Every step of the discriminator is on the images of a generator or a few, which then learn from
    it: gradients reach their operations only, and what got none is not moved. Where the recipe has
    several steps of the discriminator for one of the generators, those that learn are drawn for
    themselves, so that each does so as often as any other.

    An epoch that leaves a weight or a loss that is no number is taken back. It is gone through
    again without the paths that draw no images, or had part in the step after which numbers ended;
    these are never trained again.

    Args:
        parts: What everything is made of.
        fixed: Rows of the discriminator.
        paths: Generators a step.
        horizon: Epochs that the schedule of rates is laid out for.

    Attributes:
        parts: These.
        fixed: The rows.
        network: The supernet, drawn from by the paths of the moment.
        discriminator: Of these rows.
        learner: Trains both.
        dropped: Paths that failed, and why.
    """

    def __init__(self, parts: Parts, fixed: Genotype, paths: int, horizon: int) -> None:
        self.parts, self.fixed, self._several = parts, fixed, paths
        self.network = Paths(parts.supernet(GENERATOR))
        self.discriminator = parts.network(DISCRIMINATOR, fixed, "held")
        self.learner = parts.learner(self.network, self.discriminator, horizon, "generators")
        self.dropped: dict[Genotype, str] = {}
        self._judged = parts.macs(DISCRIMINATOR, fixed)

    @property
    def epochs(self) -> int:
        """How many are over."""
        return self.learner.step // self.learner.steps

    def epoch(self, population: Sequence[Genotype] | None, context: Context) -> dict[str, Any]:
        """Train for one.

        Args:
            population: Paths, each of which learns as often as any other that was not dropped; None
                for uniformly drawn ones.
            context: Asked whether to stop.

        Returns:
            Losses, `counts` of steps by path (empty where none were given), `macs`.

        Raises:
            CandidateError: All paths failed, or the discriminator did.
            Interrupted: The run is to stop.
        """
        learner = self.learner
        start, broken = copied(learner.state()), self._broken()
        macs, careful, first = 0.0, False, ""
        for _ in range(2 + (RESTARTS if population is None else len(population))):
            course = _Course(self, population, broken, careful=careful)
            try:
                found = course.go(context)
            except FAILURES as error:
                why = failure(error, self.parts.device)
                macs += course.macs
                learner.load_state(start)
                first = first or why
                if careful and not course.blamed:
                    break
                careful = careful or not course.blamed
                self.dropped |= dict.fromkeys(course.blamed, why)
                continue
            return {**found, "macs": macs + course.macs}
        raise CandidateError(first, "lower the learning rates")

    def _broken(self) -> int:
        """Weights of generators that are no numbers; a host sync.

        Raises:
            CandidateError: The discriminator has one.
        """
        if _strange(self.discriminator):
            raise CandidateError(
                "diverged: weights of the discriminator are no numbers", "lower the learning rates"
            )
        return _strange(self.network)

    def draws(self, path: Genotype) -> bool:
        """Whether its images are numbers; changes nothing."""
        network = self.network.network
        z = latents(PROBES, self.parts.latent, generator(self.parts.seed, "probe"))
        with torch.no_grad(), unmoved_statistics(network):
            return bool(torch.isfinite(network(z.to(self.parts.device), path)).all())

    def at_once(self, population: Sequence[Genotype] | None) -> int:
        """Paths in a step: no more than there are, and two images for each at least."""
        recipe = self.parts.recipe
        least = min(recipe.batch_size, recipe.generator_batch or recipe.batch_size)
        least = min(least, len(self.parts.images))
        most = self._several if population is None else len(population)
        return max(1, min(self._several, most, least // 2))

    def cost(self, before: Mapping[str, float], paths: Sequence[Genotype]) -> float:
        """Multiply-accumulates since then, of these paths."""
        passed = {side: now - before[side] for side, now in self.learner.passes.items()}
        each = sum(self.parts.macs(GENERATOR, path) for path in paths) / len(paths)
        return FORWARDS * (passed[GENERATOR] * each + passed[DISCRIMINATOR] * self._judged)

    def score(
        self, paths: Sequence[Genotype], scores: Scores, seed: int
    ) -> list[dict[str, float] | None]:
        """Figures of averaged weights, of the same latent vectors for all; changes nothing.

        None for a path that makes no images, or was dropped.
        """
        z = scores.latents(self.parts, seed)
        found: list[dict[str, float] | None] = []
        for path in paths:
            figures = None if path in self.dropped else self._scored(path, scores, z, seed)
            found.append(None if figures is None else figures | self.parts.sizes(path, self.fixed))
        return found

    def _scored(
        self, path: Genotype, scores: Scores, z: torch.Tensor, seed: int
    ) -> dict[str, float] | None:
        try:
            with measured(self.learner):
                count_statistics(self.network.network, self.parts, seed, path)
                self.network.paths = [path]
                return scores.of(self.network, z, self.parts.device)
        except FAILURES as error:
            failure(error, self.parts.device)
            return None

    def taken(self, path: Genotype) -> Any:
        """A generator of its own with the averaged weights of a path, which share no storage."""
        made = self.parts.network(GENERATOR, path)
        with measured(self.learner), torch.no_grad():
            count_statistics(self.network.network, self.parts, self.parts.seed, path)
            copy_weights(self.network.network, made)
        return made

    def state(self) -> dict[str, Any]:
        """Everything that later answers depend on."""
        return {
            "fixed": as_lists(self.fixed),
            "learner": self.learner.state(),
            "dropped": [[as_lists(path), why] for path, why in self.dropped.items()],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Become what gave `state`."""
        self.learner.load_state(state["learner"])
        self.dropped = {as_path(path): why for path, why in state["dropped"]}


class _Course:
    """One way through an epoch.

    Args:
        training: Whose.
        population: Paths; None for uniformly drawn ones.
        broken: Weights that are no numbers at its beginning.
        careful: Look after each step whether what was is still numbers.

    Attributes:
        macs: Multiply-accumulates so far.
        blamed: Paths that are to be left out, if it fails.
    """

    def __init__(
        self,
        training: GeneratorTraining,
        population: Sequence[Genotype] | None,
        broken: int,
        *,
        careful: bool,
    ) -> None:
        self._training, self._broken, self._careful = training, broken, careful
        self._seed, self._n_critic = training.parts.seed, training.parts.recipe.n_critic
        self._looks = careful or broken > 0  # whether paths draw numbers, before they are trained
        self._given = population
        self._alive: Sequence[Genotype] | None = None
        if population is not None:
            self._alive = [path for path in population if path not in training.dropped]
        self._several = training.at_once(self._alive)
        self._rng = np.random.default_rng(derive(self._seed, "paths", training.epochs))
        self.macs = 0.0
        self.blamed: list[Genotype] = []
        self._counts: dict[Genotype, int] = {}
        self._before: dict[str, float] = {}

    def go(self, context: Context) -> dict[str, Any]:
        """Go through it.

        Args:
            context: Asked whether to stop.

        Raises:
            CandidateError: A loss or another weight is no number, or scores are out of bounds.
        """
        learner, alive, several = self._training.learner, self._alive, self._several
        if alive is not None and not alive:
            raise CandidateError("diverged: no generator is left that makes images")
        order = [] if alive is None else balanced(len(alive), learner.steps * several, self._rng)
        learner.begin_epoch()
        self._look(alive or ())
        for step in range(learner.steps):
            check_stop(context)
            if alive is None:
                paths = self._drawn()
            else:
                paths = [alive[place] for place in order[step * several : (step + 1) * several]]
            self._step(paths)
        found: dict[str, Any] = learner.means()
        self._check()
        learner.end_epoch()
        return {**found, "counts": [self._counts.get(path, 0) for path in self._given or ()]}

    def _step(self, paths: list[Genotype]) -> None:
        training, seen = self._training, dict.fromkeys(paths)
        if self._careful:
            self._look(paths)
        training.network.paths = paths
        self._before = dict(training.learner.passes)
        try:
            training.learner.take_step(lambda: seen.update(dict.fromkeys(self._turn())))
            self._pay()
            if self._careful:
                self._check()
        except FAILURES:
            if self._careful:
                self.blamed = self.blamed or list(seen)
            raise

    def _check(self) -> None:
        """Refuse what is no number; a host sync.

        Raises:
            CandidateError: A loss is none, or a weight.
        """
        training = self._training
        lost = _strange(training.network) > self._broken or _strange(training.discriminator) > 0
        if lost or not training.learner.finite:
            raise CandidateError("diverged: a loss or a weight is no number")

    def _look(self, paths: Sequence[Genotype]) -> None:
        """Refuse paths whose images are no numbers, where that is to be feared.

        Raises:
            CandidateError: There are such; they are to be blamed.
        """
        if self._looks:
            self.blamed = [path for path in dict.fromkeys(paths) if not self._training.draws(path)]
        if self.blamed:
            raise CandidateError("diverged: images are no numbers")

    def _turn(self) -> list[Genotype]:
        """Let generators learn: those just seen, or where more are seen than learn, the next."""
        network, learner = self._training.network, self._training.learner
        if self._n_critic > 1:
            self._pay()
            self._before = dict(learner.passes)
            if self._alive is None:
                paths = self._drawn()
            else:
                first = (learner.step // self._n_critic - 1) * self._several
                places = endless(len(self._alive), first, self._several, self._seed)
                paths = [self._alive[place] for place in places]
            if self._careful:
                self._look(paths)
            network.paths = paths
        for path in network.paths:
            self._counts[path] = self._counts.get(path, 0) + 1
        return network.paths

    def _pay(self) -> None:
        self.macs += self._training.cost(self._before, self._training.network.paths)

    def _drawn(self) -> list[Genotype]:
        """Uniformly, but none that was dropped."""
        space: Any = get_space("gan-generator")
        training = self._training
        found: list[Genotype] = []
        for _ in range(DRAWS):
            rows: Genotype = space.paths(space.sample(self._rng))[GENERATOR]
            if self._looks and rows not in training.dropped and not training.draws(rows):
                training.dropped[rows] = "diverged: images are no numbers"
            if rows not in training.dropped:
                found.append(rows)
            if len(found) == self._several:
                return found
        raise CandidateError("diverged: hardly a generator is left that makes images")


def _strange(network: nn.Module) -> int:
    """Weights that are no numbers; one host sync."""
    return int(sum((~torch.isfinite(p)).sum() for p in network.parameters()))
