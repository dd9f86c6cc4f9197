"""Several networks at once, each an embedding with two heads, in plain numpy.

Dai et al., "FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining", CVPR 2021: the
embedding of the architecture is pretrained through a head that predicts what is known for free;
then a head on the embedding and the recipe learns the accuracy, first alone, then with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
from scipy.special import expit

from predictors.networks import Adam, Array

__all__ = ["Embedding", "Layers", "Phase", "TwoHeads", "huber"]

Tape: TypeAlias = "list[tuple[Array, Array | None]]"
"""The inputs, then of every layer the outputs ``(m, n, width)`` and the slopes in its sums."""

BATCH: Final = 256
"""Examples of a step of pretraining."""

GAIN: Final = 0.6
"""Standard deviation of initial weights times the root of a layer's inputs."""

_FLAT: Final = 1e-6


def huber(outputs: Array, targets: Array) -> Array:
    """Slope of the Huber loss (delta 1), the mean over examples and added up over networks.

    Args:
        outputs: ``(m, n, k)``.
        targets: ``(n, k)`` or ``(m, n, k)``.
    """
    off = outputs - targets
    slope: Array = np.clip(off, -1, 1) / np.array(off.shape[1], off.dtype)
    return slope


class Layers:
    """m stacks of fully connected layers of one shape, with SiLU (x sigmoid(x)) in between.

    It is smooth, as sizes of networks are in the choices: on a space of mobile networks rectifiers
    order multiply-accumulates worse after the same steps (benchmarks/nars.py).

    Args:
        count: m.
        widths: Inputs, then the outputs of every layer.
        rng: Draws the weights.
        bent: Whether SiLU follows the last layer, too.
        dtype: Of all parameters.
    """

    def __init__(
        self,
        count: int,
        widths: Sequence[int],
        rng: np.random.Generator,
        *,
        bent: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        shapes = list(pairwise(widths))
        self.matrices = [
            (rng.standard_normal((count, *shape)) * GAIN / np.sqrt(max(shape[0], 1))).astype(dtype)
            for shape in shapes
        ]
        self.biases = [np.zeros((count, 1, shape[1]), dtype) for shape in shapes]
        self._bends = len(shapes) - (0 if bent else 1)

    @property
    def parameters(self) -> list[Array]:
        """All parameters, matrices first; changing them in place changes the networks."""
        return [*self.matrices, *self.biases]

    def decays(self, weight_decay: float) -> list[float]:
        """The decay of each parameter: matrices decay, biases do not."""
        return [weight_decay] * len(self.matrices) + [0.0] * len(self.biases)

    def __call__(self, inputs: Array) -> Array:
        """Outputs ``(m, n, width)`` for inputs ``(1 or m, n, d)``."""
        return self.forward(inputs)[-1][0]

    def forward(self, inputs: Array) -> Tape:
        """The inputs, then of every layer the outputs ``(m, n, width)`` and their slopes.

        A slope is the derivative of the outputs in the layer's sums; None where they are these.
        """
        tape: Tape = [(inputs, None)]
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            total = tape[-1][0] @ matrix
            total += bias
            if layer < self._bends:
                gate = expit(total)
                value = total * gate
                tape.append((value, gate + value * (1 - gate)))
            else:
                tape.append((total, None))
        return tape

    def backward(self, tape: Tape, slope: Array) -> tuple[list[Array], Array]:
        """Slopes of all parameters and of the inputs ``(m, n, d)``, by backpropagation.

        Args:
            tape: What `forward` gave.
            slope: Of the loss in the last outputs.
        """
        matrices: list[Array] = []
        biases: list[Array] = []
        for layer in reversed(range(len(self.matrices))):
            bend = tape[layer + 1][1]
            slope = slope if bend is None else slope * bend
            matrices.append(tape[layer][0].swapaxes(1, 2) @ slope)
            biases.append(slope.sum(1, keepdims=True))
            slope = slope @ self.matrices[layer].swapaxes(1, 2)
        return [*reversed(matrices), *reversed(biases)], slope


@dataclass(frozen=True)
class Phase:
    """Some steps of AdamW, the rate falling to 0 along a cosine.

    Attributes:
        steps: Steps, each on all examples.
        learning_rate: Of the first step.
        weight_decay: Decoupled, on the matrices.
        frozen: The embedding is left as it is.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    frozen: bool = False

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))


class Embedding:
    """m embeddings of one shape, each with a linear head that predicts statistics.

    Args:
        count: m.
        widths: Inputs, hidden layers, and the width of the embedding.
        statistics: How many are predicted; 0 for no such head.
        rng: Draws the weights.
        dtype: Of all parameters.

    Attributes:
        width: Of the embedding.
        layers: From inputs to embedding.
    """

    def __init__(
        self,
        count: int,
        widths: Sequence[int],
        statistics: int,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        self.dtype = dtype
        self.width = widths[-1]
        self.layers = Layers(count, widths, rng, bent=True, dtype=dtype)
        self.statistics = Layers(count, (self.width, statistics), rng, dtype=dtype)
        self._centre: Array = np.zeros((count, 1, self.width), dtype)
        self._scale: Array = np.ones((count, 1, 1), dtype)

    def pretrain(
        self, inputs: Array, targets: Array, phase: Phase, rng: np.random.Generator
    ) -> None:
        """Learn statistics; the embedding is centred, and scaled to the variance of one of them.

        Args:
            inputs: ``(n, d)``.
            targets: Standardised statistics ``(n, k)``.
            phase: How; its steps are on 256 examples each.
            rng: Draws them.
        """
        inputs, targets = inputs.astype(self.dtype), targets.astype(self.dtype)
        parts = self.layers, self.statistics
        adam = Adam([parameter for part in parts for parameter in part.parameters])
        decays = [decay for part in parts for decay in part.decays(phase.weight_decay)]
        order = np.empty(0, np.int64)
        for step in range(phase.steps):
            if len(order) < min(BATCH, len(inputs)):
                order = rng.permutation(len(inputs))
            rows, order = order[:BATCH], order[BATCH:]
            below = self.layers.forward(inputs[None, rows])
            above = self.statistics.forward(below[-1][0])
            slopes, slope = self.statistics.backward(above, huber(above[-1][0], targets[rows]))
            lower, _ = self.layers.backward(below, slope)
            adam.step([*lower, *slopes], phase.rate(step), decays)
        said = self.layers(inputs[None])
        self._centre = said.mean(1, keepdims=True)
        spread = np.sqrt(said.var(1, keepdims=True).sum(2, keepdims=True))
        self._scale = np.where(spread > _FLAT, spread, 1)

    def expected_statistics(self, inputs: Array) -> Array:
        """Standardised statistics ``(m, n, k)`` as the head predicts them."""
        return self.statistics(self.layers(inputs.astype(self.dtype)[None]))

    def forward(self, inputs: Array) -> tuple[Array, Tape]:
        """The embedding ``(m, n, width)`` of inputs ``(n, d)``, and what `backward` needs."""
        tape = self.layers.forward(inputs.astype(self.dtype)[None])
        return (tape[-1][0] - self._centre) / self._scale, tape

    def backward(self, tape: Tape, slope: Array) -> list[Array]:
        """Slopes of the parameters of `layers`."""
        return self.layers.backward(tape, slope / self._scale)[0]


class TwoHeads:
    """m networks: an embedding, and a head on [embedding, rest] with one output.

    Args:
        embedding: Trained from then on, in place.
        rest: Inputs that join after the embedding.
        hidden: Hidden layers of the head.
        rng: Draws the weights.
    """

    def __init__(
        self, embedding: Embedding, rest: int, hidden: Sequence[int], rng: np.random.Generator
    ) -> None:
        self.embedding = embedding
        self.dtype = embedding.dtype
        widths = (embedding.width + rest, *hidden, 1)
        self.head = Layers(len(embedding.layers.matrices[0]), widths, rng, dtype=self.dtype)

    def train(self, inputs: Array, rest: Array, targets: Array, phase: Phase) -> None:
        """Learn the head's targets.

        Args:
            inputs: ``(n, d)``.
            rest: What joins after the embedding ``(n, r)``.
            targets: Standardised ``(n,)``.
            phase: How.
        """
        rest, wanted = rest.astype(self.dtype), targets.astype(self.dtype)[:, None]
        moved = [self.head] if phase.frozen else [self.head, self.embedding.layers]
        adam = Adam([parameter for part in moved for parameter in part.parameters])
        decays = [decay for part in moved for decay in part.decays(phase.weight_decay)]
        embedded, tape = self.embedding.forward(inputs)
        for step in range(phase.steps):
            if step and not phase.frozen:
                embedded, tape = self.embedding.forward(inputs)
            above = self.head.forward(_joined(embedded, rest))
            slopes, slope = self.head.backward(above, huber(above[-1][0], wanted))
            if not phase.frozen:
                slopes += self.embedding.backward(tape, slope[:, :, : self.embedding.width])
            adam.step(slopes, phase.rate(step), decays)

    def __call__(self, inputs: Array, rest: Array) -> Array:
        """The head's outputs ``(m, n)``."""
        embedded, _ = self.embedding.forward(inputs)
        return self.head(_joined(embedded, rest.astype(self.dtype)))[:, :, 0]


def _joined(embedded: Array, rest: Array) -> Array:
    if not rest.shape[1]:
        return embedded
    spread = np.broadcast_to(rest, (len(embedded), *rest.shape))
    return np.concatenate([embedded, spread], axis=2)
