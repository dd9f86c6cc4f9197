"""Optimizers and steps of the zoo on digits: accuracy, sharpness, cost, each at its best rate.

    python benchmarks/zoo.py [--only sgd lion] [--seeds 3] [--csv FILE]

A multilayer perceptron 64-64-64-10 on scikit-learn's digits (1,437 to train, 360 to test),
batch 64, cosine to 0. Each method at five rates from the least to the largest that its traits name,
evenly in the logarithm; printed is the best by the mean over seeds, and beside it the rate that its
family's best and its own factor give. Epochs are divided by what a step costs in gradients, so that
all have as many forward and backward passes; ``--epochs-alike`` gives all the same epochs.
Sharpness is the largest eigenvalue of the training loss's Hessian, by power iteration.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from nas.measure.curvature import dominant_eigenvalue
from nas.optimizers import OPTIMIZERS, PLAIN, STEPS, build
from nas.training.schedules import rate

BATCH, POWER = 64, 40
EPOCHS = 30
METHODS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
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
    *(("sgd", "sam", {}, {"rho": rho}) for rho in (0.05, 0.1, 0.2)),
    ("adamw", "sam", {}, {"rho": 0.1}),
    ("sgd", "sam", {}, {"rho": 0.5, "adaptive": True}),
    ("sgd", "sam-k", {}, {"k": 5}),
    ("sgd", "looksam", {}, {"k": 5, "alpha": 0.7}),
    ("sgd", "looksam", {}, {"k": 5, "alpha": 0.2}),
    ("sgd", "looksam", {}, {"k": 2, "alpha": 0.7}),
]


def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x / 16.0, y, test_size=360, stratify=y, random_state=0)
    a, b = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    return a, b, torch.tensor(parts[2]), torch.tensor(parts[3])


class Batch:
    """The closure of a step; counts passes as trainers do."""

    def __init__(self, network: nn.Module, optimizer: Any, x: Tensor, y: Tensor) -> None:
        self.network, self.optimizer, self.x, self.y = network, optimizer, x, y
        self.examples, self.passes = len(x), 0.0

    def __call__(self, *, backward: bool = True, drawn: bool = False) -> Tensor:
        self.optimizer.zero_grad()
        logits = self.network(self.x)
        labels = self.y
        if drawn:
            labels = torch.multinomial(logits.detach().softmax(1), 1).squeeze(1)
        loss = nn.functional.cross_entropy(logits, labels)
        if backward:
            loss.backward()
        self.passes += 1.0 if backward else 2.0 if torch.is_grad_enabled() else 1 / 3
        return loss


def train(
    method: tuple[str, str, dict[str, Any], dict[str, Any]], lr: float, seed: int, epochs: int
) -> dict[str, float]:
    name, step, settings, step_settings = method
    train_x, test_x, train_y, test_y = data()
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = build(
        name,
        network.parameters(),
        learning_rate=lr,
        step=step,
        step_settings=step_settings,
        **settings,
    )
    steps = len(train_x) // BATCH
    factor = rate("cosine", {}, epochs * steps)
    passes, began = 0.0, time.process_time()
    for epoch in range(epochs):
        order = torch.randperm(len(train_x))
        for number in range(steps):
            rows = order[number * BATCH : (number + 1) * BATCH]
            for group in optimizer.param_groups:
                group["lr"] = lr * factor(epoch * steps + number)
            batch = Batch(network, optimizer, train_x[rows], train_y[rows])
            try:
                optimizer.step(batch)  # type: ignore[arg-type]
            except FloatingPointError:
                return {"accuracy": 10.0, "sharpness": float("nan"), "passes": passes, "loss": 9.0}
            passes += batch.passes
    seconds = time.process_time() - began
    with torch.no_grad():
        accuracy = 100 * float((network(test_x).argmax(1) == test_y).float().mean())
        loss = float(nn.functional.cross_entropy(network(train_x), train_y))
    sharp = sharpness(network, train_x, train_y)
    return {
        "accuracy": accuracy,
        "sharpness": sharp,
        "passes": passes,
        "loss": loss,
        "seconds": seconds,
    }


def sharpness(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Largest eigenvalue of the Hessian of the mean loss."""
    loss = nn.functional.cross_entropy(network(x), y)
    weights = list(network.parameters())
    chance = torch.Generator().manual_seed(0)
    return dominant_eigenvalue(loss, weights, chance, iterations=POWER, tolerance=1e-3)


def cost(method: tuple[str, str, dict[str, Any], dict[str, Any]]) -> float:
    name, step, _, step_settings = method
    if step == PLAIN:
        return OPTIMIZERS.get(name).traits.gradients
    row = STEPS.get(step)
    return row.gradients(row.settings(**step_settings))


def title(method: tuple[str, str, dict[str, Any], dict[str, Any]]) -> str:
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
        found: dict[float, list[dict[str, float]]] = {}

        def run(lr: float, epochs: int = epochs, method: Any = method) -> list[dict[str, float]]:
            return [train(method, lr, seed, epochs) for seed in range(args.seeds)]

        for lr in np.geomspace(*traits.rates, args.rates):
            found[float(lr)] = run(float(lr))
        mean = {lr: statistics.fmean(r["accuracy"] for r in runs) for lr, runs in found.items()}
        best = max(mean, key=lambda lr: mean[lr])
        if method[0] == traits.family and method[1] == PLAIN:
            best_of_family[traits.family] = best
        mapped, there = "", ""
        if traits.family in best_of_family:
            guess = best_of_family[traits.family] * traits.rate
            there = f"{statistics.fmean(r['accuracy'] for r in run(guess)):.1f}"
            mapped = f"{guess:.2g}"
        runs = found[best]
        spread = statistics.stdev(r["accuracy"] for r in runs) if len(runs) > 1 else 0.0
        sharp = statistics.median(r["sharpness"] for r in runs)
        passes = runs[0]["passes"]
        ms = 1000 * statistics.median(r.get("seconds", 0.0) for r in runs) / max(1.0, passes)
        print(
            f"| {title(method)} | {best:.2g} | {mean[best]:.1f} ± {spread:.1f} | {sharp:.2f}"
            f" | {passes:,.0f} | {mapped} | {there} | {ms:.2f} |",
            flush=True,
        )
        rows += [
            [title(method), lr, i, *r.values()]
            for lr, rs in found.items()
            for i, r in enumerate(rs)
        ]
    if args.csv:
        with args.csv.open("w", newline="") as file:
            csv.writer(file).writerows(rows)


if __name__ == "__main__":
    main()
