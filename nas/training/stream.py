"""Images placed where training happens, and endless shuffled streams of batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from nas.training.data.dataset import Split
from nas.training.randomness import generator

SHARE_OF_FREE_MEMORY: Final = 0.25
"""Data lives on an accelerator if it takes at most so much of what is free there."""


class Placed:
    """A split on its device as uint8, or on the host where the device has no room.

    Args:
        split: The images.
        device: Where batches are wanted.
    """

    def __init__(self, split: Split, device: torch.device | str) -> None:
        self.device = torch.device(device)
        home = self.device if _fits(split, self.device) else torch.device("cpu")
        self._images = split.images.to(home).contiguous()
        self._labels = split.labels.to(home)
        self._moves = home != self.device

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        return tuple(self._images.shape[1:])

    @property
    def home(self) -> torch.device:
        """Where the images are, and where the indices for `batch` must be."""
        return self._labels.device

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at `indices`, on the device."""
        return self._moved(
            self._images.index_select(0, indices), self._labels.index_select(0, indices)
        )

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, `size` at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self._moved(self._images[part], self._labels[part])

    def _moved(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if not self._moves:
            return images, labels
        # Pinned memory lets the copy run beside the work already queued.
        return (
            images.pin_memory().to(self.device, non_blocking=True),
            labels.pin_memory().to(self.device, non_blocking=True),
        )


def _fits(split: Split, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return split.images.nbytes <= SHARE_OF_FREE_MEMORY * free


class Stream:
    """Batch number k of an endless, reshuffled pass over a split.

    Every epoch visits every image once, in an order that (seed, purpose, epoch) alone decides:
    a resumed training needs the number of its next batch and nothing else, and two purposes
    (weights and architecture weights, say) never share an order.

    Args:
        placed: The images.
        batch_size: Largest batch; batches of an epoch differ by one image at most.
        seed: Of the order.
        purpose: What it is for, part of the seed.
        fixed: Make every batch exactly `batch_size` (or all images, if there are fewer) by
            leaving out a random rest in every epoch, for graphs of fixed shape.
    """

    def __init__(
        self, placed: Placed, batch_size: int, seed: int, purpose: str, *, fixed: bool = False
    ) -> None:
        count = len(placed)
        self._placed = placed
        self._seed = seed
        self._purpose = purpose
        self.steps = max(1, count // batch_size) if fixed else -(-count // batch_size)
        used = min(count, self.steps * batch_size) if fixed else count
        self._edges = [used * step // self.steps for step in range(self.steps + 1)]
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """The batch `number`, counted from 0; epoch e begins at e * `steps`."""
        epoch, step = divmod(number, self.steps)
        if epoch != self._epoch:
            chance = generator(self._seed, "order", self._purpose, epoch)
            order = torch.randperm(len(self._placed), generator=chance)
            self._order, self._epoch = order.to(self._placed.home), epoch
        return self._placed.batch(self._order[self._edges[step] : self._edges[step + 1]])
