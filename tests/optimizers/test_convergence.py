"""Every member trains a network on digits, and sharpness-aware steps end in flatter places.

Rates are those that `benchmarks/zoo.py` found; bars leave room for other machines.
"""

from __future__ import annotations

import statistics
from functools import cache
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from nas.measure.curvature import dominant_eigenvalue
from nas.optimizers import OPTIMIZERS, PLAIN, STEPS, build
from nas.training.schedules import rate

RATES = {
    "sgd": 0.13,
    "adam": 0.01,
    "adamw": 0.01,
    "nadamw": 0.01,
    "lion": 0.0013,
    "rmsprop": 0.003,
    "adafactor": 0.03,
    "muon": 0.02,
    "adamp": 0.01,
    "sgdp": 0.13,
    "sm3": 0.1,
    "sophia-g": 0.003,
    "sophia-h": 0.38,
    "m-fac": 0.0055,
}
STEPPED: dict[str, dict[str, Any]] = {
    "sam": {"rho": 0.1},
    "sam-k": {"k": 5},
    "looksam": {"k": 5, "alpha": 0.2},
}


@cache
def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, y = load_digits(return_X_y=True)
    a, b, c, d = train_test_split(x / 16.0, y, test_size=360, stratify=y, random_state=0)
    images = (torch.tensor(part, dtype=torch.float32) for part in (a, b))
    return (*images, torch.tensor(c), torch.tensor(d))  # type: ignore[return-value]


class Batch:
    """The closure of a step, with labels drawn where that is asked for."""

    def __init__(self, network: nn.Module, optimizer: Any, x: Tensor, y: Tensor) -> None:
        self.network, self.optimizer, self.x, self.y = network, optimizer, x, y
        self.examples = len(x)

    def __call__(self, *, backward: bool = True, drawn: bool = False) -> Tensor:
        self.optimizer.zero_grad()
        logits = self.network(self.x)
        chance = torch.multinomial(logits.detach().softmax(1), 1).squeeze(1) if drawn else None
        loss = nn.functional.cross_entropy(logits, self.y if chance is None else chance)
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]
        return loss


@cache
def trained(
    name: str,
    lr: float,
    step: str = PLAIN,
    given: tuple[Any, ...] = (),
    seed: int = 0,
    epochs: int = 30,
) -> tuple[float, float, float]:
    """Test accuracy in percent, training loss and sharpness."""
    train_x, test_x, train_y, test_y = data()
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = build(
        name, network.parameters(), learning_rate=lr, step=step, step_settings=dict(given)
    )
    epochs, steps = 30, len(train_x) // 64
    factor = rate("cosine", {}, epochs * steps)
    for epoch in range(epochs):
        order = torch.randperm(len(train_x))
        for number in range(steps):
            rows = order[number * 64 : (number + 1) * 64]
            for group in optimizer.param_groups:
                group["lr"] = lr * factor(epoch * steps + number)
            optimizer.step(Batch(network, optimizer, train_x[rows], train_y[rows]))  # type: ignore[arg-type]
    with torch.no_grad():
        accuracy = 100 * float((network(test_x).argmax(1) == test_y).float().mean())
    loss = nn.functional.cross_entropy(network(train_x), train_y)
    sharp = dominant_eigenvalue(
        loss,
        list(network.parameters()),
        torch.Generator().manual_seed(0),
        iterations=40,
        tolerance=1e-3,
    )
    return accuracy, float(loss.detach()), sharp


def test_every_member_has_a_rate_here_or_a_warning() -> None:
    warned = {name for name in OPTIMIZERS.names() if OPTIMIZERS.get(name).traits.warning}
    ours = {name for name in OPTIMIZERS.names() if not name.startswith(("visiting", "wrong"))}
    assert ours - set(RATES) <= warned
    assert set(STEPPED) <= set(STEPS.names())


@pytest.mark.parametrize("name", RATES)
def test_it_learns_digits(name: str) -> None:
    assert trained(name, RATES[name])[0] >= 95


def test_what_does_not_train_from_scratch_says_so() -> None:
    """The figure of its warning: near chance."""
    assert trained("mezo", 1e-3)[0] < 30
    assert "11 %" in OPTIMIZERS.get("mezo").traits.warning


@pytest.mark.parametrize("step", STEPPED)
def test_steps_learn_digits(step: str) -> None:
    plain = trained("sgd", 0.13)[0]
    assert trained("sgd", 0.13, step, tuple(STEPPED[step].items()))[0] >= max(95, plain - 1.5)


def test_sharpness_aware_steps_end_in_flatter_places() -> None:
    """At the same rate and epochs; of networks that have all learnt their training set."""
    medians = []
    for rho in (0.0, 0.05, 0.1, 0.2):
        step, given = (PLAIN, ()) if rho == 0 else ("sam", (("rho", rho),))
        runs = [trained("sgd", 0.1, step, given, seed) for seed in range(3)]
        assert all(loss < 0.02 for _, loss, _ in runs)
        medians.append(statistics.median(sharp for _, _, sharp in runs))
    assert medians[1] / medians[0] <= 0.75
    assert medians[2] / medians[0] <= 0.6
    assert medians == sorted(medians, reverse=True)
