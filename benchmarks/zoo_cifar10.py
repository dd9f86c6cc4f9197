"""The ten most used members of the zoo on small CIFAR-10, each at its best rate, at equal cost.

    python benchmarks/zoo_cifar10.py FILE.npz --csv FILE [--only lion] [--seeds 3] [--passes 25]

The network is three convolutions of stride 2 with batch normalisation, 16, 32 and 64 channels, and
a linear classifier; 4,500 images to train, 500 to validate and 1,000 to test, mirrored and shifted
by up to four pixels, batch 64, cosine to 0, the trainer of the engine. Each method runs at five
rates, evenly in the logarithm from the least to the largest that its traits name, and three seeds;
the best is chosen by the mean validation error and its test error is told. Methods whose steps take
several gradients get fewer epochs, so that all pay for as many gradients of batches. Runs found in
the CSV file are not done again.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas.core.errors import CandidateError
from nas.optimizers import OPTIMIZERS, PLAIN, STEPS
from nas.training import TrainingRecipe, fit, load_data

METHODS = [
    *(
        (name, PLAIN)
        for name in (
            "sgd",
            "adamw",
            "nadamw",
            "adafactor",
            "lion",
            "adamp",
            "sgdp",
            "muon",
            "sophia-g",
        )
    ),
    ("sgd", "sam"),
]
FIELDS = ["method", "rate", "seed", "error", "test_error", "gradients", "seconds"]
Row = dict[str, str]


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(before, after, 3, 2, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 10))


def title(name: str, step: str) -> str:
    return name if step == PLAIN else f"{step}({name})"


def cost(name: str, step: str) -> float:
    if step == PLAIN:
        return OPTIMIZERS.get(name).traits.gradients
    row = STEPS.get(step)
    return row.gradients(row.settings())


def jobs(seeds: int, only: list[str]) -> Iterator[tuple[str, str, float, int]]:
    for name, step in METHODS:
        if only and title(name, step) not in only:
            continue
        for rate in np.geomspace(*OPTIMIZERS.get(name).traits.rates, 5):
            for seed in range(seeds):
                yield name, step, float(rate), seed


def train(data_file: Path, name: str, step: str, rate: float, seed: int, passes: int) -> Row:
    data = load_data(f"npz:{data_file}", seed)
    recipe = TrainingRecipe(
        epochs=max(1, round(passes / cost(name, step))),
        optimizer=name,
        step=step,
        learning_rate=rate,
        weight_decay=0.0,
        flip=True,
        crop_padding=4,
        precision="float32",
    )
    began = time.process_time()
    found = {"error": 0.9, "test_error": 0.9, "gradient_evaluations": float("nan")}
    try:
        found |= fit(network(seed), data, recipe, seed=seed, split="test").figures
    except CandidateError as failure:
        print(f"{title(name, step)} at {rate:.2g}: {failure}", flush=True)
    return {
        "method": title(name, step),
        "rate": f"{rate:.6g}",
        "seed": str(seed),
        "error": f"{found['error']:.4f}",
        "test_error": f"{found['test_error']:.4f}",
        "gradients": f"{found['gradient_evaluations']:.0f}",
        "seconds": f"{time.process_time() - began:.1f}",
    }


def validation(rows: list[Row]) -> float:
    return statistics.fmean(float(row["error"]) for row in rows)


def table(rows: list[Row]) -> None:
    print(
        "| method | rate | test error % | gradients of a batch | seconds |\n|---|---|---|---|---|"
    )
    for method in dict.fromkeys(row["method"] for row in rows):
        of: dict[str, list[Row]] = {}
        for row in rows:
            if row["method"] == method:
                of.setdefault(row["rate"], []).append(row)
        best = min(
            of.values(), key=lambda found: statistics.fmean(float(r["error"]) for r in found)
        )
        errors = [100 * float(row["test_error"]) for row in best]
        spread = statistics.stdev(errors) if len(errors) > 1 else 0.0
        seconds = statistics.median(float(row["seconds"]) for row in best)
        rates = list(of)
        edge = " (an end)" if best[0]["rate"] in (rates[0], rates[-1]) else ""
        print(
            f"| {method} | {float(best[0]['rate']):.2g}{edge} | {statistics.fmean(errors):.1f} ±"
            f" {spread:.1f} | {best[0]['gradients']} | {seconds:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=25)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    if args.csv.exists():
        rows = list(csv.DictReader(args.csv.open()))
    done = {(row["method"], row["rate"], row["seed"]) for row in rows}
    with args.csv.open("a", newline="") as file:
        out = csv.DictWriter(file, FIELDS)
        if not rows:
            out.writeheader()
        for name, step, rate, seed in jobs(args.seeds, args.only):
            if (title(name, step), f"{rate:.6g}", str(seed)) in done:
                continue
            rows.append(train(args.data, name, step, rate, seed, args.passes))
            out.writerow(rows[-1])
            file.flush()
    table(rows)


if __name__ == "__main__":
    main()
