"""Layers of recipes on digits, and examples weighed by their losses.

    python benchmarks/layers.py [--only NAME ...] [--seeds 2]

Scikit-learn's digits (1,437 to train, 360 to test, stratified), trained by the engine's `fit` with
SGD, momentum 0.9 and a cosine to 0. A CNN 16-32-32 of 3x3 convolutions, maps halved before the
last: batch 64, 15 epochs, rate 0.1; and with batches of 2 and 1, 3 epochs, rates 0.01 and 0.005.
Quantised weights and weighed examples in a perceptron 64-64-64-10: batch 64, 30 epochs, rate 0.1.
Test accuracy in percent, mean and deviation over seeds, parameters of the network as it is left,
and the seconds of a training.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from nas.training import TrainingRecipe, fit, load_data
from nas.training.data import DATASETS
from nas.training.data.dataset import DataSet
from nas.training.data.raw import RawData, Request
from nas.training.randomness import seeded
from search_spaces.hypercomplex import PHConv2d

STANDARDIZED = "standardized"
SGD = {"optimizer_settings": {"momentum": 0.9}, "weight_decay": 0.0, "clip_norm": None}
LARGE = {**SGD, "epochs": 15, "batch_size": 64, "learning_rate": 0.1}
TINY = {**SGD, "epochs": 3, "batch_size": 2, "learning_rate": 0.01}
SINGLE = {**SGD, "epochs": 3, "batch_size": 1, "learning_rate": 0.005}
LONG = {**SGD, "epochs": 30, "batch_size": 64, "learning_rate": 0.1}


@DATASETS.register("digits-stratified")
def read(argument: str, request: Request) -> RawData:
    x, y = load_digits(return_X_y=True)
    images = np.round(x.reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8)
    a, b, c, d = train_test_split(images, y, test_size=360, stratify=y, random_state=0)
    return RawData(tuple("0123456789"), (a, c), test=(b, d))


def cnn(n: int = 1) -> nn.Module:
    """With hypercomplex convolutions, except the first one, where n > 1."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        conv: nn.Module = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        if n > 1 and inputs > 1:
            conv = PHConv2d(inputs, outputs, 3, n)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16),
        *block(16, 32),
        nn.MaxPool2d(2),
        *block(32, 32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def mlp() -> nn.Module:
    wide = (nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(nn.Flatten(), *wide, nn.Linear(64, 10))


def layers(normalization: str = "batch", weights: str = "plain", **settings: Any) -> dict[str, Any]:
    """Fields of a recipe; settings are those of whichever of the two has them."""
    kind = "normalization" if weights in ("plain", STANDARDIZED) else "weights"
    return {"normalization": normalization, "weights": weights, f"{kind}_settings": settings}


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "batch": (cnn, LARGE),
    "group": (cnn, {**LARGE, **layers("group")}),
    "standardized, group": (cnn, {**LARGE, **layers("group", STANDARDIZED)}),
    "standardized, batch-channel": (cnn, {**LARGE, **layers("batch-channel", STANDARDIZED)}),
    "ghost, chunk 16": (cnn, {**LARGE, **layers("ghost", chunk=16)}),
    "hypercomplex, n 2": (lambda: cnn(2), LARGE),
    "hypercomplex, n 4": (lambda: cnn(4), LARGE),
    "compander": (cnn, {**LARGE, **layers(weights="compander")}),
    "batch 2: batch": (cnn, TINY),
    "batch 2: group": (cnn, {**TINY, **layers("group")}),
    "batch 2: standardized, group": (cnn, {**TINY, **layers("group", STANDARDIZED)}),
    "batch 2: standardized, batch-channel": (
        cnn,
        {**TINY, **layers("batch-channel", STANDARDIZED)},
    ),
    "batch 2: standardized, batch-channel by estimates": (
        cnn,
        {**TINY, **layers("batch-channel", STANDARDIZED, speed=0.01)},
    ),
    "batch 1: batch": (cnn, SINGLE),
    "batch 1: standardized, group": (cnn, {**SINGLE, **layers("group", STANDARDIZED)}),
    "batch 1: standardized, batch-channel by estimates": (
        cnn,
        {**SINGLE, **layers("batch-channel", STANDARDIZED, speed=0.01)},
    ),
    "perceptron": (mlp, LONG),
    **{
        f"perceptron, statsq {bits} bits": (
            mlp,
            {**LONG, **layers(weights="statsq", bits=bits)},
        )
        for bits in (4, 3, 2, 1)
    },
    **{
        f"perceptron, reweighted: {form}": (mlp, {**LONG, "reweighting": form})
        for form in ("linear-upper", "quadratic", "extremes")
    },
}


def accuracy(name: str, data: DataSet, seed: int) -> tuple[float, int, float]:
    """Test accuracy in percent, parameters, seconds."""
    make, recipe = CASES[name]
    with seeded(seed, "network"):
        network = make()
    began = time.process_time()
    found = fit(network, data, TrainingRecipe(**recipe), seed=seed, split="test").figures
    seconds = time.process_time() - began
    count = sum(parameter.numel() for parameter in network.parameters())
    return 100 * (1 - found["test_error"]), count, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data("digits-stratified").merged()
    print("| layers | test accuracy % | parameters | seconds |\n|---|---|---|---|")
    for name in args.only:
        runs = [accuracy(name, data, seed) for seed in range(args.seeds)]
        values = [value for value, _, _ in runs]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        seconds = statistics.median(run[2] for run in runs)
        mean = statistics.fmean(values)
        print(
            f"| {name} | {mean:.1f} ± {spread:.1f} | {runs[0][1]:,} | {seconds:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
