"""Quantised and certified accuracy on digits: rounding after training, and proofs by intervals.

    python benchmarks/robust.py [--only quantised certified] [--seeds 3]

Scikit-learn's digits, 1,437 to train and 360 to measure on (stratified, seed 0). The perceptron is
64-64-64-10; networks of the spaces are as small as the table says.

Quantised: weights of all convolutions and linear layers, the first and the last one's too, rounded
to the nearest point of each output's grid or by FlexRound (256 training images, 200 steps a layer).
Seconds are those of the process. Perceptrons are trained for 30 epochs by SGD (0.1, momentum 0.9,
batch 64, cosine), the others for 15 by the default recipe.

Certified: share of images that are right, and that are proven right within a radius, after 60
epochs of Adam (2e-3, batch 64) with the radius rising over half of them; networks of spaces after
30 epochs of the default recipe. Gradients are of a batch, a step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from nas.measure import Subject, bound
from nas.training import TrainingRecipe, default_recipe, evaluate, fit, load_data
from nas.training.data.dataset import DataSet, Split
from nas.training.randomness import seeded
from search_spaces import get_space

BITS = (8, 4, 3, 2)
RADII = (0.02, 0.05, 0.1)
PERCEPTRON = "perceptron"
NETWORKS: dict[str, tuple[str, str, dict[str, int]]] = {
    "nasbench201 resnet, 8 channels": ("nasbench201", "resnet", {"channels": 8, "layers": 1}),
    "nasbench201 all-conv-1x1, 8 channels": (
        *("nasbench201", "all-conv-1x1"),
        {"channels": 8, "layers": 1},
    ),
    "darts DARTS_V2, 4 channels, 3 cells": ("darts", "DARTS_V2", {"channels": 4, "layers": 3}),
}


def data() -> DataSet:
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x, y, test_size=360, stratify=y, random_state=0)
    images = [
        torch.tensor(part * (255 / 16)).round().to(torch.uint8).view(-1, 1, 8, 8)
        for part in parts[:2]
    ]
    train, held = (
        Split(i, torch.tensor(labels)) for i, labels in zip(images, parts[2:], strict=True)
    )
    share = train.images.double() / 255
    return replace(
        load_data("digits", 0),
        train=train,
        validation=held,
        mean=(float(share.mean()),),
        std=(float(share.std()),),
        fingerprint="1437/360",
    )


def built(name: str, seed: int) -> nn.Module:
    with seeded(seed, "network"):
        if name == PERCEPTRON:
            return nn.Sequential(
                *(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()),
                nn.Linear(64, 10),
            )
        space, member, scale = NETWORKS[name]
        found: Any = get_space(space)
        made: nn.Module = found.network(found.members[member], (1, 8, 8), 10, **scale)
        return made


def cell(values: Iterable[float]) -> str:
    found = [100 * value for value in values]
    spread = f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.1f}{spread}"


def row(name: str, cells: Iterable[str]) -> None:
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def figures(
    name: str,
    recipe: TrainingRecipe,
    digits: DataSet,
    seeds: int,
    measure: Callable[[Subject], Any],
) -> list[Any]:
    found = []
    for seed in range(seeds):
        network = built(name, seed)
        result = fit(network, digits, recipe, seed=seed)
        steps = result.figures["epochs"] * -(-len(digits.train) // recipe.batch_size)
        clean = 1 - evaluate(network, digits.validation, digits)["error"]
        cost = result.figures["gradient_evaluations"] / steps
        found.append((clean, cost, measure(Subject(network, digits))))
    return found


def quantised(digits: DataSet, seeds: int) -> None:
    row("network", ["full", "how", *(f"{bits} bits" for bits in BITS), "seconds"])
    row("---", ["---"] * (len(BITS) + 3))
    perceptron = TrainingRecipe(
        epochs=30, learning_rate=0.1, optimizer_settings={"momentum": 0.9}, weight_decay=0.0
    )
    others = default_recipe(digits).but(epochs=15)
    for name in (PERCEPTRON, *NETWORKS):

        def accuracies(subject: Subject) -> dict[tuple[str, int], tuple[float, float]]:
            found = {}
            for method in ("nearest", "flexround"):
                for bits in BITS:
                    begun = time.process_time()
                    error = bound("quantized_error", {"method": method, "bits": bits})(subject)
                    found[method, bits] = (1 - error, time.process_time() - begun)
            return found

        recipe = perceptron if name == PERCEPTRON else others
        runs = figures(name, recipe, digits, seeds, accuracies)
        for method in ("nearest", "flexround"):
            accuracy = [cell(run[2][method, bits][0] for run in runs) for bits in BITS]
            seconds = statistics.mean(run[2][method, bits][1] for run in runs for bits in BITS)
            row(name, [cell(run[0] for run in runs), method, *accuracy, f"{seconds:.1f}"])


def certified(digits: DataSet, seeds: int) -> None:
    row("network, training", ["right", *(f"proven at {r:g}" for r in RADII), "gradients"])
    row("---", ["---"] * (len(RADII) + 2))
    perceptron = TrainingRecipe(
        epochs=60,
        optimizer="adam",
        learning_rate=2e-3,
        weight_decay=0.0,
        schedule="constant",
        clip_norm=None,
    )
    others = default_recipe(digits).but(epochs=30, label_smoothing=0.0)
    ways: list[tuple[str, str, dict[str, Any]]] = [
        (PERCEPTRON, "plain", {}),
        (PERCEPTRON, "0.05", {"epsilon": 0.05}),
        (PERCEPTRON, "0.05, own initial weights", {"epsilon": 0.05, "initialize": False}),
        (PERCEPTRON, "0.05, no regularisers", {"epsilon": 0.05, "regularization": 0.0}),
        (PERCEPTRON, "0.1", {"epsilon": 0.1}),
        ("nasbench201 resnet, 8 channels", "plain", {}),
        ("nasbench201 resnet, 8 channels", "0.05 in a line", {"epsilon": 0.05, "power": 1.0}),
        *((name, "0.05", {"epsilon": 0.05}) for name in NETWORKS),
    ]
    for name, way, settings in ways:

        def proven(subject: Subject) -> list[float]:
            return [1 - bound("certified_error", {"epsilon": r})(subject) for r in RADII]

        recipe = perceptron if name == PERCEPTRON else others
        if settings:
            recipe = recipe.but(loss="certified", loss_settings=settings)
        runs = figures(name, recipe, digits, seeds, proven)
        shares = [cell(run[2][at] for run in runs) for at in range(len(RADII))]
        gradients = f"{statistics.mean(run[1] for run in runs):g}"
        row(f"{name}, {way}", [cell(run[0] for run in runs), *shares, gradients])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    tables = {"quantised": quantised, "certified": certified}
    parser.add_argument("--only", nargs="+", choices=tables, default=list(tables))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = data()
    for name in options.only:
        print(f"\n{name}\n")
        tables[name](digits, options.seeds)


if __name__ == "__main__":
    main()
