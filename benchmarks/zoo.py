"""Optimizers and steps of the zoo on digits: accuracy, sharpness, cost, each at its best rate.

    python benchmarks/zoo.py [--only sgd lion] [--seeds 3] [--csv FILE]

The perceptron of `nas.testing.digits` (1,437 images to train, 360 to test), batch 64, cosine to 0
but for those that go with a constant rate only. Each method at five rates from the least to the
largest that its traits name, evenly in the logarithm; printed is the best by the mean over seeds,
and beside it the rate that its family's best and its own factor give. Epochs are divided by what a
step costs in gradients, so that all have as many forward and backward passes; ``--epochs-alike``
gives all the same epochs. Sharpness is the largest eigenvalue of the training loss's Hessian, by
power iteration.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.core.errors import DivergenceError
from nas.optimizers import OPTIMIZERS, PLAIN, STEPS
from nas.testing.digits import EPOCHS, Trained, train

Method = tuple[str, str, dict[str, Any], dict[str, Any]]
METHODS: list[Method] = [
    *(
        (name, PLAIN, {}, {})
        for name in ("sgd", "adamw", "nadamw", "lion", "adamp", "sgdp", "sm3", "muon")
    ),
    ("rmsprop", PLAIN, {}, {}),
    ("adafactor", PLAIN, {}, {}),
    ("sophia-g", PLAIN, {}, {}),
    ("sophia-h", PLAIN, {}, {}),
    ("m-fac", PLAIN, {}, {}),
    ("mezo", PLAIN, {}, {}),
    ("schedule-free-adamw", PLAIN, {}, {}),
    ("schedule-free-sgd", PLAIN, {}, {}),
    ("prodigy", PLAIN, {}, {}),
    ("soap", PLAIN, {}, {}),
    ("ademamix", PLAIN, {}, {}),
    *(("sgd", "sam", {}, {"rho": rho}) for rho in (0.05, 0.1, 0.2)),
    ("adamw", "sam", {}, {"rho": 0.1}),
    ("sgd", "sam", {}, {"rho": 0.5, "adaptive": True}),
    ("sgd", "sam-k", {}, {"k": 5}),
    ("sgd", "looksam", {}, {"k": 5, "alpha": 0.7}),
    ("sgd", "looksam", {}, {"k": 5, "alpha": 0.2}),
    ("sgd", "looksam", {}, {"k": 2, "alpha": 0.7}),
    *(("sgd", "conadv", {}, {"epsilon": epsilon}) for epsilon in (0.01, 0.03, 0.1)),
]


def run(method: Method, lr: float, seed: int, epochs: int) -> Trained:
    name, step, settings, step_settings = method
    try:
        return train(
            name,
            lr,
            settings=settings,
            step=step,
            step_settings=step_settings,
            seed=seed,
            epochs=epochs,
        )
    except DivergenceError:
        return Trained(10.0, math.inf, math.nan, 0.0, 0.0)


def cost(method: Method) -> float:
    name, step, _, step_settings = method
    if step == PLAIN:
        return OPTIMIZERS.get(name).traits.gradients
    row = STEPS.get(step)
    return row.gradients(row.settings(**step_settings))


def title(method: Method) -> str:
    name, step, settings, step_settings = method
    told = ", ".join(f"{k} {v}" for k, v in {**settings, **step_settings}.items())
    return name if step == PLAIN else f"{step}({name}) {told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rates", type=int, default=5)
    parser.add_argument("--epochs-alike", action="store_true")
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[list[Any]] = []
    best_of_family: dict[str, float] = {}
    print(
        "| method | rate | test accuracy % | sharpness | passes | mapped rate | its accuracy | ms |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for method in METHODS:
        if args.only and method[0] not in args.only and method[1] not in args.only:
            continue
        traits = OPTIMIZERS.get(method[0]).traits
        epochs = args.epochs if args.epochs_alike else max(1, round(args.epochs / cost(method)))
        found: dict[float, list[Trained]] = {}

        def seeds(lr: float, epochs: int = epochs, method: Any = method) -> list[Trained]:
            return [run(method, lr, seed, epochs) for seed in range(args.seeds)]

        for lr in np.geomspace(*traits.rates, args.rates):
            found[float(lr)] = seeds(float(lr))
        mean = {lr: statistics.fmean(r.accuracy for r in runs) for lr, runs in found.items()}
        best = max(mean, key=lambda lr: mean[lr])
        if method[0] == traits.family and method[1] == PLAIN:
            best_of_family[traits.family] = best
        mapped, there = "", ""
        if traits.family in best_of_family or traits.family == "free":
            guess = best_of_family.get(traits.family, 1.0) * traits.rate
            there = f"{statistics.fmean(r.accuracy for r in seeds(guess)):.1f}"
            mapped = f"{guess:.2g}"
        runs = found[best]
        spread = statistics.stdev(r.accuracy for r in runs) if len(runs) > 1 else 0.0
        sharp = statistics.median(r.sharpness for r in runs)
        passes = runs[0].passes
        ms = 1000 * statistics.median(r.seconds for r in runs) / max(1.0, passes)
        print(
            f"| {title(method)} | {best:.2g} | {mean[best]:.1f} ± {spread:.1f} | {sharp:.2f}"
            f" | {passes:,.0f} | {mapped} | {there} | {ms:.2f} |",
            flush=True,
        )
        rows += [
            [title(method), lr, i, *astuple(r)]
            for lr, rs in found.items()
            for i, r in enumerate(rs)
        ]
    if args.csv:
        with args.csv.open("w", newline="") as file:
            csv.writer(file).writerows(rows)


if __name__ == "__main__":
    main()
