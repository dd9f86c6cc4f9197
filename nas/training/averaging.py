"""Weights that are measured and kept in place of those that are trained: averages of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nas.optimizers.rule import TwoFaced

__all__ = ["Average", "OptimizersAverage"]


@contextmanager
def _put_back(live: Sequence[Tensor]) -> Iterator[None]:
    """Tensors are afterwards as they were."""
    own = [tensor.detach().clone() for tensor in live]
    try:
        yield
    finally:
        _write(live, own)


@torch.no_grad()
def _write(live: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(live, values, strict=True):
        tensor.copy_(value)


class Average:
    """Exponential moving average of all parameters and buffers.

    Args:
        network: Whose weights are averaged; the average starts as a copy of them.
        decay: Share of the average that a step keeps, in the long run.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = [*network.parameters(), *network.buffers()]
        self._kept = [tensor.detach().clone() for tensor in self._live]
        self._mixed = [i for i, tensor in enumerate(self._live) if tensor.is_floating_point()]
        self._copied = [i for i, tensor in enumerate(self._live) if not tensor.is_floating_point()]

    @property
    def beside(self) -> dict[int, Tensor]:
        """The average of each parameter and buffer, by its `id`."""
        return {id(live): kept for live, kept in zip(self._live, self._kept, strict=True)}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step number `step`, counted from 0.

        The decay is min(decay, (1 + step) / (10 + step)), so that the first weights are soon
        forgotten.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            [self._kept[i] for i in self._mixed],
            [self._live[i].detach() for i in self._mixed],
            1 - decay,
        )
        if self._copied:
            torch._foreach_copy_(
                [self._kept[i] for i in self._copied], [self._live[i] for i in self._copied]
            )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights for a while."""
        with _put_back(self._live):
            self.apply()
            yield

    def apply(self) -> None:
        """Give the network the averaged weights for good."""
        _write(self._live, self._kept)

    def state(self) -> list[Tensor]:
        """The averages, for a checkpoint."""
        return self._kept

    def load_state(self, kept: Sequence[Tensor]) -> None:
        """Become what `state` gave."""
        for mine, theirs in zip(self._kept, kept, strict=True):
            mine.copy_(theirs)


class OptimizersAverage:
    """The average that an optimizer keeps of the weights, with what `Average` has.

    Its state is the optimizer's.

    Args:
        network: Its network.
        optimizer: Has both.
        count_anew: Makes running statistics of batch normalisation fit the weights there are: those
            counted in training are of the weights that are trained.
    """

    def __init__(
        self, network: nn.Module, optimizer: TwoFaced, count_anew: Callable[[], None]
    ) -> None:
        self._live = [*network.parameters(), *network.buffers()]
        self._optimizer, self._count_anew = optimizer, count_anew

    def update(self, step: int) -> None:
        """The optimizer has done so."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights for a while, and then its own to the bit."""
        with _put_back(self._live):
            self.apply()
            try:
                yield
            finally:
                self._optimizer.train()

    def apply(self) -> None:
        """Give the network the averaged weights for good."""
        self._optimizer.eval()
        self._count_anew()

    def state(self) -> None:
        """None beside the optimizer's."""

    def load_state(self, kept: None) -> None:
        """Nothing to do."""
