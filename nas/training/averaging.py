"""A moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


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
        for i in self._copied:
            self._kept[i].copy_(self._live[i])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights for a while."""
        own = [tensor.detach().clone() for tensor in self._live]
        self.apply()
        try:
            yield
        finally:
            self._write(own)

    def apply(self) -> None:
        """Give the network the averaged weights for good."""
        self._write(self._kept)

    def state(self) -> list[Tensor]:
        """The averages, for a checkpoint."""
        return self._kept

    def load_state(self, kept: Sequence[Tensor]) -> None:
        """Become what `state` gave."""
        for mine, theirs in zip(self._kept, kept, strict=True):
            mine.copy_(theirs)

    @torch.no_grad()
    def _write(self, values: Sequence[Tensor]) -> None:
        for tensor, value in zip(self._live, values, strict=True):
            tensor.copy_(value)
