"""What every optimizer must do, whoever wrote it.

from nas.testing.optimizers import check_optimizer

def test_my_optimizer():
check_optimizer("mine")
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from nas.optimizers import OPTIMIZERS, build, settings_model

__all__ = ["CHECKS", "check_optimizer"]

STEPS: Final = 6


def check_optimizer(name: str) -> None:
    """Check a registered optimizer.

    Args:
        name: Its name.

    Raises:
        AssertionError: It breaks a promise.
    """
    for check in CHECKS.values():
        check(name)


def _require(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


class _Problem:
    """A small classifier, its batches, and an optimizer that is given the closure trainers give."""

    def __init__(self, name: str, **settings: Any) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
        self.inputs = torch.randn(STEPS, 8, 3)
        self.optimizer = build(name, self.network.parameters(), **settings)
        self.calls = 0

    def loss(self, number: int, drawn: bool = False) -> Tensor:
        """Of a batch, to its labels or to drawn ones."""
        inputs = self.inputs[number]
        logits = self.network(inputs)
        labels = inputs.argmax(1)
        if drawn:
            chance = torch.Generator().manual_seed(number)
            labels = torch.multinomial(logits.detach().softmax(1), 1, generator=chance).squeeze(1)
        return nn.functional.cross_entropy(logits, labels)

    def step(self, number: int) -> Any:
        """One step; what the optimizer gave back."""
        return self.optimizer.step(_Batch(self, number))  # type: ignore[arg-type]

    def weights(self) -> list[Tensor]:
        """As they are now."""
        return [parameter.detach().clone() for parameter in self.network.parameters()]


class _Batch:
    """The closure, see `nas.optimizers.rule.Closure`."""

    def __init__(self, problem: _Problem, number: int) -> None:
        self._problem, self._number = problem, number
        self.examples = len(problem.inputs[number])

    def __call__(self, *, backward: bool = True, drawn: bool = False) -> Tensor:
        problem = self._problem
        problem.calls += 1
        problem.optimizer.zero_grad()
        loss = problem.loss(self._number, drawn)
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]
        return loss


def declares_itself(name: str) -> None:
    """Settings with a schema, a summary, and defaults that can be built."""
    schema = settings_model(name).model_json_schema()
    missing = {"learning_rate", "weight_decay"} - set(schema["properties"])
    _require(not missing, f"{name} has no setting {sorted(missing)}")
    _require(OPTIMIZERS.summary(name), f"{name} has no summary")
    _require(isinstance(_Problem(name).optimizer, torch.optim.Optimizer), f"{name} is no optimizer")


def gives_the_loss_where_it_was(name: str) -> None:
    """`step(closure)` calls the closure and returns the loss before the step, or all but that."""
    problem = _Problem(name)
    before = float(problem.loss(0).detach())
    given = problem.step(0)
    _require(problem.calls >= 1, f"{name} asks for no loss")
    loss = None if given is None else float(torch.as_tensor(given).detach())
    near = loss is not None and abs(loss - before) <= 1e-3 * before
    _require(near, f"{name} returns {loss}, not {before}")


def moves_the_weights(name: str) -> None:
    """All of them, by finite amounts, and not further for a smaller rate."""
    moved = []
    for rate in (1e-3, 1e-5):
        problem = _Problem(name, learning_rate=rate)
        before = problem.weights()
        problem.step(0)
        changes = [(a - b).abs() for a, b in zip(problem.weights(), before, strict=True)]
        _require(all(bool(torch.isfinite(c).all()) for c in changes), f"{name} gives no number")
        _require(all(float(c.sum()) > 0 for c in changes), f"{name} leaves weights as they are")
        moved.append(sum(float(c.sum()) for c in changes))
    _require(moved[1] < moved[0], f"{name} takes no smaller steps at a smaller rate")


def goes_on_exactly_from_its_state(name: str) -> None:
    """Through a file that holds no code, as training that is killed and resumed does."""
    straight, first, second = (_Problem(name) for _ in range(3))
    for number in range(STEPS):
        straight.step(number)
    for number in range(STEPS // 2):
        first.step(number)
    file = io.BytesIO()
    torch.save(first.optimizer.state_dict(), file)
    file.seek(0)
    second.network.load_state_dict(first.network.state_dict())
    second.optimizer.load_state_dict(torch.load(file, weights_only=True))
    for number in range(STEPS // 2, STEPS):
        second.step(number)
    for a, b in zip(straight.weights(), second.weights(), strict=True):
        _require(torch.equal(a, b), f"{name} goes on otherwise from its state")


CHECKS: Final[Mapping[str, Callable[[str], None]]] = {
    check.__name__: check
    for check in (
        declares_itself,
        gives_the_loss_where_it_was,
        moves_the_weights,
        goes_on_exactly_from_its_state,
    )
}
"""All of them, each a function of a registered name that raises AssertionError."""
