"""Several small fully connected networks trained at once, in plain numpy.

A ranker is refitted a dozen times in a search of seconds: at this size the overhead of a deep
learning library is most of the time, and importing it more than all fits together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Adam", "Array", "Loss", "Networks", "Training", "train"]

Array: TypeAlias = NDArray[Any]
Loss: TypeAlias = Callable[[Array], tuple[float, Array]]
"""From outputs ``(m, n)`` of m networks to the sum of their losses and its derivative."""

_BETAS: Final = (0.9, 0.99)
_TINY: Final = 1e-8


@dataclass(frozen=True)
class Training:
    """How networks are trained.

    Attributes:
        steps: Steps of Adam, each on all examples.
        learning_rate: Of the first step; it falls to 0 along a cosine.
        weight_decay: Decoupled, on the matrices.
        dropout: Probability that a hidden unit is dropped in a step.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    dropout: float = 0.0


class Adam:
    """AdamW, changing parameters in place.

    Args:
        parameters: What is changed.
    """

    def __init__(self, parameters: Sequence[Array]) -> None:
        self._parameters = parameters
        self._first = [np.zeros_like(parameter) for parameter in parameters]
        self._second = [np.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    def step(self, slopes: Sequence[Array], rate: float, decays: Sequence[float]) -> None:
        """One step against the derivatives.

        Args:
            slopes: Of the loss, in each parameter.
            rate: Learning rate.
            decays: Decoupled weight decay of each parameter.
        """
        self._steps += 1
        scale = math.sqrt(1 - _BETAS[1] ** self._steps) / (1 - _BETAS[0] ** self._steps)
        for index, (parameter, slope) in enumerate(zip(self._parameters, slopes, strict=True)):
            first, second = self._first[index], self._second[index]
            first += (1 - _BETAS[0]) * (slope - first)
            second += (1 - _BETAS[1]) * (slope * slope - second)
            if decays[index]:
                parameter *= 1 - rate * decays[index]
            parameter -= (rate * scale) * first / (np.sqrt(second) + _TINY)


class Networks:
    """m networks of the same shape with one output each, and rectified hidden layers.

    Args:
        count: m.
        widths: Inputs, then units of every hidden layer.
        rng: Draws the weights.
        dtype: Of all parameters.
    """

    def __init__(
        self, count: int, widths: Sequence[int], rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        shapes = list(zip(widths, [*widths[1:], 1], strict=True))
        self.dtype = dtype
        self.matrices = [
            (rng.standard_normal((count, *shape)) * np.sqrt(2 / max(shape[0], 1))).astype(dtype)
            for shape in shapes
        ]
        self.biases = [np.zeros((count, 1, shape[1]), dtype) for shape in shapes]
        self.matrices[-1] *= np.array(0.5, dtype)

    @property
    def parameters(self) -> list[Array]:
        """All parameters, matrices first; changing them in place changes the networks."""
        return [*self.matrices, *self.biases]

    def __call__(self, inputs: Array) -> Array:
        """Outputs ``(m, n)`` for inputs ``(n, d)``."""
        value = inputs.astype(self.dtype)[None]
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            value = value @ matrix
            value += bias
            if layer + 1 < len(self.matrices):
                np.maximum(value, 0, out=value)
        return value[:, :, 0]

    def gradient(
        self, inputs: Array, loss: Loss, masks: Sequence[Array] = ()
    ) -> tuple[float, list[Array]]:
        """The loss and its derivative in all parameters, by backpropagation.

        Args:
            inputs: ``(n, d)``.
            loss: Of the outputs.
            masks: For each hidden layer factors ``(m, n, units)``; none for no dropout.
        """
        values = [inputs.astype(self.dtype)[None]]
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            value = values[-1] @ matrix + bias
            if layer + 1 < len(self.matrices):
                np.maximum(value, 0, out=value)
                if masks:
                    value *= masks[layer]
            values.append(value)
        total, slope = loss(values[-1][:, :, 0])
        back = slope[:, :, None].astype(self.dtype)
        matrices, biases = [], []
        for layer in reversed(range(len(self.matrices))):
            matrices.append(values[layer].swapaxes(1, 2) @ back)
            biases.append(back.sum(1, keepdims=True))
            if layer:
                back = back @ self.matrices[layer].swapaxes(1, 2)
                back *= values[layer] > 0
                if masks:
                    back *= masks[layer - 1]
        return total, [*reversed(matrices), *reversed(biases)]


def train(
    networks: Networks, inputs: Array, loss: Loss, how: Training, rng: np.random.Generator
) -> None:
    """Train in place with AdamW.

    Args:
        networks: What is trained.
        inputs: ``(n, d)``.
        loss: Of the outputs.
        how: Settings.
        rng: Draws dropped units.
    """
    inputs = inputs.astype(networks.dtype)
    adam = Adam(networks.parameters)
    decays = [how.weight_decay] * len(networks.matrices) + [0.0] * len(networks.biases)
    for step in range(how.steps):
        rate = how.learning_rate * 0.5 * (1 + np.cos(np.pi * step / how.steps))
        masks = _masks(networks, len(inputs), how.dropout, rng)
        _, slopes = networks.gradient(inputs, loss, masks)
        adam.step(slopes, rate, decays)


def _masks(networks: Networks, rows: int, dropout: float, rng: np.random.Generator) -> list[Array]:
    if not dropout:
        return []
    masks = []
    for matrix in networks.matrices[:-1]:
        kept = rng.random((len(matrix), rows, matrix.shape[2]), dtype=np.float32) >= dropout
        masks.append(kept.astype(networks.dtype) / networks.dtype(1 - dropout))
    return masks
