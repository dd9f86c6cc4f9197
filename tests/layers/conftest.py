"""A small network with all kinds of weights, and data that trains it in a blink."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from nas.training.data import load_data
from nas.training.data.dataset import DataSet
from nas.training.randomness import seeded


@pytest.fixture(scope="session")
def few_digits() -> DataSet:
    return load_data("digits", limit=100)


@pytest.fixture
def conv_net() -> Callable[..., nn.Module]:
    """Dense, depthwise and pointwise convolutions; the same seed makes the same network."""

    def make(seed: int = 0) -> nn.Module:
        with seeded(seed, "weights"):
            return nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
                nn.Conv2d(8, 16, 1, stride=2),
                nn.BatchNorm2d(16),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(16, 10),
            )

    return make
