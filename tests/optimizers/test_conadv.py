"""ConAdv against its formula, on a problem whose every gradient is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nas.core.errors import ConfigError
from nas.optimizers import OPTIMIZERS, STEPS, build
from nas.testing.closures import Problem

RATE, EPSILON = 0.1, 0.03
X = torch.tensor([[0.2, 0.9], [0.99, 0.5]], dtype=torch.float64)
Y = torch.tensor([0.3, -0.4], dtype=torch.float64)


class Line:
    """Half the mean square of x w - y, whose gradients are written down; pixels lie in [0, 1]."""

    examples = 2

    def __init__(self, w: torch.nn.Parameter) -> None:
        self.w, self.x, self.calls = w, X, 0
        self.fails_at = 0
        self.directions: list[Tensor] = []

    def __call__(self, *, inputs: bool = False, moved: Tensor | None = None) -> Tensor:
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("out of memory")
        w = self.w.detach()
        if inputs:
            self.directions.append(w.clone())
            return (self.x @ w - Y)[:, None] * w / 2
        x = self.x if moved is None else (self.x + moved).clamp(0, 1)
        rest = x @ w - Y
        self.w.grad = x.T @ rest / 2
        return rest.square().mean() / 2


def reference(count: int, tau: int) -> list[Tensor]:
    """Weights after each step of SGD."""
    found = [torch.tensor([1.0, -2.0], dtype=torch.float64)]
    for step in range(count):
        w, stale = found[-1], found[max(0, step - tau)]
        uphill = ((X @ stale - Y)[:, None] * stale).sign()
        moved = (X + EPSILON * uphill).clamp(0, 1)
        clean, other = (x.T @ (x @ w - Y) / 2 for x in (X, moved))
        found.append(w - RATE * (clean + other) / 2)
    return found


def make(w: torch.nn.Parameter, **settings: Any) -> torch.optim.Optimizer:
    return build(
        "sgd", [w], learning_rate=RATE, momentum=0.0, step="conadv", step_settings=settings
    )


@pytest.mark.parametrize("tau", [1, 3])
def test_it_is_the_formula(tau: int) -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer, closure = make(w, epsilon=EPSILON, tau=tau), Line(w)
    expected = reference(9, tau)
    for step in range(9):
        before = w.detach().clone()
        loss: Any = optimizer.step(closure)
        assert float(loss) == pytest.approx(float((X @ before - Y).square().mean() / 2))
        torch.testing.assert_close(closure.directions[-1], expected[max(0, step - tau)])
        torch.testing.assert_close(w.detach(), expected[step + 1], rtol=0, atol=1e-12)
    assert closure.calls == 3 * 9


@pytest.mark.parametrize("at", [1, 2, 3])
def test_weights_come_back_to_the_bit_whatever_fails(at: int) -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer, closure = make(w), Line(w)
    optimizer.step(closure)
    before = w.detach().clone()
    closure.calls, closure.fails_at = 0, at
    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step(closure)
    assert torch.equal(w.detach(), before)
    optimizer.step(closure)
    torch.testing.assert_close(w.detach(), reference(2, 1)[2], rtol=0, atol=1e-12)


def test_what_it_costs_is_what_its_row_says() -> None:
    problem, passes = Problem("conadv(adamw)"), 0.0
    for number in range(5):
        batch = problem.batch(number)
        problem.optimizer.step(batch)  # type: ignore[arg-type]
        passes += batch.passes
    row = STEPS.get("conadv")
    assert passes / 5 == pytest.approx(row.gradients(row.settings()))


def test_a_closure_that_cannot_move_inputs_is_said() -> None:
    w = torch.nn.Parameter(torch.ones(2))

    def closure() -> Tensor:
        w.grad = w.detach().clone()
        return w.detach().sum()

    with pytest.raises(ConfigError, match="'inputs', which this optimizer asks for"):
        build("sgd", [w], step="conadv").step(closure)  # type: ignore[arg-type]
    assert torch.equal(w.detach(), torch.ones(2))


def test_what_looks_at_more_than_a_gradient_is_not_wrapped() -> None:
    for name in OPTIMIZERS.names():
        excluded = OPTIMIZERS.get(name).traits.excludes
        if "sam" in excluded:
            assert excluded >= {"sam", "sam-k", "looksam", "conadv"}
