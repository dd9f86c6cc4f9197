"""Closures that know every wish, and a small problem whose optimizer is given them."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from nas.optimizers import PLAIN, build
from nas.training.randomness import drawn_labels

__all__ = ["Batch", "Problem", "parts"]

BATCHES: Final = 14


class Batch:
    """The closure of a step, see `nas.optimizers.rule.Closure`.

    Args:
        network: Gives logits.
        optimizer: Whose gradients are set to nothing first.
        inputs: `(batch, ...)`.
        labels: `(batch,)`.
        chance: Of drawn labels; torch's own by default.
        limits: Least and largest value that an input can be moved to.

    Attributes:
        examples: Of the batch.
        passes: Gradients so far, as trainers count them: a loss alone is a third, a gradient in the
            inputs alone two.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        inputs: Tensor,
        labels: Tensor,
        *,
        chance: torch.Generator | None = None,
        limits: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.examples, self.passes = len(inputs), 0.0
        self._network, self._optimizer = network, optimizer
        self._inputs, self._labels = inputs, labels
        self._chance, self._limits = chance, limits

    def __call__(
        self,
        *,
        backward: bool = True,
        drawn: bool = False,
        inputs: bool = False,
        moved: Tensor | None = None,
    ) -> Tensor:
        """What is asked for."""
        if inputs:
            return self._direction()
        self._optimizer.zero_grad()
        where = self._inputs if moved is None else (self._inputs + moved).clamp(*self._limits)
        logits = self._network(where)
        labels = drawn_labels(logits, self._chance) if drawn else self._labels
        loss = nn.functional.cross_entropy(logits, labels)
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]
        self.passes += 1.0 if backward else 2.0 if torch.is_grad_enabled() else 1 / 3
        return loss

    def _direction(self) -> Tensor:
        inputs = self._inputs.clone().requires_grad_()
        loss = nn.functional.cross_entropy(self._network(inputs), self._labels)
        self.passes += 2 / 3
        return torch.autograd.grad(loss, inputs)[0]


def parts(title: str) -> tuple[str, str]:
    """Name of the optimizer and of the step in a title such as "sgd" or "sam(sgd)"."""
    step, bracket, name = title.partition("(")
    return (name.removesuffix(")"), step) if bracket else (title, PLAIN)


class Problem:
    """A small classifier, its batches, and an optimizer that is given the closure trainers give.

    Args:
        title: An optimizer's name, or one in a step: "sam(sgd)".
        hidden: Units of each hidden layer.
        dtype: Of weights and inputs.
        device: Where they are.
        step_settings: Of the step.
        **settings: Of the optimizer.
    """

    def __init__(
        self,
        title: str,
        *,
        hidden: int = 4,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        step_settings: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        chance = torch.random.get_rng_state()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Linear(3, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, 3),
        ).to(device, dtype)
        self.inputs = torch.rand(BATCHES, 8, 3).to(device, dtype)
        torch.random.set_rng_state(chance)
        name, step = parts(title)
        self.optimizer = build(
            name, self.network.parameters(), step=step, step_settings=step_settings, **settings
        )

    def batch(self, number: int) -> Batch:
        """The closure of a batch; what it draws depends on its number alone."""
        inputs = self.inputs[number]
        chance = torch.Generator(inputs.device).manual_seed(number)
        return Batch(self.network, self.optimizer, inputs, inputs.argmax(1), chance=chance)

    def step(self, number: int) -> Any:
        """One step; what the optimizer gave back."""
        return self.optimizer.step(self.batch(number))  # type: ignore[arg-type]

    def weights(self) -> list[Tensor]:
        """As they are now."""
        return [parameter.detach().clone() for parameter in self.network.parameters()]
