"""Layers and operations train digits; bars leave room for other machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from nas.training import TrainingRecipe, fit, load_data
from nas.training.data.dataset import DataSet
from nas.training.randomness import seeded
from search_spaces import get_space
from search_spaces.hypercomplex import PHConv2d

SGD: Mapping[str, Any] = {
    "optimizer_settings": {"momentum": 0.9},
    "weight_decay": 0.0,
    "clip_norm": None,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """1,437 digits to train and 360 to test, stratified."""
    x, y = load_digits(return_X_y=True)
    images = np.round(x.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    a, b, c, d = train_test_split(images, y, test_size=360, stratify=y, random_state=0)
    file = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(file, x_train=a, x_test=b, y_train=c, y_test=d)
    return load_data(f"npz:{file}").merged()


def cnn(n: int = 1) -> nn.Module:
    """16-32-32 channels; hypercomplex, all but the first convolution, where n > 1."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        conv: nn.Module = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        if n > 1 and inputs > 1:
            conv = PHConv2d(inputs, outputs, 3, n)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    layers = [*block(1, 16), *block(16, 32), nn.MaxPool2d(2), *block(32, 32)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def mlp() -> nn.Module:
    wide = (nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(nn.Flatten(), *wide, nn.Linear(64, 10))


def accuracy(network: nn.Module, data: DataSet, **recipe: Any) -> float:
    """Of the test images, in percent."""
    how = TrainingRecipe(**{**SGD, **recipe})
    return 100 * (1 - fit(network, data, how, seed=0, split="test").figures["test_error"])


def make(build: Any, *arguments: Any) -> nn.Module:
    with seeded(0, "network"):
        network: nn.Module = build(*arguments)
    return network


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_quantised_weights(data: DataSet, bits: int) -> None:
    settings = {"weights": "statsq", "weights_settings": {"bits": bits}}
    found = accuracy(make(mlp), data, epochs=30, learning_rate=0.1, **settings)
    assert found >= 95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("normalization", "weights"),
    [
        ("batch", "plain"),
        ("ghost", "plain"),
        ("group", "plain"),
        ("group", "standardized"),
        ("batch-channel", "standardized"),
        ("batch", "compander"),
    ],
)
def test_layers(data: DataSet, normalization: str, weights: str) -> None:
    given = {"normalization": normalization, "weights": weights}
    assert accuracy(make(cnn), data, epochs=15, learning_rate=0.1, **given) >= 98


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
def test_hypercomplex_convolutions(data: DataSet, n: int) -> None:
    assert accuracy(make(cnn, n), data, epochs=15, learning_rate=0.1) >= 98


@pytest.mark.slow
@pytest.mark.parametrize(
    ("normalization", "settings"),
    [("group", {}), ("batch-channel", {}), ("batch-channel", {"speed": 0.01})],
)
def test_batches_of_two(data: DataSet, normalization: str, settings: dict[str, Any]) -> None:
    given = {
        "normalization": normalization,
        "normalization_settings": settings,
        "weights": "standardized",
    }
    found = accuracy(make(cnn), data, epochs=3, batch_size=2, learning_rate=0.01, **given)
    assert found >= 98


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["phc2_conv_3x3", "phc4_conv_3x3", "soft_attention"])
def test_new_operations_beside_convolutions(data: DataSet, operation: str) -> None:
    space: Any = get_space("darts-extended")
    edges = space.operations(space.members["DARTS_V2"])
    names = {edge: (operation, "sep_conv_3x3")[i % 2] for i, edge in enumerate(edges)}
    with seeded(0, "network"):
        network = space.network(space.from_operations(names), (1, 8, 8), 10, channels=8, layers=3)
    assert accuracy(network, data, epochs=6, learning_rate=0.05) >= 95
