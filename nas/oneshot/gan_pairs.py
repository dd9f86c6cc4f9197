"""Stage 2 of EAGAN: each discriminator trains a copy of the generator of its own, one to one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from nas.core.errors import CandidateError, DivergenceError
from nas.core.protocols import Context
from nas.oneshot.gan_parts import (
    DISCRIMINATOR,
    FORWARDS,
    GENERATOR,
    OnPath,
    Parts,
    Scores,
    check_stop,
    copied,
    measured,
)
from nas.strategies.eagan.settings import DiscriminatorStage
from nas.training.gan.learner import PairLearner
from nas.training.randomness import derive
from search_spaces import get_space
from search_spaces.gan.genes import Genotype
from search_spaces.gan.sharing import copy_weights

__all__ = ["PairTraining", "Slot"]

NEVER = 1 << 40
"""Steps of the discriminator before one of the generator, where there is to be none."""
OWN = "own"


@dataclass
class Slot:
    """One pair: all that is its own.

    Attributes:
        path: Rows of its discriminator.
        replicate: Which of the pairs of these rows.
        learner: Its networks, optimizers and average.
        failed: Why it is no longer trained; empty if it is.
        losses: Means over its last epoch.
    """

    path: Genotype
    replicate: int
    learner: PairLearner
    failed: str = ""
    losses: Mapping[str, float] = field(default_factory=dict)


class PairTraining:
    """The pairs of stage 2, and the supernet that their discriminators begin with.

    Args:
        parts: What everything is made of.
        settings: Of the stage, resolved.
        generator: The one found in stage 1, with its weights; no pair trains this very network.
        fixed: The discriminator of stage 1, whose weights its path of the supernet begins with.

    Attributes:
        base: The generator.
        supernet: All paths of discriminators.
        slots: The pairs, those of one discriminator side by side.
        round: Times that pairs were arranged.
    """

    def __init__(
        self, parts: Parts, settings: DiscriminatorStage, generator: Any, fixed: Any | None
    ) -> None:
        self._parts, self._settings = parts, settings
        self.base = generator
        self.supernet = parts.supernet(DISCRIMINATOR)
        if fixed is not None:
            copy_weights(fixed, self.supernet)
        self.slots: list[Slot] = []
        self.round = 0
        self._on = OnPath(self.supernet, self.supernet.rows)
        warm = parts.recipe.but(n_critic=NEVER)
        self._warm = parts.learner(
            self._copy(generator), self._on, settings.warmup, "warm up", recipe=warm
        )

    @property
    def generator_path(self) -> Genotype:
        """Rows of the generator."""
        rows: Genotype = self.base.rows
        return rows

    @property
    def epochs(self) -> int:
        """Of each pair in a round."""
        steps = self._settings.steps * self._parts.recipe.n_critic
        return -(-steps // self._warm.steps)

    def warm_up(self, context: Context) -> dict[str, Any]:
        """One epoch of uniformly drawn discriminators; the generator is held as it is.

        Raises:
            CandidateError, Interrupted: As of stage 1.
        """
        space: Any = get_space("gan-discriminator")
        learner = self._warm
        rng = np.random.default_rng(
            derive(self._parts.seed, "discriminators", learner.step // learner.steps)
        )
        macs = 0.0
        learner.begin_epoch()
        for _ in range(learner.steps):
            check_stop(context)
            self._on.path = space.paths(space.sample(rng))[DISCRIMINATOR]
            before = dict(learner.passes)
            learner.take_step()
            macs += self._cost(learner, before, self._on.path)
        found: dict[str, Any] = learner.means()
        learner.end_epoch()
        return {**found, "macs": macs}

    def arrange(self, paths: Sequence[Genotype], ranking: Sequence[int]) -> None:
        """Begin a round: what is a pair's own follows its discriminator, generators are reset.

        Args:
            paths: Discriminators of the round, all different.
            ranking: Places in `slots`, best first; empty before the first round.
        """
        best = self.slots[ranking[0]] if ranking else None
        if self._settings.weights == OWN:
            for place in reversed(ranking):  # the best one last: its weights stay
                if not self.slots[place].failed:
                    copy_weights(self.slots[place].learner.discriminator, self.supernet)
        before = {(slot.path, slot.replicate): slot for slot in self.slots if not slot.failed}
        self.round += 1
        self.slots = [
            self._slot(path, replicate, before.get((path, replicate)), best)
            for path in paths
            for replicate in range(self._settings.replicates or 1)
        ]

    def _slot(
        self, path: Genotype, replicate: int, previous: Slot | None, best: Slot | None
    ) -> Slot:
        """The pair of a discriminator, its weights and moments copied from where they belong."""
        s = self._settings
        source = best if s.resetting else previous
        learner = self._learner(
            self._copy(self.base if source is None else source.learner.generator),
            self._discriminator(path, previous),
            replicate,
        )
        if s.weights == OWN and previous is not None:
            moments = previous.learner.optimizers[DISCRIMINATOR].state_dict()
            learner.optimizers[DISCRIMINATOR].load_state_dict(copied(moments))
        if source is not None and (s.moments == "copy" or not s.resetting):
            moments = source.learner.optimizers[GENERATOR].state_dict()
            learner.optimizers[GENERATOR].load_state_dict(copied(moments))
        if source is not None and not s.resetting and learner.average and source.learner.average:
            learner.average.load_state(source.learner.average.state())
        return Slot(path, replicate, learner)

    def _discriminator(self, path: Genotype, previous: Slot | None) -> Any:
        if self._settings.weights != OWN:
            return OnPath(self.supernet, path)
        made = self._parts.network(DISCRIMINATOR, path)
        copy_weights(self.supernet if previous is None else previous.learner.discriminator, made)
        return made

    def _learner(self, generator: Any, discriminator: Any, replicate: int) -> PairLearner:
        """Of one round; the same chance for every discriminator's replicate of that number."""
        learner = self._parts.learner(
            generator, discriminator, self.epochs, "pairs", self.round, replicate
        )
        if self._settings.weights != OWN:  # one network, one optimizer
            learner.optimizers[DISCRIMINATOR] = self._warm.optimizers[DISCRIMINATOR]
        return learner

    def _copy(self, generator: Any) -> Any:
        made = self._parts.network(GENERATOR, generator.rows)
        copy_weights(generator, made)
        return made

    def train(self, epochs: int, context: Context) -> dict[str, Any]:
        """Train every pair that has not failed, each as a GAN of its own.

        Returns:
            Pairs times `epochs` trained, `macs`, why each has `failed`, and mean `losses` of the
            last epoch.

        Raises:
            Interrupted: The run is to stop.
        """
        macs, trained = 0.0, 0
        orders = [[slot] for slot in self.slots] if self._settings.weights == OWN else [self.slots]
        for together in orders:
            for _ in range(epochs):
                alive = [slot for slot in together if not slot.failed]
                macs += sum(self._epoch(alive, context))
                trained += len(alive)
        alive = [slot for slot in self.slots if not slot.failed]
        names = alive[0].losses if alive else ()
        return {
            "epochs": trained,
            "macs": macs,
            "failed": [slot.failed for slot in self.slots],
            "losses": {name: fmean(slot.losses[name] for slot in alive) for name in names},
        }

    def _epoch(self, slots: Sequence[Slot], context: Context) -> Iterator[float]:
        """One of each pair, a step in turn; gives what the steps cost."""
        for slot in slots:
            slot.learner.begin_epoch()
        for _ in range(self._warm.steps):
            for slot in slots:
                check_stop(context)
                if slot.failed:
                    continue
                before = dict(slot.learner.passes)
                try:
                    slot.learner.take_step()
                except DivergenceError as error:
                    slot.failed = error.message
                yield self._cost(slot.learner, before, slot.path)
        for slot in slots:
            try:
                slot.losses = slot.learner.means()
            except CandidateError as error:
                slot.failed = error.message
            slot.learner.end_epoch()

    def _cost(self, learner: PairLearner, before: Mapping[str, float], path: Genotype) -> float:
        parts = self._parts
        macs = {
            GENERATOR: parts.macs(GENERATOR, self.generator_path),
            DISCRIMINATOR: parts.macs(DISCRIMINATOR, path),
        }
        return FORWARDS * sum((n - before[s]) * macs[s] for s, n in learner.passes.items())

    def score(self, scores: Scores, seed: int) -> list[list[dict[str, float] | None]]:
        """Figures of each pair's averaged generator, a list for each discriminator.

        The latent vectors are the same for all; nothing is changed.
        """
        z, flat = scores.latents(self._parts, seed), []
        for slot in self.slots:
            figures = None
            if not slot.failed:
                with measured(slot.learner) as network:
                    figures = scores.of(network, z, self._parts.device)
            sizes = self._parts.sizes(self.generator_path, slot.path)
            flat.append(None if figures is None else figures | sizes)
        several = self._settings.replicates or 1
        return [flat[start : start + several] for start in range(0, len(flat), several)]

    def state(self) -> dict[str, Any]:
        """Everything that later answers depend on."""
        return {
            "generator": [list(row) for row in self.generator_path],
            "base": self.base.state_dict(),
            "supernet": self.supernet.state_dict(),
            "warm": self._warm.state(),
            "round": self.round,
            "slots": [
                {
                    "path": [list(row) for row in slot.path],
                    "replicate": slot.replicate,
                    "failed": slot.failed,
                    "learner": slot.learner.state(),
                }
                for slot in self.slots
            ],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Become what gave `state`; it was made with the same generator's rows."""
        self.base.load_state_dict(state["base"])
        self.supernet.load_state_dict(state["supernet"])
        self._warm.load_state(state["warm"])
        self.round = state["round"]
        self.slots = []
        for row in state["slots"]:
            path = tuple(tuple(genes) for genes in row["path"])
            learner = self._learner(
                self._copy(self.base), self._discriminator(path, None), row["replicate"]
            )
            learner.load_state(row["learner"])
            self.slots.append(Slot(path, row["replicate"], learner, row["failed"]))
