"""Stage 2 of EAGAN: each discriminator trains a copy of the generator of its own, one to one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from nas.core.errors import CandidateError
from nas.core.protocols import Context
from nas.oneshot.gan_parts import (
    DISCRIMINATOR,
    FAILURES,
    FORWARDS,
    GENERATOR,
    OnPath,
    Parts,
    Scores,
    as_lists,
    as_path,
    check_stop,
    copied,
    failure,
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
        moments: State of its optimizer.

    Attributes:
        base: The generator.
        supernet: All paths of discriminators.
        fixed: The discriminator of stage 1 as that left it; None once there are pairs.
        slots: The pairs that are trained, those of one discriminator side by side.
        aside: Those of the round, while some discriminators are confirmed.
        round: Times that pairs were arranged.
    """

    def __init__(
        self,
        parts: Parts,
        settings: DiscriminatorStage,
        generator: Any,
        fixed: Any | None,
        moments: Any = None,
    ) -> None:
        self._parts, self._settings = parts, settings
        self.base = generator
        self.supernet = parts.supernet(DISCRIMINATOR)
        if fixed is not None:
            copy_weights(fixed, self.supernet)
        self.fixed, self._moments = fixed, copied(moments)
        self.slots: list[Slot] = []
        self.aside: list[Slot] = []
        self.round = 0
        self._each = settings.replicates or 1
        self._begun: list[Any] = []  # states of the round's pairs at its beginning
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
        if self.aside:
            self.slots, self.aside = self.aside, []
        best = self.slots[ranking[0]] if ranking else None
        if self._settings.weights == OWN:
            for place in reversed(ranking):  # the best one last: its weights stay
                if not self.slots[place].failed:
                    copy_weights(self.slots[place].learner.discriminator, self.supernet)
        before = {(slot.path, slot.replicate): slot for slot in self.slots if not slot.failed}
        self.round += 1
        self._each = self._settings.replicates or 1
        self.slots = [
            self._slot(path, replicate, before.get((path, replicate)), best)
            for path in paths
            for replicate in range(self._each)
        ]
        self.fixed = self._moments = None
        if self._settings.stop and self._settings.confirm:
            self._begun = [copied(slot.learner.state()) for slot in self.slots]

    def confirm(self, paths: Sequence[Genotype]) -> None:
        """Let some discriminators of the round begin it again, in `confirm` pairs each.

        All begins as it did in the round, but chance, which no pair had before; the pairs of the
        round are put aside, and are those that the next round is arranged from.

        Args:
            paths: Discriminators of the round.
        """
        pairs, each = self._settings.confirm or 0, self._each
        places = {slot.path: place - place % each for place, slot in enumerate(self.slots)}
        self.aside = self.slots
        self.slots = []
        for path in paths:
            for number in range(pairs):
                made = self._parts.network(DISCRIMINATOR, path)
                learner = self._learner(self._copy(self.base), made, each + number)
                learner.load_state(self._begun[places[path] + number % each])
                self.slots.append(Slot(path, each + number, learner))
        self._each = pairs

    def _slot(
        self, path: Genotype, replicate: int, previous: Slot | None, best: Slot | None
    ) -> Slot:
        """The pair of a discriminator, its weights and moments copied from where they belong."""
        s = self._settings
        source = best if s.resetting else previous
        learner = self._learner(
            self._generator(source), self._discriminator(path, previous), replicate
        )
        moments = None
        if previous is not None:
            moments = previous.learner.optimizers[DISCRIMINATOR].state_dict()
        elif self._is_fixed(path):
            moments = self._moments
        if s.weights == OWN and moments is not None:
            learner.optimizers[DISCRIMINATOR].load_state_dict(copied(moments))
        if source is not None and (s.moments == "copy" or not s.resetting):
            moments = source.learner.optimizers[GENERATOR].state_dict()
            learner.optimizers[GENERATOR].load_state_dict(copied(moments))
        if source is not None and not s.resetting and learner.average and source.learner.average:
            learner.average.load_state(source.learner.average.state())
        return Slot(path, replicate, learner)

    def _generator(self, source: Slot | None) -> Any:
        """A copy of the one that a pair begins with: where it is reset, of the very one scored."""
        if source is None:
            return self._copy(self.base)
        if not self._settings.resetting:
            return self._copy(source.learner.generator)
        with measured(source.learner) as network:
            return self._copy(network)

    def _is_fixed(self, path: Genotype) -> bool:
        return self.fixed is not None and self.fixed.rows == path

    def _discriminator(self, path: Genotype, previous: Slot | None) -> Any:
        if self._settings.weights != OWN:
            return OnPath(self.supernet, path)
        made = self._parts.network(DISCRIMINATOR, path)
        source: Any = self.fixed if self._is_fixed(path) else self.supernet
        copy_weights(source if previous is None else previous.learner.discriminator, made)
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
            try:
                for _ in range(epochs):
                    alive = [slot for slot in together if not slot.failed]
                    macs += sum(self._epoch(alive, context))
                    trained += len(alive)
            finally:
                for slot in together:
                    slot.learner.release()
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
                except FAILURES as error:
                    slot.failed = failure(error, self._parts.device)
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
            figures = None if slot.failed else self._scored(slot, scores, z)
            sizes = self._parts.sizes(self.generator_path, slot.path)
            flat.append(None if figures is None else figures | sizes)
        each = self._each
        return [flat[start : start + each] for start in range(0, len(flat), each)]

    def _scored(self, slot: Slot, scores: Scores, z: Any) -> dict[str, float] | None:
        try:
            with measured(slot.learner) as network:
                return scores.of(network, z, self._parts.device)
        except FAILURES as error:
            failure(error, self._parts.device)
            return None

    def state(self) -> dict[str, Any]:
        """Everything that later answers depend on."""
        fixed = self.fixed
        held = None
        if fixed is not None:
            held = {"path": as_lists(fixed.rows), "weights": fixed.state_dict()}
        return {
            "generator": as_lists(self.generator_path),
            "base": self.base.state_dict(),
            "supernet": self.supernet.state_dict(),
            "fixed": held,
            "moments": self._moments,
            "warm": self._warm.state(),
            "round": self.round,
            "each": self._each,
            "begun": self._begun,
            "slots": [_row(slot) for slot in self.slots],
            "aside": [_row(slot) for slot in self.aside],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Become what gave `state`; it was made with the same generator's rows."""
        self.base.load_state_dict(state["base"])
        self.supernet.load_state_dict(state["supernet"])
        self.fixed, self._moments = None, state["moments"]
        if state["fixed"] is not None:
            self.fixed = self._parts.network(DISCRIMINATOR, as_path(state["fixed"]["path"]))
            self.fixed.load_state_dict(state["fixed"]["weights"])
        self._warm.load_state(state["warm"])
        self.round, self._each, self._begun = state["round"], state["each"], state["begun"]
        self.slots = [self._read(row) for row in state["slots"]]
        self.aside = [self._read(row) for row in state["aside"]]

    def _read(self, row: Mapping[str, Any]) -> Slot:
        path = as_path(row["path"])
        learner = self._learner(
            self._copy(self.base), self._discriminator(path, None), row["replicate"]
        )
        learner.load_state(row["learner"])
        return Slot(path, row["replicate"], learner, row["failed"])


def _row(slot: Slot) -> dict[str, Any]:
    return {
        "path": as_lists(slot.path),
        "replicate": slot.replicate,
        "failed": slot.failed,
        "learner": slot.learner.state(),
    }
