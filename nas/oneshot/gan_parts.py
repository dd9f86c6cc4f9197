"""What both stages of a GAN's search are made of: images, recipe, networks, scores."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError, Interrupted
from nas.core.protocols import Context
from nas.measure.gan.extractors import FeatureExtractor
from nas.measure.gan.features import logits_of
from nas.measure.gan.inception_score import SPLITS, inception_score
from nas.measure.gan.judge import Judge
from nas.training.device import out_of_memory
from nas.training.gan.images import drawn, latents
from nas.training.gan.learner import PairLearner
from nas.training.gan.recipe import GanRecipe
from nas.training.randomness import derive, generator, seeded
from nas.training.stream import Placed
from search_spaces import get_space
from search_spaces.gan.costs import costs_of_parts
from search_spaces.gan.genes import Genotype
from search_spaces.gan.sharing import draw, recalibrate

__all__ = [
    "COUNTED",
    "DISCRIMINATOR",
    "FAILURES",
    "FORWARDS",
    "GENERATOR",
    "OnPath",
    "Parts",
    "Paths",
    "Scores",
    "as_lists",
    "as_path",
    "balanced",
    "check_stop",
    "copied",
    "count_statistics",
    "endless",
    "failure",
    "measured",
]

GENERATOR: Final = "generator"
DISCRIMINATOR: Final = "discriminator"
FORWARDS: Final = 3
"""Cost of a gradient in forward passes."""
COUNTED: Final = 8
"""Batches that the statistics of a path's normalisation are counted on."""


class Paths(nn.Module):
    """A supernet of generators as one: a batch is split over the paths that it has at the moment.

    Args:
        network: Holds every operation.

    Attributes:
        paths: Those that are drawn by.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.latent: int = network.latent
        self.paths: list[Genotype] = [network.rows]

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(B, latent)`` to images ``(B, C, H, W)``."""
        return draw(self.network, z, self.paths)


class OnPath(nn.Module):
    """A path of a supernet of discriminators as a network.

    Args:
        network: Holds every operation; others may share it.
        path: The path, which may be exchanged.
    """

    def __init__(self, network: nn.Module, path: Genotype) -> None:
        super().__init__()
        self.network = network
        self.path = path
        self.scores_apart = getattr(network, "scores_apart", False) is True

    def forward(self, x: Tensor) -> Tensor:
        """Map images to scores ``(B, 1)``."""
        scores: Tensor = self.network(x, self.path)
        return scores


@dataclass(frozen=True)
class Parts:
    """What networks are made of and trained on.

    Attributes:
        images: Those to be generated.
        recipe: How pairs are trained.
        scale: Macro settings of the space of pairs, complete.
        shape: Channels, height and width of an image.
        seed: The run's.
        device: Where everything is.
    """

    images: Placed
    recipe: GanRecipe
    scale: Mapping[str, Any]
    shape: tuple[int, int, int]
    seed: int
    device: torch.device

    @property
    def latent(self) -> int:
        """Length of a latent vector."""
        return int(self.scale["latent"])

    def supernet(self, part: str) -> Any:
        """All paths of a part in one network, its initial weights decided by the seed."""
        space = get_space(f"gan-{part}")
        with seeded(self.seed, "supernet", part):
            network = space.supernet(self.shape, **self._scale(space))
        return network.to(self.device)

    def network(self, part: str, path: Genotype, *chance: str | int) -> Any:
        """One path by itself; without chance its weights are to be copied from elsewhere."""
        space: Any = get_space(f"gan-{part}")
        with seeded(self.seed, "network", part, *chance):
            architecture = space.from_paths({part: path})
            network = space.network(architecture, self.shape, **self._scale(space))
        return network.to(self.device)

    def macs(self, part: str, path: Genotype) -> float:
        """Multiply-accumulates of a forward pass of one image."""
        return float(costs_of_parts({part: path}, self.shape, self.scale)[part].macs)

    def sizes(self, generated: Genotype, judged: Genotype) -> dict[str, float]:
        """Parameters and multiply-accumulates of both, under the evaluator's names."""
        paths = {GENERATOR: generated, DISCRIMINATOR: judged}
        costs = costs_of_parts(paths, self.shape, self.scale)
        return {
            "params": float(costs[GENERATOR].params),
            "macs": float(costs[GENERATOR].macs),
            "discriminator_params": float(costs[DISCRIMINATOR].params),
            "discriminator_macs": float(costs[DISCRIMINATOR].macs),
        }

    def learner(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        horizon: int,
        *chance: str | int,
        recipe: GanRecipe | None = None,
    ) -> PairLearner:
        """What trains two networks against each other."""
        return PairLearner(
            generator,
            discriminator,
            self.latent,
            self.images,
            recipe or self.recipe,
            max(1, horizon),
            derive(self.seed, *chance),
        )

    def _scale(self, space: Any) -> dict[str, Any]:
        return {key: value for key, value in self.scale.items() if key in space.scale}


class Scores:
    """Figures of generators that are trained with shared weights.

    Args:
        extractor: On the device.
        judge: Knows the real images, those of validation.
        samples: Generated images that a score is of.
        groups: Of the jackknife.
        classes: Whether the inception score is wanted.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        judge: Judge,
        samples: int,
        groups: int,
        classes: bool,
    ) -> None:
        self._extractor, self._judge = extractor, judge
        self.samples, self._groups, self._classes = samples, groups, classes

    def of(self, network: nn.Module, z: Tensor, device: torch.device) -> dict[str, float] | None:
        """Distance and standard error; None if a pixel is no number.

        Args:
            network: A generator in evaluation mode.
            z: The same for all that are compared, (samples, latent).
            device: Where the network is.
        """
        images = drawn(network, z, device)
        if images is None:
            return None
        name = self._extractor.name
        distance = self._judge.estimate(images, self._groups)
        found = {f"fd_{name}": distance.value, f"fd_{name}_se": distance.error}
        if self._classes:
            logits = logits_of(self._extractor, images, str(device))
            if logits is not None:
                score = inception_score(logits, min(SPLITS, len(logits) // 2))
                found |= {f"is_{name}": score.value, f"is_{name}_se": score.error}
        return found

    def latents(self, parts: Parts, seed: int) -> Tensor:
        """The vectors of one comparison."""
        return latents(self.samples, parts.latent, generator(seed, "scored"))


def check_stop(context: Context) -> None:
    """Between two steps.

    Raises:
        Interrupted: The run is to stop.
    """
    if context.should_stop():
        raise Interrupted


FAILURES: Final = (CandidateError, RuntimeError, MemoryError)
"""What `failure` is asked about."""


def failure(error: Exception, device: torch.device) -> str:
    """Why a network failed: it diverged, or memory ran out; whatever else it was is raised."""
    if isinstance(error, CandidateError):
        return error.message
    return out_of_memory(error, device).message


@contextmanager
def measured(learner: PairLearner) -> Iterator[nn.Module]:
    """The generator with its averaged weights for a while, then as it was to the bit."""
    network = learner.generator
    training = network.training
    own = [buffer.detach().clone() for buffer in network.buffers()]
    try:
        with nullcontext() if learner.average is None else learner.average.applied():
            network.eval()
            yield network
    finally:
        with torch.no_grad():
            for buffer, before in zip(network.buffers(), own, strict=True):
                buffer.copy_(before)
        network.train(training)


def count_statistics(network: Any, parts: Parts, seed: int, path: Genotype) -> None:
    """Make the running statistics of a supernet's normalisation those of one path."""
    size = max(2, parts.recipe.generator_batch or parts.recipe.batch_size)
    z = latents(COUNTED * size, parts.latent, generator(seed, "counted")).to(parts.device)
    recalibrate(network, z.split(size), path)  # type: ignore[no-untyped-call]


def as_lists(path: Genotype) -> list[list[str]]:
    """Rows as a state has them."""
    return [list(row) for row in path]


def as_path(rows: Sequence[Sequence[str]]) -> Genotype:
    """Rows that can be a key, from those of a state."""
    return tuple(tuple(row) for row in rows)


def copied(state: Any) -> Any:
    """A state that shares no storage with what gave it."""
    return copy.deepcopy(state)


def endless(count: int, first: int, draws: int, seed: int) -> list[int]:
    """Draws number `first` and following of a sequence of permutations of `count` places.

    Whatever it is cut into, two places are drawn equally often but for one at either end.
    """
    wanted = range(first, first + draws)
    orders = {
        number: np.random.default_rng(derive(seed, "turns", count, number)).permutation(count)
        for number in {draw // count for draw in wanted}
    }
    return [int(orders[draw // count][draw % count]) for draw in wanted]


def balanced(count: int, draws: int, rng: Any) -> Sequence[int]:
    """So many places of `count`, each as often as any other but for one."""
    rounds = -(-draws // count)
    return [int(i) for _ in range(rounds) for i in rng.permutation(count)][:draws]
