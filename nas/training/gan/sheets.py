"""Pictures of what a generator makes: sheets of samples, and of ways from one to another."""

from __future__ import annotations

import io
from typing import Final

import torch
from PIL import Image
from torch import Tensor, nn

from nas.core.errors import CandidateError
from nas.training.gan.images import drawn, latents
from nas.training.randomness import generator as generator_of

__all__ = ["SIDE", "interpolation_sheet", "sample_sheet", "sheet_png"]

SIDE: Final = 8
"""Images in a row and in a column of a sheet."""
GAP: Final = 1
LEAST_PIXELS: Final = 512
"""Of a sheet's side: smaller ones are enlarged by a whole factor, pixel by pixel."""


def sample_sheet(generator: nn.Module, latent: int, device: str, seed: int = 0) -> bytes:
    """64 samples as a PNG, of the same latent vectors at every time and for every generator.

    Args:
        generator: In evaluation mode, on `device`.
        latent: Length of a latent vector.
        device: A torch device string.
        seed: Of the latent vectors.

    Raises:
        CandidateError: A pixel is no number.
    """
    z = latents(SIDE * SIDE, latent, generator_of(seed, "sheet"))
    return sheet_png(_images(generator, z, device))


def interpolation_sheet(generator: nn.Module, latent: int, device: str, seed: int = 0) -> bytes:
    """Eight ways of eight images from one sample to another, as a PNG.

    The ways are arcs of great circles, so that all latent vectors have a likely length.

    Args:
        generator: In evaluation mode, on `device`.
        latent: Length of a latent vector.
        device: A torch device string.
        seed: Of the ends.

    Raises:
        CandidateError: A pixel is no number.
    """
    ends = latents(2 * SIDE, latent, generator_of(seed, "interpolation"))
    start, stop = ends[:SIDE, None], ends[SIDE:, None]
    share = torch.linspace(0, 1, SIDE)[None, :, None]
    cosine = torch.cosine_similarity(start, stop, dim=2).clamp(-1 + 1e-6, 1 - 1e-6)[..., None]
    angle = torch.acos(cosine)
    way = (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * stop) / angle.sin()
    return sheet_png(_images(generator, way.reshape(SIDE * SIDE, latent), device))


def sheet_png(images: Tensor) -> bytes:
    """A PNG of images, `SIDE` in a row, white between them.

    Args:
        images: uint8 (n, 1 or 3, height, width).
    """
    count, channels, height, width = images.shape
    rows = -(-count // SIDE)
    size = (channels, rows * (height + GAP) + GAP, SIDE * (width + GAP) + GAP)
    sheet = torch.full(size, 255, dtype=torch.uint8)
    for number, image in enumerate(images):
        top, left = (
            GAP + place * (side + GAP)
            for place, side in zip(divmod(number, SIDE), (height, width), strict=True)
        )
        sheet[:, top : top + height, left : left + width] = image
    factor = max(1, LEAST_PIXELS // sheet.shape[2])
    sheet = sheet.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    array = sheet[0].numpy() if channels == 1 else sheet.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return file.getvalue()


def _images(generator: nn.Module, z: Tensor, device: str) -> Tensor:
    images = drawn(generator, z, device)
    if images is None:
        raise CandidateError("a pixel of an image is no number", "lower the learning rates")
    return images
