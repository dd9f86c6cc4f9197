"""Augmentation as batched tensor work on the device; no loop over images, no host sync.

Images come in as uint8 (batch, channels, height, width) and go out as float32 of mean 0 and
deviation 1. All chance comes from the generator that is passed in, which must live on the
images' device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images.

    Attributes:
        flip: Mirror half of the images left to right.
        crop_padding: Shift by up to so many pixels; what comes in is black.
        cutout: Side of a square that is erased (set to the mean), 0 for none. Its centre is any
            pixel, so it may reach over the border (DeVries and Taylor, 2017).
    """

    flip: bool = False
    crop_padding: int = 0
    cutout: int = 0


class Pipeline:
    """From stored images to a network's input.

    Args:
        mean: Of each channel, in units of 0 to 1.
        std: Of each channel, likewise.
        augmentation: What training images undergo.
        device: Where the images are.
        channels_last: Memory layout of the result.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        augmentation: Augmentation,
        device: torch.device | str = "cpu",
        channels_last: bool = True,
    ) -> None:
        self._augmentation = augmentation
        self._shift = torch.tensor(mean, device=device).mul(-255).view(1, -1, 1, 1)
        self._scale = torch.tensor(std, device=device).mul(255).reciprocal().view(1, -1, 1, 1)
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def train(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented and normalised.

        Args:
            images: uint8 (batch, channels, height, width).
            generator: On the device of the images.
        """
        chosen = self._augmentation
        if chosen.crop_padding or chosen.flip:
            images = shift_and_flip(images, chosen.crop_padding, chosen.flip, generator)
        inputs = self.plain(images)
        if chosen.cutout:
            inputs = cutout(inputs, chosen.cutout, generator)
        return inputs

    def plain(self, images: Tensor) -> Tensor:
        """Normalised only, as for measuring."""
        inputs = images.to(torch.float32, memory_format=self._format)
        return inputs.add_(self._shift).mul_(self._scale)

    def moved(self, inputs: Tensor, way: Tensor) -> Tensor:
        """Inputs whose pixels are moved, and stay at black or white where they would go beyond.

        Args:
            inputs: What `train` or `plain` gave.
            way: How far, of the same shape, in units of pixels from 0 to 1.
        """
        black, white = self._shift * self._scale, (255 + self._shift) * self._scale
        return torch.clamp(inputs + way * (255 * self._scale), black, white)

    def in_pixels(self, gradient: Tensor) -> Tensor:
        """A gradient in inputs as one in pixels from 0 to 1."""
        return gradient * (255 * self._scale)


def shift_and_flip(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crops of the zero-padded images, half of them mirrored if `flip`.

    Both at once are one gather of pixels.

    Args:
        images: (batch, channels, height, width), any type.
        padding: Largest shift in pixels, 0 for none.
        flip: Whether to mirror.
        generator: On the device of the images.
    """
    count, channels, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(count, height)
    columns = torch.arange(width, device=device).expand(count, width)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator, device=device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if padding:
        corner = torch.randint(
            0, 2 * padding + 1, (2, count, 1), generator=generator, device=device
        )
        rows, columns = rows + corner[0], columns + corner[1]
        images = F.pad(images, (padding,) * 4)
    pixels = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    index = pixels.view(count, 1, height * width).expand(-1, channels, -1)
    return images.reshape(count, channels, -1).gather(2, index).view(-1, channels, height, width)


def cutout(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Set a square of side `size` around a random pixel of each image to zero, in place.

    Args:
        images: float (batch, channels, height, width), normalised.
        size: Side of the square, at least 1.
        generator: On the device of the images.
    """
    count, _, height, width = images.shape
    erased = _band(count, height, size, generator, images.device)[:, :, None]
    erased = erased & _band(count, width, size, generator, images.device)[:, None, :]
    return images.masked_fill_(erased[:, None], 0.0)


def _band(
    count: int, length: int, size: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    """(count, length), true for `size` neighbours, fewer where they reach over an end."""
    start = torch.randint(0, length, (count, 1), generator=generator, device=device) - size // 2
    place = torch.arange(length, device=device)
    return (place >= start) & (place < start + size)


def mixup(
    images: Tensor, labels: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend every image with another of the batch (Zhang et al., 2018).

    Args:
        images: float (batch, channels, height, width).
        labels: int64 (batch,).
        share: Weight of the image itself, from 0 to 1.
        generator: On the device of the images.

    Returns:
        The blends, and the labels of the others; the loss weighs the two labels alike.
    """
    others = torch.randperm(len(images), generator=generator, device=images.device)
    return torch.lerp(images[others], images, share), labels[others]
