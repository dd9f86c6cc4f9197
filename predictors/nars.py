"""FBNetV3's predictor: an embedding pretrained on what is known for free, and the recipe after it.

Dai et al., "FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining", CVPR 2021
(method NARS). Architectures of the space, none of which is trained, teach an embedding through a
head that predicts the logarithms of parameters and multiply-accumulates; a second head on the
embedding and the recipe then learns readings by the Huber loss, first with the embedding frozen,
then with all of it at a smaller rate.

The paper's widths, the size of its set for pretraining and its rates are not public where we
looked: they are settings, with defaults of ours. Defaults also differ in what was measured to help
(`benchmarks/nars.py`): the statistics are inputs of the second head, too; with more readings than
`freeze`, or without pretraining, nothing is frozen; several networks are averaged. Where labels
tell what was read on several levels of training, the lower ones are learnt first: cheap trainings
of many candidates pretrain the second head, of whose recipes the statistics know nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np
from pydantic import Field

from nas.core.architecture import Architecture
from nas.core.seeds import derive
from nas.core.space import Space
from predictors.base import Batch, Inputs, Predictor, PredictorSettings
from predictors.encodings import ENCODINGS
from predictors.encodings.base import Encoder, make_encoder
from predictors.encodings.parts import RecipeCode, SizeCode, of_network
from predictors.labels import Floats, Labels, Prediction
from predictors.statistics import Sizes
from predictors.targets import Scale, Targets
from predictors.two_heads import Embedding, Phase, TwoHeads

__all__ = ["Nars"]

RATE: Final = 0.02
"""First learning rate of pretraining, and
its weight decay. Most of a decayed embedding is about sizes: what it is not told about shrinks."""
DECAY: Final = 1.0


class NarsSettings(PredictorSettings):
    """Settings of FBNetV3's predictor.

    Attributes:
        encoding: What the embedding sees of the network: never its recipe, as published.
        target: What is regressed, see `predictors.targets`.
        statistics: Whether figures that cost nothing are inputs of the second head (published:
            no): those given as `extra`, else parameters and multiply-accumulates.
        members: Networks that are averaged; `predict`'s deviation is among them.
        embedding: Hidden layers, then the width of the embedding.
        hidden: Hidden layers of the head that learns readings.
        pretraining: Random architectures that the embedding is pretrained on; 0 for none. Without
            effect in a space that cannot count its networks.
        pretraining_steps: Steps of it, on 256 architectures each.
        freeze: With at most so many readings the embedding is frozen at first.
        frozen_steps: Steps of the head alone then.
        steps: Steps of everything.
        learning_rate: Of the head alone, and of everything where nothing was frozen.
        thaw: Times `learning_rate`, for everything after the head alone or after a lower level.
        weight_decay: Decoupled.
    """

    encoding: str = Field(default="onehot", min_length=1)
    target: Scale = "value"
    statistics: bool = True
    members: int = Field(default=4, ge=1)
    embedding: tuple[int, ...] = Field(default=(128, 24), min_length=1)
    hidden: tuple[int, ...] = (32,)
    pretraining: int = Field(default=5000, ge=0)
    pretraining_steps: int = Field(default=1000, ge=1)
    freeze: int = Field(default=50, ge=0)
    frozen_steps: int = Field(default=30, ge=1)
    steps: int = Field(default=100, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    thaw: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)


class Nars(Predictor):
    """The embedding, pretrained once per space and seed in a process, and the two heads."""

    Settings: ClassVar[type[PredictorSettings]] = NarsSettings
    levels: ClassVar[bool] = True

    def __init__(self, space: Space, settings: Any = None, seed: int = 0) -> None:
        super().__init__(space, settings, seed)
        names = [name.strip() for name in self.settings.encoding.split("+")]
        kinds = [of_network(ENCODINGS.get(name)) for name in names]
        self._encoder = make_encoder(space, (*kinds, RecipeCode))
        self._inputs = Inputs(self._encoder)

    def _learn(self, batch: Batch, labels: Labels) -> None:
        s = self.settings
        levels = labels.by_level()
        self._targets = Targets(levels[-1][1], s.target)
        inputs, rest = self._split(batch)
        rng = np.random.default_rng(derive(self.seed, "networks"))
        shape = (s.members, (inputs.shape[1], *s.embedding))
        known = _pretrained(self._encoder, shape, s.pretraining, s.pretraining_steps, self.seed)
        embedding = Embedding(*shape, 0, rng) if known is None else deepcopy(known)
        networks = self._networks = TwoHeads(embedding, rest.shape[1], s.hidden, rng)
        rate = s.learning_rate
        if known is not None and len(levels[0][0]) <= s.freeze:
            rows, told = levels[0]
            alone = Phase(s.frozen_steps, rate, s.weight_decay, frozen=True)
            networks.train(inputs[rows], rest[rows], Targets(told, s.target).values, alone)
            rate *= s.thaw
        for rows, told in levels:
            values = Targets(told, s.target).values
            networks.train(inputs[rows], rest[rows], values, Phase(s.steps, rate, s.weight_decay))
            rate = min(rate, s.learning_rate * s.thaw)  # higher levels correct what is known

    def _expect(self, batch: Batch) -> Prediction:
        outputs = self._networks(*self._split(batch)).astype(np.float64)
        return self._targets.prediction(outputs.mean(0), outputs.std(0))

    def _split(self, batch: Batch) -> tuple[Floats, Floats]:
        """What the embedding sees, and what joins after it."""
        network, recipe = _widths(self._encoder)
        inputs, rest = batch.vectors[:, :network], batch.vectors[:, network:]
        if not self.settings.statistics:
            return inputs, rest[:, :recipe]
        if batch.extra.shape[1]:
            return inputs, rest
        sizes = Inputs(make_encoder(self.space, (SizeCode,)))
        nothing = np.empty((len(inputs), 0))
        return inputs, np.hstack([rest, sizes.learn(batch.architectures, nothing)])


def _widths(encoder: Encoder) -> tuple[int, int]:
    """Columns of the network and of the recipe."""
    *network, recipe = [e.encode([]).shape[1] for e in encoder.encodings]
    return sum(network), recipe


@lru_cache(maxsize=32)
def _pretrained(
    encoder: Encoder, shape: tuple[int, tuple[int, ...]], count: int, steps: int, seed: int
) -> Embedding | None:
    """Embeddings that know sizes; None where nobody knows these, or all are alike."""
    (network, _), space = _widths(encoder), encoder.encodings[0].space
    if not count or not network or not Sizes(space).known:
        return None
    rng = np.random.default_rng(derive(seed, "pretraining"))
    members = _random_members(space, count, rng)
    vectors = Inputs(encoder).learn(members, np.empty((len(members), 0)))
    sizes = make_encoder(space, (SizeCode,))(members)
    sizes = sizes[:, np.ptp(sizes, axis=0) > 0]
    if not sizes.shape[1]:
        return None
    embedding = Embedding(*shape, sizes.shape[1], rng)
    targets = (sizes - sizes.mean(0)) / sizes.std(0)
    embedding.pretrain(vectors[:, :network], targets, Phase(steps, RATE, DECAY), rng)
    return embedding


def _random_members(space: Space, count: int, rng: np.random.Generator) -> Sequence[Architecture]:
    """Different random members, fewer if twice as many draws give no more."""
    found: dict[str, Architecture] = {}
    for _ in range(2 * count):
        member = space.sample(rng)
        found.setdefault(member.id, member)
        if len(found) == count:
            break
    return list(found.values())
