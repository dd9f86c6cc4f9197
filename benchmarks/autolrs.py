"""AutoLRS on digits beside the default rate and a grid of five, at equal cost, tries included.

    python benchmarks/autolrs.py [--epochs 60] [--seeds 5] [--first 0]

The perceptron of `nas.testing.digits`, the engine's trainer, SGD with momentum, batch 64; 1,150
images to train, 288 to validate, 359 to test. All have as many gradients of batches in all: AutoLRS
trains half the epochs, the default rate (0.1, cosine) all of them, each rate of the grid (cosine) a
fifth, and the best by validation error is told. For comparison without counting its price, the
grid at full length, and AutoLRS at full length.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import torch

from nas.core.errors import CandidateError
from nas.optimizers import OPTIMIZERS
from nas.testing.digits import perceptron
from nas.training import TrainingRecipe, fit, load_data
from nas.training.data.dataset import DataSet

RATE = 0.1


def train(data: DataSet, seed: int, epochs: int, **settings: object) -> dict[str, float]:
    network = torch.nn.Sequential(torch.nn.Flatten(), perceptron(seed))
    recipe = TrainingRecipe.from_settings(
        {"epochs": epochs, "weight_decay": 0.0, "precision": "float32", **settings}
    )
    try:
        return dict(fit(network, data, recipe, seed=seed, split="test").figures)
    except CandidateError:
        return {"error": 0.9, "test_error": 0.9, "gradient_evaluations": float("nan")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data("digits")
    rates = [float(rate) for rate in np.geomspace(*OPTIMIZERS.get("sgd").traits.rates, 5)]
    searched = {"learning_rate": RATE, "schedule": "autolrs"}

    def grid(seed: int, epochs: int) -> dict[str, float]:
        found = [train(data, seed, epochs, learning_rate=rate) for rate in rates]
        best = min(found, key=lambda figures: figures["error"])
        return {**best, "gradient_evaluations": sum(f["gradient_evaluations"] for f in found)}

    ways = {
        "AutoLRS, half the epochs": lambda seed: train(data, seed, args.epochs // 2, **searched),
        f"rate {RATE}": lambda seed: train(data, seed, args.epochs, learning_rate=RATE),
        "best of five, a fifth each": lambda seed: grid(seed, args.epochs // 5),
        "AutoLRS, at twice the cost": lambda seed: train(data, seed, args.epochs, **searched),
        "best of five, at five times the cost": lambda seed: grid(seed, args.epochs),
    }
    print("| way | test accuracy % | each seed | gradients |\n|---|---|---|---|", flush=True)
    for name, way in ways.items():
        runs = [way(seed) for seed in range(args.first, args.first + args.seeds)]
        found = [100 * (1 - run["test_error"]) for run in runs]
        spread = statistics.stdev(found) if len(found) > 1 else 0.0
        print(
            f"| {name} | {statistics.fmean(found):.1f} ± {spread:.1f}"
            f" | {', '.join(f'{value:.1f}' for value in found)}"
            f" | {runs[0]['gradient_evaluations']:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
