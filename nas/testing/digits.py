"""A perceptron on scikit-learn's digits: the task on which optimizers are compared.

64-64-64-10 units with rectifiers, 1,437 images to train and 360 to test (stratified, the same every
time), batches of 64, 30 epochs, a cosine to 0: about a second a training.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor, nn

from nas.measure.curvature import dominant_eigenvalue
from nas.optimizers import OPTIMIZERS, PLAIN, build
from nas.optimizers.rule import TwoFaced
from nas.testing.closures import Batch
from nas.training.schedules import rate

__all__ = ["EPOCHS", "Trained", "digits", "perceptron", "train"]

BATCH: Final = 64
EPOCHS: Final = 30
POWER: Final = 40


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        accuracy: On the test images, in per cent.
        loss: Mean cross-entropy of the training images.
        sharpness: Largest eigenvalue of that loss's Hessian in the weights.
        passes: Gradients of a batch, as trainers count them.
        seconds: Of this process's time.
    """

    accuracy: float
    loss: float
    sharpness: float
    passes: float
    seconds: float


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images `(n, 64)` from 0 to 1, and their labels `(n,)`."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    a, b, c, d = train_test_split(x / 16.0, y, test_size=360, stratify=y, random_state=0)
    train, test = (torch.tensor(part, dtype=torch.float32) for part in (a, b))
    return train, test, torch.tensor(c), torch.tensor(d)


def perceptron(seed: int) -> nn.Module:
    """The network; seeds torch's own generator."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def train(
    name: str,
    learning_rate: float,
    *,
    settings: Mapping[str, Any] | None = None,
    step: str = PLAIN,
    step_settings: Mapping[str, Any] | None = None,
    schedule: str | None = None,
    seed: int = 0,
    epochs: int = EPOCHS,
) -> Trained:
    """Train and measure.

    Args:
        name: Of the optimizer.
        learning_rate: At its highest.
        settings: The optimizer's others.
        step: That it is wrapped in.
        step_settings: Its settings.
        schedule: Cosine by default, or what the optimizer goes with.
        seed: Of weights and order.
        epochs: Passes over the training images; what is left of a batch is left out.

    Raises:
        DivergenceError: The loss is no number.
    """
    train_x, test_x, train_y, test_y = digits()
    network = perceptron(seed)
    optimizer = build(
        name,
        network.parameters(),
        step=step,
        step_settings=step_settings,
        learning_rate=learning_rate,
        **(settings or {}),
    )
    schedule = schedule or next(iter(OPTIMIZERS.get(name).traits.schedules), "cosine")
    steps = len(train_x) // BATCH
    factor = rate(schedule, {}, epochs * steps)
    passes, began = 0.0, time.process_time()
    for epoch in range(epochs):
        order = torch.randperm(len(train_x))
        for number in range(steps):
            rows = order[number * BATCH : (number + 1) * BATCH]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * factor(epoch * steps + number)
            batch = Batch(network, optimizer, train_x[rows], train_y[rows])
            optimizer.step(batch)  # type: ignore[arg-type]
            passes += batch.passes
    seconds = time.process_time() - began
    if isinstance(optimizer, TwoFaced):
        optimizer.eval()
    with torch.no_grad():
        accuracy = 100 * float((network(test_x).argmax(1) == test_y).float().mean())
    loss = nn.functional.cross_entropy(network(train_x), train_y)
    sharpness = dominant_eigenvalue(
        loss,
        list(network.parameters()),
        torch.Generator().manual_seed(0),
        iterations=POWER,
        tolerance=1e-3,
    )
    return Trained(accuracy, float(loss.detach()), sharpness, passes, seconds)
