"""Tiny pairs and images to train them on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nas.training.data.dataset import Split

LATENT = 4
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "hinge": {"loss": "hinge", "n_critic": 2, "generator_batch": 12},
    "rest": {
        "augment": ["translation", "cutout"],
        "penalty_every": 2,
        "schedule": "cosine",
        "clip_norm": 1.0,
        "optimizer": "adamw",
    },
    "no average": {"ema_decay": None, "gamma": 0.0},
}


class Generator(nn.Module):
    latent = LATENT

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(LATENT, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1)
        )
        self.head = nn.Linear(16, 16)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.head(self.body(z)).tanh().view(-1, 1, 4, 4)
        return image


def discriminator(spectral: bool = False) -> nn.Module:
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)]
    if spectral:
        layers = [nn.utils.parametrizations.spectral_norm(layer) for layer in layers]
    return nn.Sequential(
        layers[0], nn.LeakyReLU(0.2), layers[1], nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(32, 1)
    )


def pair(seed: int = 0, spectral: bool = False) -> tuple[Generator, nn.Module]:
    torch.manual_seed(seed)
    return Generator(), discriminator(spectral)


def images(count: int = 50) -> Split:
    """Upright and lying bars."""
    made = torch.zeros(count, 1, 4, 4, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    chance = torch.Generator().manual_seed(0)
    places = torch.randint(0, 4, (count,), generator=chance)
    for number in range(count):
        place = int(places[number])
        made[number, 0][(slice(None), place) if labels[number] else place] = 255
    return Split(made, labels)
