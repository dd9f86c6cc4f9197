"""What every optimizer must do, whoever wrote it.

from nas.testing.optimizers import check_optimizer

def test_my_optimizer():
check_optimizer("mine")
check_optimizer("sam(mine)")
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import nn

from nas.core.errors import ConfigError
from nas.optimizers import OPTIMIZERS, STEPS, build, settings_model
from nas.testing.closures import Problem, parts
from nas.testing.refusals import REFUSALS, require

__all__ = ["CHECKS", "check_optimizer"]

FEW: Final = 6
"""Steps of a check that takes some."""


def check_optimizer(title: str) -> None:
    """Check a registered optimizer.

    Args:
        title: Its name, or that of one in a step: "sam(sgd)".

    Raises:
        AssertionError: It breaks a promise.
    """
    for check in CHECKS.values():
        check(title)


def declares_itself(title: str) -> None:
    """Settings with a schema, a summary, and defaults that can be built."""
    name, step = parts(title)
    schema = settings_model(name).model_json_schema()
    missing = {"learning_rate", "weight_decay"} - set(schema["properties"])
    require(not missing, f"{name} has no setting {sorted(missing)}")
    require(OPTIMIZERS.summary(name), f"{name} has no summary")
    if step in STEPS:
        require(STEPS.summary(step), f"{step} has no summary")
    require(isinstance(Problem(title).optimizer, torch.optim.Optimizer), f"{title} is no optimizer")


def gives_the_loss_where_it_was(title: str) -> None:
    """`step(closure)` calls the closure and returns the loss before the step, or all but that."""
    problem = Problem(title)
    batch = problem.batch(0)
    before = float(batch().detach())
    asked = batch.passes
    given = problem.optimizer.step(batch)  # type: ignore[arg-type]
    require(batch.passes > asked, f"{title} asks for no loss")
    loss = None if given is None else float(torch.as_tensor(given).detach())
    near = loss is not None and abs(loss - before) <= 1e-3 * before
    require(near, f"{title} returns {loss}, not {before}")


def moves_the_weights(title: str) -> None:
    """All of them within two steps, by finite amounts, and not further for a smaller rate."""
    moved = []
    low, high = OPTIMIZERS.get(parts(title)[0]).traits.rates
    for rate in (high, low):
        problem = Problem(title, learning_rate=rate, dtype=torch.float64)
        before = problem.weights()
        problem.step(0)
        problem.step(1)
        changes = [(a - b).abs() for a, b in zip(problem.weights(), before, strict=True)]
        require(all(bool(torch.isfinite(c).all()) for c in changes), f"{title} gives no number")
        require(all(float(c.sum()) > 0 for c in changes), f"{title} leaves weights as they are")
        moved.append(sum(float(c.sum()) for c in changes))
    require(moved[1] < moved[0], f"{title} takes no smaller steps at a smaller rate")


def goes_on_exactly_from_its_state(title: str) -> None:
    """Through a file that holds no code, as training that is killed and resumed does."""
    straight, first, second = (Problem(title) for _ in range(3))
    for number in range(FEW):
        straight.step(number)
    for number in range(FEW // 2):
        first.step(number)
    file = io.BytesIO()
    torch.save(first.optimizer.state_dict(), file)
    file.seek(0)
    second.network.load_state_dict(first.network.state_dict())
    second.optimizer.load_state_dict(torch.load(file, weights_only=True))
    for number in range(FEW // 2, FEW):
        second.step(number)
    for a, b in zip(straight.weights(), second.weights(), strict=True):
        require(torch.equal(a, b), f"{title} goes on otherwise from its state")


def takes_groups_and_odd_parameters(title: str) -> None:
    """Numbers, kernels in any order of memory, weights that are frozen or get no gradient.

    A group whose rate is 0 stays where it is; an optimizer with one rate for all says so.
    """
    chance = torch.Generator().manual_seed(0)

    def weight(*shape: int) -> nn.Parameter:
        return nn.Parameter(torch.randn(shape, generator=chance, dtype=torch.float64))

    number, vector, matrix, idle = weight(), weight(3), weight(4, 3), weight(2)
    kernel = nn.Parameter(weight(2, 3, 2, 2).detach().to(memory_format=torch.channels_last))
    still = weight(3, 3)
    frozen = nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)
    moving = [number, vector, matrix, kernel]

    class Quartic:
        """Half the sum of all fourth powers; knows every wish."""

        examples = 4

        def __call__(
            self,
            *,
            backward: bool = True,
            drawn: bool = False,
            inputs: bool = False,
            moved: Any = None,
        ) -> Any:
            if inputs:
                return torch.ones(4)
            for tensor in (*moving, still):
                tensor.grad = None
            loss = torch.stack([(w.square() ** 2).sum() for w in (*moving, still)]).sum() / 2
            if backward:
                loss.backward()  # type: ignore[no-untyped-call]
            return loss

    name, step = parts(title)
    blind = OPTIMIZERS.get(name).traits.gradients < 1
    groups = [{"params": [*moving, idle, frozen], "lr": 1e-2}, {"params": [still], "lr": 0.0}]
    try:
        optimizer = build(name, groups, step=step, learning_rate=1e-2)
    except ConfigError:
        groups = [{"params": [*moving, idle, frozen]}]
        optimizer = build(name, groups, step=step)
    before = {w: w.detach().clone() for w in (*moving, idle, still, frozen)}
    for _ in range(2):
        optimizer.step(Quartic())
    for tensor, was in before.items():
        shape = list(tensor.shape)
        require(torch.isfinite(tensor).all(), f"{title} gives no number for a weight {shape}")
        # One that takes no gradients goes to and fro along all weights.
        same = torch.equal(tensor.detach(), was) or (blind and torch.allclose(tensor, was))
        if any(tensor is other for other in moving):
            require(not same, f"{title} leaves a weight {shape} as it is")
        elif tensor is not idle or not blind:
            require(same, f"{title} moves a weight {shape} that has no gradient or a rate of 0")
    kept = kernel.is_contiguous(memory_format=torch.channels_last)
    require(kept, f"{title} lays a kernel out anew")


CHECKS: Final[Mapping[str, Callable[[str], None]]] = {
    check.__name__: check
    for check in (
        declares_itself,
        gives_the_loss_where_it_was,
        moves_the_weights,
        goes_on_exactly_from_its_state,
        takes_groups_and_odd_parameters,
        *REFUSALS,
    )
}
"""All of them, each a function of a title that raises AssertionError."""
