"""Latent vectors, and images as networks and as files have them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["as_pixels", "drawn", "latents", "scaled"]

BATCH = 250


def latents(count: int, length: int, chance: torch.Generator) -> Tensor:
    """Standard normal vectors (count, length), on the device of `chance`."""
    return torch.randn(count, length, generator=chance, device=chance.device)


def scaled(images: Tensor) -> Tensor:
    """uint8 images as float ones from -1 to 1."""
    return images.float() * (2 / 255) - 1


def as_pixels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, rounded and not cut off."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


@torch.no_grad()
def drawn(generator: nn.Module, z: Tensor, device: torch.device | str) -> Tensor | None:
    """Images of latent vectors as uint8, on the host; None if a pixel is no finite number.

    Args:
        generator: In evaluation mode, on `device`.
        z: (n, latent), anywhere.
        device: A torch device.
    """
    parts = []
    for part in z.split(BATCH):  # type: ignore[no-untyped-call]
        images: Tensor = generator(part.to(device))
        if not torch.isfinite(images).all():
            return None
        parts.append(as_pixels(images).cpu())
    return torch.cat(parts)
