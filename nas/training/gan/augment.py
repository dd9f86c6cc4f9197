"""Differentiable augmentation (Zhao et al., NeurIPS 2020): what the discriminator is shown.

Real and generated images undergo the same, in the steps of both networks, so that what is learnt
is the distribution of images and not that of augmented ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["View", "draw_view", "policy_of"]

SHIFT: Final = 1 / 8
"""Of a side: how far images are moved at most."""
HOLE: Final = 1 / 2
"""Of a side: the square that is cut out."""


@dataclass(frozen=True)
class View:
    """What is done to images (n, channels, height, width) in [-1, 1], always the same to the i-th.

    Attributes:
        policy: What, in this order.
        drawn: How: as many tensors as each needs.
    """

    policy: tuple[str, ...]
    drawn: tuple[Tensor, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Do it."""
        left = iter(self.drawn)
        for name in self.policy:
            _, needs, do = _KINDS[name]
            images = do(images, *islice(left, needs))
        return images


def policy_of(names: Sequence[str]) -> tuple[str, ...]:
    """In the order in which it is done."""
    return tuple(name for name in _KINDS if name in names)


def draw_view(policy: Sequence[str], shape: Sequence[int], chance: torch.Generator) -> View:
    """Draw what is done to each image of a batch.

    Args:
        policy: Of "colour", "translation" and "cutout", done in this order.
        shape: (n, channels, height, width).
        chance: On the device of the images.
    """
    names = policy_of(policy)
    drawn = [tensor for name in names for tensor in _KINDS[name][0](shape, chance)]
    return View(names, tuple(drawn))


def _drawn_colour(shape: Sequence[int], chance: torch.Generator) -> tuple[Tensor, ...]:
    return (torch.rand(3, shape[0], 1, 1, 1, generator=chance, device=chance.device),)


def _colour(images: Tensor, drawn: Tensor) -> Tensor:
    """Change brightness, saturation and contrast."""
    brightness, saturation, contrast = drawn
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = mean + (images - mean) * (contrast + 0.5)
    return changed


def _most(side: int) -> int:
    return max(1, round(SHIFT * side))


def _drawn_translation(shape: Sequence[int], chance: torch.Generator) -> tuple[Tensor, ...]:
    count, _, *sides = shape
    rows, columns = (
        torch.arange(side, device=chance.device)
        + torch.randint(0, 2 * _most(side) + 1, (count, 1), generator=chance, device=chance.device)
        for side in sides
    )
    return rows[:, :, None], columns[:, None, :]


def _translation(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Move by whole pixels; grey comes in."""
    count, _, height, width = images.shape
    border = (_most(width),) * 2 + (_most(height),) * 2
    which = torch.arange(count, device=images.device)[:, None, None]
    # Indexing, whose gradient is summed in one order on every device; `gather` is not.
    padded = F.pad(images, border).permute(0, 2, 3, 1)
    return padded[which, rows, columns].permute(0, 3, 1, 2)


def _drawn_cutout(shape: Sequence[int], chance: torch.Generator) -> tuple[Tensor, ...]:
    count, _, *sides = shape
    bands = []
    for side in sides:
        size = max(1, round(HOLE * side))
        start = torch.randint(
            0, side + 1 - size % 2, (count, 1), generator=chance, device=chance.device
        )
        place = torch.arange(side, device=chance.device)
        bands.append((place >= start - size // 2) & (place < start - size // 2 + size))
    return (~(bands[0][:, None, :, None] & bands[1][:, None, None, :]),)


def _cutout(images: Tensor, kept: Tensor) -> Tensor:
    """Make a square grey, which may reach over the border."""
    return images * kept


_Draw: TypeAlias = Callable[[Sequence[int], torch.Generator], tuple[Tensor, ...]]

_KINDS: Final[dict[str, tuple[_Draw, int, Callable[..., Tensor]]]] = {
    "colour": (_drawn_colour, 1, _colour),
    "translation": (_drawn_translation, 2, _translation),
    "cutout": (_drawn_cutout, 1, _cutout),
}
"""How it is drawn, how many tensors that gives, and what is done with them."""
