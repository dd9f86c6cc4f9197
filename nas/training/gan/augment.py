"""Differentiable augmentation (Zhao et al., NeurIPS 2020): what the discriminator is shown.

Real and generated images undergo the same, in the steps of both networks, so that what is learnt
is the distribution of images and not that of augmented ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["View", "draw_view"]

View: TypeAlias = Callable[[Tensor], Tensor]
"""What is done to images (n, channels, height, width) in [-1, 1], always the same to the i-th."""

SHIFT: Final = 1 / 8
"""Of a side: how far images are moved at most."""
HOLE: Final = 1 / 2
"""Of a side: the square that is cut out."""


def draw_view(policy: Sequence[str], shape: Sequence[int], chance: torch.Generator) -> View:
    """Draw what is done to each image of a batch.

    Args:
        policy: Of "colour", "translation" and "cutout", done in this order.
        shape: (n, channels, height, width).
        chance: On the device of the images.
    """
    parts = [
        _DRAWN[name](shape, chance)
        for name in ("colour", "translation", "cutout")
        if name in policy
    ]

    def view(images: Tensor) -> Tensor:
        for part in parts:
            images = part(images)
        return images

    return view


def _translation(shape: Sequence[int], chance: torch.Generator) -> View:
    """Move by whole pixels; grey comes in."""
    count, _, height, width = shape
    sides = [(height, max(1, round(SHIFT * height))), (width, max(1, round(SHIFT * width)))]
    places = [
        torch.arange(side, device=chance.device)
        + torch.randint(0, 2 * most + 1, (count, 1), generator=chance, device=chance.device)
        for side, most in sides
    ]
    rows, columns = places[0][:, :, None], places[1][:, None, :]
    border = (sides[1][1],) * 2 + (sides[0][1],) * 2
    images_at = torch.arange(count, device=chance.device)[:, None, None]

    def view(images: Tensor) -> Tensor:
        # Indexing, whose gradient is summed in one order on every device; `gather` is not.
        padded = F.pad(images, border).permute(0, 2, 3, 1)
        return padded[images_at, rows, columns].permute(0, 3, 1, 2)

    return view


def _cutout(shape: Sequence[int], chance: torch.Generator) -> View:
    """Make a square grey, which may reach over the border."""
    count, _, height, width = shape
    bands = []
    for side in (height, width):
        size = max(1, round(HOLE * side))
        start = torch.randint(
            0, side + 1 - size % 2, (count, 1), generator=chance, device=chance.device
        )
        place = torch.arange(side, device=chance.device)
        bands.append((place >= start - size // 2) & (place < start - size // 2 + size))
    kept = ~(bands[0][:, None, :, None] & bands[1][:, None, None, :])

    def view(images: Tensor) -> Tensor:
        return images * kept

    return view


def _colour(shape: Sequence[int], chance: torch.Generator) -> View:
    """Change brightness, saturation and contrast."""
    brightness, saturation, contrast = torch.rand(
        3, shape[0], 1, 1, 1, generator=chance, device=chance.device
    )

    def view(images: Tensor) -> Tensor:
        images = images + (brightness - 0.5)
        grey = images.mean(1, keepdim=True)
        images = grey + (images - grey) * (2 * saturation)
        mean = images.mean((1, 2, 3), keepdim=True)
        changed: Tensor = mean + (images - mean) * (contrast + 0.5)
        return changed

    return view


_DRAWN: Final = {"colour": _colour, "translation": _translation, "cutout": _cutout}
