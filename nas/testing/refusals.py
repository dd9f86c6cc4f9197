"""What every optimizer must refuse in one clear line, with all weights as they were."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from nas.core.errors import ConfigError
from nas.optimizers import OPTIMIZERS, PLAIN, STEPS, build, settings_model
from nas.testing.closures import Batch, Problem, parts

__all__ = ["REFUSALS", "require"]

CALLS: Final = 3
"""Of a closure, that are made to fail in turn."""


def require(condition: object, what: str) -> None:
    """Say what is broken.

    Raises:
        AssertionError: So it is.
    """
    if not condition:
        raise AssertionError(what)


@contextmanager
def refusal(what: str, *words: str, kind: type[Exception] = ConfigError) -> Iterator[None]:
    """What is done inside is refused in one line that has these words."""
    try:
        yield
    except kind as error:
        text = str(error)
        require("\n" not in text, f"{what}: the refusal is not one line: {text!r}")
        lost = [word for word in words if word not in text]
        require(not lost, f"{what}: the refusal does not say {lost}: {text!r}")
    except Exception as error:
        name = type(error).__name__
        raise AssertionError(f"{what}: {name} in place of {kind.__name__}: {error}") from error
    else:
        raise AssertionError(f"{what} is taken")


def refuses_wrong_settings(title: str) -> None:
    """Unknown names, texts, rates that are not above 0, and numbers that are not finite."""
    name, step = parts(title)

    def wrong(setting: str, value: Any, *, of_step: bool = False) -> None:
        parameters = [nn.Parameter(torch.ones(2))]
        given: dict[str, Any] = {setting: value}
        with refusal(f"{title} with {setting} {value}", setting):
            if of_step:
                build(name, parameters, step=step, step_settings=given)
            else:
                build(name, parameters, step=step, **given)

    for value in (0.0, -1.0, "fast"):
        wrong("learning_rate", value)
    wrong("weight_decay", -0.1)
    wrong("lerning_rate", 0.1)
    for model, of_step in [(settings_model(name), False)] + (
        [] if step == PLAIN else [(STEPS.get(step).settings, True)]
    ):
        for setting, field in model.model_fields.items():
            if "float" in str(field.annotation):
                for value in (math.nan, math.inf, -math.inf):
                    wrong(setting, value, of_step=of_step)


def refuses_what_it_cannot_optimize(title: str) -> None:
    """No parameters at all, sparse gradients; complex and half-precision weights if it cannot."""
    name, step = parts(title)
    with refusal(f"{title} of nothing", "no parameter"):
        build(name, [], step=step)
    weight = nn.Parameter(torch.ones(3, 2))

    def sparse(*, inputs: bool = False, **wishes: Any) -> Any:
        if inputs:
            return torch.ones(1)
        weight.grad = torch.eye(3, 2).to_sparse()
        return weight.detach().sum()

    if OPTIMIZERS.get(name).traits.gradients >= 1:  # others look at none
        with refusal(f"{title} with a sparse gradient", "sparse"):
            build(name, [weight], step=step).step(sparse)
        require(torch.equal(weight.detach(), torch.ones(3, 2)), f"{title} moves by a sparse one")
    for dtype in (torch.complex64, torch.bfloat16, torch.float16):
        _odd(title, dtype)


def _odd(title: str, dtype: torch.dtype) -> None:
    """Weights of a type are refused when the optimizer is made, or moved by finite amounts."""
    name, step = parts(title)
    kind = str(dtype).removeprefix("torch.")
    values = torch.tensor([[0.5, -0.25], [1.0, 0.125], [-1.0, 0.25]]).to(dtype)
    weights = [nn.Parameter(values.clone()) for _ in range(3)]
    rate = math.sqrt(math.prod(OPTIMIZERS.get(name).traits.rates))
    try:
        optimizer = build(name, weights, step=step, learning_rate=rate)
    except ConfigError as error:
        require(kind in str(error), f"{title} does not say that it is {kind} that it refuses")
        return

    def squares(*, backward: bool = True, inputs: bool = False, **wishes: Any) -> Any:
        if inputs:
            return torch.ones(1)
        for weight in weights:
            weight.grad = None
        loss = sum((weight.abs().square() ** 2).sum() for weight in weights)
        if backward:
            loss.backward()  # type: ignore[union-attr]
        return loss

    squares.examples = 4  # type: ignore[attr-defined]
    try:
        for _ in range(2):
            optimizer.step(squares)
    except FloatingPointError as error:
        raise AssertionError(f"{title} gives no number in {kind}: {error}") from error
    for weight in weights:
        require(torch.isfinite(weight).all(), f"{title} gives no number in {kind}")
    if name != "prodigy":  # its first steps are smaller than such numbers can tell
        moved = not torch.equal(weights[1].detach(), values)
        require(moved, f"{title} moves nothing in {kind}")


class _Failing:
    """A closure whose call of some number fails."""

    def __init__(self, batch: Batch, at: int, loss: float | None) -> None:
        self._batch, self._at, self._loss = batch, at, loss
        self.examples, self.calls = batch.examples, 0

    def __call__(self, **wishes: Any) -> Any:
        self.calls += 1
        if self.calls != self._at:
            return self._batch(**wishes)
        if self._loss is None:
            raise RuntimeError("out of memory")
        return self._batch(**wishes) * self._loss


def leaves_weights_where_a_closure_fails(title: str) -> None:
    """It raises, or gives no number, at its first call or a later one; and can be asked again."""
    for loss in (None, math.nan, math.inf):
        for at in range(1, CALLS + 1):
            problem = Problem(title)
            before = problem.weights()
            closure = _Failing(problem.batch(0), at, loss)
            kind = RuntimeError if loss is None else FloatingPointError
            try:
                problem.optimizer.step(closure)
            except kind:
                what = f"{title} moves weights although call {at} of its closure fails"
                require(_near(problem.weights(), before), what)
                problem.step(0)
                finite = all(bool(torch.isfinite(w).all()) for w in problem.weights())
                require(finite, f"{title} keeps what a failed call gave")
            else:
                require(closure.calls < at, f"{title} takes {loss} for a loss")


def _near(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Equal but for rounding: an optimizer without memory can only go back the way it came."""
    pairs = zip(found, expected, strict=True)
    return all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in pairs)


def needs_a_closure_or_gradients(title: str) -> None:
    """Without either it moves nothing; an error says that it needs a closure."""
    problem = Problem(title)
    before = problem.weights()
    try:
        problem.optimizer.step()
    except ConfigError as error:
        require("closure" in str(error), f"{title} does not say that it needs a closure: {error}")
    for a, b in zip(problem.weights(), before, strict=True):
        require(torch.equal(a, b), f"{title} moves weights without a gradient")


def refuses_states_of_others(title: str) -> None:
    """Of another optimizer, and of other shapes; and goes on as if it had not been asked."""
    straight, asked = Problem(title), Problem(title)
    straight.step(0)
    asked.step(0)
    other = Problem("sgd" if title != "sgd" else "adamw")
    wide = Problem(title, hidden=5)
    other.step(0)
    wide.step(0)
    for given, what in ((other, "another optimizer"), (wide, "other shapes")):
        with refusal(f"{title} with a state of {what}", "state"):
            asked.optimizer.load_state_dict(given.optimizer.state_dict())
    straight.step(1)
    asked.step(1)
    for a, b in zip(straight.weights(), asked.weights(), strict=True):
        require(torch.equal(a, b), f"{title} keeps a part of a state that it refuses")


REFUSALS: Final[Sequence[Callable[[str], None]]] = (
    refuses_wrong_settings,
    refuses_what_it_cannot_optimize,
    leaves_weights_where_a_closure_fails,
    needs_a_closure_or_gradients,
    refuses_states_of_others,
)
"""Checks of what must not be taken, each a function of a title."""
