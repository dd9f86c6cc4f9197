"""Small networks and data that train in a blink."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from torch import nn

from nas.training.data import load_data
from nas.training.data.dataset import DataSet
from nas.training.randomness import seeded


@pytest.fixture(scope="session")
def digits() -> DataSet:
    return load_data("digits")


@pytest.fixture(scope="session")
def few_digits() -> DataSet:
    return load_data("digits", limit=100)


@pytest.fixture
def conv_net() -> Callable[..., nn.Module]:
    """Makes a small network; the same seed makes the same one."""

    def make(seed: int = 0, width: int = 8, dropout: float = 0.0) -> nn.Module:
        with seeded(seed, "weights"):
            return nn.Sequential(
                nn.Conv2d(1, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, 2 * width, 3, padding=1, stride=2, bias=False),
                nn.BatchNorm2d(2 * width),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Dropout(dropout),
                nn.Linear(2 * width, 10),
            )

    return make


@pytest.fixture
def arrays() -> Callable[..., dict[str, np.ndarray]]:
    """Makes random pictures in three classes, as one would give to `numpy.savez`."""

    def make(count: int = 30, side: int = 8, classes: int = 3) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {
            "x": rng.integers(0, 256, (count, side, side), dtype=np.uint8),
            "y": np.arange(count) % classes,
        }

    return make
