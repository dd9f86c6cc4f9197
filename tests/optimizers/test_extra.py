"""Optimizers of other packages do what their papers say, in float64, and say what they need."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

import nas.optimizers
from nas.core.errors import ConfigError, UnsupportedError
from nas.optimizers import OPTIMIZERS, build, extra_members
from nas.optimizers.rule import TwoFaced
from nas.training import TrainingRecipe
from tests.optimizers.members import marked

EXTRA = [name for name in OPTIMIZERS.names() if OPTIMIZERS.get(name).package]
CURVATURE = torch.tensor([[1.0, 3.0], [10.0, 0.5]], dtype=torch.float64)
START = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
RATE, DECAY, STEPS = 0.05, 0.1, 12


def gradient(w: Tensor) -> Tensor:
    """Of a bowl that is not along the axes."""
    return CURVATURE * w + 0.3 * w.sum()


def run(name: str, learning_rate: float = RATE, **settings: Any) -> list[Tensor]:
    """Weights after each step, those to measure where there are two kinds."""
    w = torch.nn.Parameter(START.clone())
    settings = {"weight_decay": DECAY, **settings}
    optimizer = build(name, [w], learning_rate=learning_rate, **settings)
    found = []
    for _ in range(STEPS):
        w.grad = gradient(w.detach())
        optimizer.step()
        if isinstance(optimizer, TwoFaced):
            trained = w.detach().clone()
            optimizer.eval()
            found.append(w.detach().clone())
            optimizer.train()
            torch.testing.assert_close(w.detach(), trained)
        else:
            found.append(w.detach().clone())
    return found


def schedule_free(direction: Callable[[Tensor, int], Tensor], beta: float) -> list[Tensor]:
    """x of "The Road Less Scheduled": decay at y, and even weights as the rate is constant."""
    x, z, found = START.clone(), START.clone(), []
    for step in range(1, STEPS + 1):
        y = (1 - beta) * z + beta * x
        z = z - RATE * (direction(gradient(y), step) + DECAY * y)
        x = x + (z - x) / step
        found.append(x)
    return found


def adam(beta2: float) -> Callable[[Tensor, int], Tensor]:
    square = torch.zeros_like(START)

    def direction(g: Tensor, step: int) -> Tensor:
        nonlocal square
        square = beta2 * square + (1 - beta2) * g * g
        return g / ((square / (1 - beta2**step)).sqrt() + 1e-8)

    return direction


def ademamix(beta3: float, alpha: float) -> list[Tensor]:
    w, fast, slow, square = START.clone(), 0.0, 0.0, 0.0
    found = []
    for step in range(1, STEPS + 1):
        g = gradient(w)
        fast, slow = 0.9 * fast + 0.1 * g, beta3 * slow + (1 - beta3) * g
        square = 0.999 * square + 0.001 * g * g
        root = (square / (1 - 0.999**step)) ** 0.5 + 1e-8
        w = w * (1 - RATE * DECAY) - RATE * (fast / (1 - 0.9**step) + alpha * slow) / root
        found.append(w)
    return found


def prodigy(start: float) -> list[Tensor]:
    """Algorithm 4, with Adam's means scaled by d, without their bias corrected."""
    w, m, v, s, r, d = START.clone(), 0.0, 0.0, torch.zeros_like(START), 0.0, start
    beta, found = sqrt(0.999), []
    for _ in range(STEPS):
        g = gradient(w)
        r = beta * r + d / start * d * float((g * (START - w)).sum())
        s = beta * s + d / start * d * g
        m, v = 0.9 * m + 0.1 * d * g, 0.999 * v + 0.001 * d * d * g * g
        larger = r / float(s.abs().sum())
        rate, d = d, max(d, larger)
        w = w * (1 - rate * DECAY) - rate * m / (v**0.5 + d * 1e-8)
        found.append(w)
    return found


def soap() -> list[Tensor]:
    """Adam in the eigenbasis of both sides of the first gradient, which stays (k is large)."""
    found, w = [START.clone()], START.clone()
    g = gradient(w)
    left, right = (torch.linalg.eigh(side)[1] for side in (g @ g.T, g.T @ g))
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    for step in range(1, STEPS):
        g = gradient(w)
        m = 0.95 * m + 0.05 * g
        v = 0.95 * v + 0.05 * (left.T @ g @ right) ** 2
        factor = sqrt(1 - 0.95**step) / (1 - 0.95**step)
        turned = left @ ((left.T @ m @ right) / (v.sqrt() + 1e-8)) @ right.T
        w = (w - RATE * factor * turned) * (1 - RATE * DECAY)
        found.append(w)
    return found


CASES: dict[str, tuple[dict[str, Any], Callable[[], list[Tensor]]]] = {
    "schedule-free-adamw": ({"beta2": 0.99}, lambda: schedule_free(adam(0.99), 0.9)),
    "schedule-free-sgd": ({"momentum": 0.8}, lambda: schedule_free(lambda g, step: g, 0.8)),
    "ademamix": ({"beta3": 0.95, "alpha": 2.0}, lambda: ademamix(0.95, 2.0)),
    "prodigy": ({"learning_rate": 1.0, "start": 0.01}, lambda: prodigy(0.01)),
    "soap": ({"every": 100}, soap),
}


@pytest.mark.parametrize("name", marked(EXTRA))
def test_it_is_the_papers_rule(name: str) -> None:
    settings, expected = CASES[name]
    for found, wanted in zip(run(name, **settings), expected(), strict=True):
        # Prodigy's sums are kept in float32.
        within = 1e-5 if name == "prodigy" else 1e-9
        torch.testing.assert_close(found, wanted, rtol=within, atol=within)


@pytest.mark.parametrize("name", marked(["ademamix"]))
def test_its_warm_up_goes_from_the_fast_mean_to_the_slow_one(name: str) -> None:
    found = run(name, warmup=STEPS, beta3=0.99)
    torch.testing.assert_close(
        found[0], run(name, alpha=5.0 / STEPS, beta3=0.9)[0], atol=0.05, rtol=0
    )
    assert not torch.equal(found[-1], run(name, beta3=0.99)[-1])


@pytest.mark.parametrize("name", EXTRA)
def test_a_missing_package_is_one_line_before_anything_is_done(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nas.optimizers, "find_spec", lambda package: None)
    schedule = "constant" if name.startswith("schedule-free") else "cosine"
    words = rf"{name} needs the package \w+, which is missing; pip install 'nas-engine\[zoo\]'"
    with pytest.raises(UnsupportedError, match=words):
        TrainingRecipe(optimizer=name, schedule=schedule)
    with pytest.raises(UnsupportedError, match=words):
        build(name, [torch.nn.Parameter(torch.ones(2))])
    TrainingRecipe(optimizer="lion")


def test_another_version_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra_members, "version", lambda package: "3.9.0")
    monkeypatch.setattr(nas.optimizers, "find_spec", importlib.util.find_spec)
    for name in (t.values[0] for t in marked(["soap"]) if not t.marks[0].args[0]):
        with pytest.raises(UnsupportedError, match=r"pytorch_optimizer 3\.9\.0 is not known"):
            build(name, [torch.nn.Parameter(torch.ones(2))])


@pytest.mark.parametrize("name", ["schedule-free-adamw", "schedule-free-sgd"])
def test_recipes_say_what_does_not_go_together(name: str) -> None:
    with pytest.raises(UnsupportedError, match="does not go with schedule 'cosine'; set schedule"):
        TrainingRecipe(optimizer=name)
    with pytest.raises(UnsupportedError, match="averages weights itself; leave ema_decay out"):
        TrainingRecipe(optimizer=name, schedule="constant", ema_decay=0.9)
    with pytest.raises(UnsupportedError, match="cannot be wrapped in conadv"):
        TrainingRecipe(optimizer=name, schedule="constant", step="conadv")


@pytest.mark.parametrize("name", marked(["prodigy"]))
def test_prodigy_has_one_rate(name: str) -> None:
    a, b = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    with pytest.raises(ConfigError, match="one learning rate for all groups"):
        build(name, [{"params": [a], "lr": 0.1}, {"params": [b]}])
    build(name, [{"params": [a]}, {"params": [b]}])
    recipe = TrainingRecipe(optimizer=name, learning_rate=1.0, batch_size=512, reference_batch=64)
    assert recipe.all_optimizer_settings()["learning_rate"] == 1.0


def test_their_tables_need_no_package() -> None:
    for name in EXTRA:
        assert OPTIMIZERS.get(name).settings().learning_rate > 0
