"""Gradients of what is minimised, their passes recorded on a GPU where that is sound."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn

from nas.optimizers.rule import copies
from nas.optimizers.stacks import laid_out
from nas.training.graphs import Pool, Recorded

__all__ = ["Backward", "Minimised", "recordable", "worth"]

Minimised: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""A function of tensors, the first of whose results is minimised."""
Found: TypeAlias = tuple[list[Tensor], list[Tensor | None]]
"""The results, and the gradient of each weight; None for those that took no part."""

WORTH: Final = 20
"""Steps from which on recording pays: it takes as long as three or four that are called, twice
because batches have two sizes, and saves a half to three quarters of each later one."""
RECORDING: Final = frozenset({"cuda"})
"""Devices that can have work done again without the host."""


def recordable(network: nn.Module) -> bool:
    """Whether a network says that it is, by an attribute of that name which is True.

    It says that every pass in training mode does the same work: nothing is read back from the
    device, all chance is that of torch's default generator there, and nothing but tensors is kept
    from pass to pass. Whatever else a network does would be done once, and never again.
    """
    return getattr(network, "recordable", False) is True


def worth(steps: int) -> bool:
    """Whether recording pays for so many steps."""
    return steps >= WORTH


class Backward:
    """Sets the gradients of weights.

    On a GPU the passes forward and backward are recorded and replayed, if that is said to be sound:
    a small network's kernels take less time than launching them (see `nas.training.graphs`).
    Otherwise they are called each time. What is computed is the same, to the bit.

    Args:
        parameters: The weights.
        sound: Whether passes may be recorded.
        pool: Memory of recordings that never run at the same time as these.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], *, sound: bool, pool: Pool | None = None
    ) -> None:
        self._parameters, self._sound = list(parameters), sound
        self._record = False  # until it is known for how long
        self._pool = pool or Pool()
        self._recorded: dict[Hashable, Recorded[Found]] = {}

    def __call__(
        self, kind: Hashable | None, minimised: Minimised, *inputs: Tensor
    ) -> list[Tensor]:
        """What a function gives, detached; gradients lie at the weights, where there were none.

        Args:
            kind: What all functions have in common that do the same, None for one that no other
                does the same as. The first of a kind is recorded: it should not hold on to whoever
                has this object.
            minimised: The function.
            *inputs: What it is given.
        """
        parameters = self._parameters

        def find(*inputs: Tensor) -> Found:
            values = minimised(*inputs)
            found = torch.autograd.grad(values[0], parameters, allow_unused=True)
            return [value.detach() for value in values], _own(found, parameters)

        if kind is None or not self._record or inputs[0].device.type not in RECORDING:
            values, found = find(*inputs)
        else:
            if kind not in self._recorded:
                self._recorded[kind] = Recorded(find, self._pool)
            values, found = self._recorded[kind](*inputs)
            values, found = [v.clone() for v in values], _copied(found)  # the next writes over them
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        return values

    def forget(self, ahead: int) -> None:
        """Drop what is recorded, because passes do something else from now on.

        Args:
            ahead: Steps until that happens again, or to the end: nothing is recorded for few.
        """
        for recorded in self._recorded.values():
            recorded.forget()
        self._recorded.clear()
        self._record = self._sound and worth(ahead)


def _own(gradients: Sequence[Tensor | None], weights: Sequence[Tensor]) -> list[Tensor | None]:
    """A gradient of its own for each weight, in memory as that is: fused optimizers expect it.

    Weights that are added up have one in common.
    """
    found, seen = [], set()
    for gradient, weight in zip(gradients, weights, strict=True):
        if gradient is not None:
            gradient = laid_out(gradient, weight)
            if gradient.data_ptr() in seen:
                gradient = gradient.clone()
            seen.add(gradient.data_ptr())
        found.append(gradient)
    return found


def _copied(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    made = iter(copies([gradient for gradient in gradients if gradient is not None]))
    return [None if gradient is None else next(made) for gradient in gradients]
