"""The protocol of steps: how many gradients they take, and what must survive them."""

from __future__ import annotations

import io
from math import ceil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import ConfigError, PluginError, UnsupportedError
from nas.optimizers import OPTIMIZERS, PLAIN, STEPS, build
from nas.testing.closures import Problem
from tests.optimizers.members import marked

WRAPPED: list[tuple[str, dict[str, Any]]] = [
    ("sam", {}),
    ("sam", {"adaptive": True, "rho": 0.5}),
    ("sam-k", {"k": 3}),
    ("looksam", {"k": 3, "alpha": 0.7}),
    ("looksam", {"k": 3, "alpha": 0.7, "layerwise": True}),
]
OURS = ("lion", "adamp", "sgdp", "sm3", "muon", "m-fac")
PAIRS = [
    (name, *step)
    for name in ("sgd", "adamw", "lion", "sgdp")
    for step in WRAPPED
    if step[0] not in OPTIMIZERS.get(name).traits.excludes
]


class Training:
    """A small network and an optimizer that is asked for steps on changing batches."""

    def __init__(
        self, name: str, step: str, settings: dict[str, Any], double: bool = False
    ) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))
        self.inputs = torch.randn(20, 8, 3)
        if double:
            self.network.double()
            self.inputs = self.inputs.double()
        self.optimizer = build(
            name,
            self.network.parameters(),
            learning_rate=0.01,
            step=step,
            step_settings=settings,
        )
        self.calls = 0
        self.fails_at = 0

    def step(self, number: int) -> Any:
        def closure() -> Tensor:
            self.calls += 1
            if self.calls == self.fails_at:
                raise RuntimeError("out of memory")
            self.optimizer.zero_grad()
            x = self.inputs[number]
            loss: Tensor = (self.network(x) - x.sum(1, keepdim=True)).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        return self.optimizer.step(closure)

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.network.parameters()]


@pytest.mark.parametrize(("name", "step", "settings"), PAIRS)
def test_it_takes_as_many_gradients_as_it_says(
    name: str, step: str, settings: dict[str, Any]
) -> None:
    training = Training(name, step, settings)
    for number in range(10):
        training.step(number)
    k = settings.get("k", 1)
    assert training.calls == 10 + ceil(10 / k)
    row = STEPS.get(step)
    assert row.gradients(row.settings(**settings)) == pytest.approx(1 + 1 / k)


@pytest.mark.parametrize(("name", "step", "settings"), PAIRS)
def test_seven_and_seven_steps_are_fourteen(name: str, step: str, settings: dict[str, Any]) -> None:
    straight, first, second = (Training(name, step, settings) for _ in range(3))
    for number in range(14):
        straight.step(number)
    for number in range(7):
        first.step(number)
    file = io.BytesIO()
    torch.save(first.optimizer.state_dict(), file)
    file.seek(0)
    second.network.load_state_dict(first.network.state_dict())
    second.optimizer.load_state_dict(torch.load(file, weights_only=True))
    for number in range(7, 14):
        second.step(number)
    for a, b in zip(straight.weights(), second.weights(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("name", "step", "settings"), PAIRS)
@pytest.mark.parametrize("at", [1, 2])
def test_a_closure_that_fails_leaves_the_weights(
    name: str, step: str, settings: dict[str, Any], at: int
) -> None:
    training = Training(name, step, settings)
    before = training.weights()
    training.fails_at = at
    with pytest.raises(RuntimeError, match="out of memory"):
        training.step(0)
    for a, b in zip(training.weights(), before, strict=True):
        assert torch.equal(a, b)
    training.step(0)  # and can be asked again


@pytest.mark.parametrize("step", [PLAIN, "sam"])
def test_a_loss_that_is_no_number_is_said(step: str) -> None:
    training = Training("lion", step, {})
    before = training.weights()
    training.inputs[0, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="nan"):
        training.step(0)
    for a, b in zip(training.weights(), before, strict=True):
        assert torch.equal(a, b)


def test_rates_that_a_schedule_sets_are_the_optimizers() -> None:
    training = Training("sgd", "sam", {})
    training.optimizer.param_groups[0]["lr"] = 0.0
    before = training.weights()
    training.step(0)
    for a, b in zip(training.weights(), before, strict=True):
        assert torch.equal(a, b)


def test_looksam_without_alpha_is_sam_every_k_steps() -> None:
    first = Training("sgd", "looksam", {"k": 3, "alpha": 0.0})
    second = Training("sgd", "sam-k", {"k": 3})
    for number in range(7):
        first.step(number)
        second.step(number)
    for a, b in zip(first.weights(), second.weights(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", OURS)
def test_frozen_weights_groups_and_odd_shapes(name: str) -> None:
    torch.manual_seed(0)
    scalar, frozen = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.ones(2))
    matrix = nn.Parameter(torch.randn(3, 4))
    kernel = nn.Parameter(torch.randn(2, 3, 3, 3).to(memory_format=torch.channels_last))
    groups = [{"params": [scalar, frozen, matrix], "lr": 0.01}, {"params": [kernel], "lr": 0.0}]
    optimizer = build(name, groups, learning_rate=1.0, weight_decay=0.1)
    before = [p.detach().clone() for p in (scalar, frozen, matrix, kernel)]
    for parameter in (scalar, matrix, kernel):
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    moved = [
        not torch.equal(p, b) for p, b in zip((scalar, frozen, matrix, kernel), before, strict=True)
    ]
    assert moved == [True, False, True, False]
    assert kernel.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", OURS)
def test_half_precision_weights_move(name: str) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 4).bfloat16())
    weight.grad = torch.randn(4, 4).bfloat16()
    before = weight.detach().clone()
    if name == "m-fac":
        with pytest.raises(ConfigError, match="bfloat16"):
            build(name, [weight])
        return
    build(name, [weight], learning_rate=1.0).step()
    assert torch.isfinite(weight).all()
    assert not torch.equal(weight, before)


@pytest.mark.parametrize("name", OURS)
def test_what_cannot_be_optimized_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="complex"):
        build(name, [nn.Parameter(torch.ones(2, dtype=torch.complex64))])
    weight = nn.Parameter(torch.ones(3, 2))
    weight.grad = torch.eye(3, 2).to_sparse()
    with pytest.raises(ConfigError, match="sparse"):
        build(name, [weight]).step()
    assert torch.equal(weight.detach(), torch.ones(3, 2))
    with pytest.raises(ConfigError, match="no parameter"):
        build(name, [])


def test_wrong_steps_are_one_line() -> None:
    parameters = [nn.Parameter(torch.ones(2))]
    with pytest.raises(PluginError, match="did you mean sam"):
        build("sgd", parameters, step="samm")
    with pytest.raises(ConfigError, match="'rho' is -1"):
        build("sgd", parameters, step="sam", step_settings={"rho": -1.0})
    with pytest.raises(ConfigError, match="unknown sam setting 'k'"):
        build("sgd", parameters, step="sam", step_settings={"k": 2})
    with pytest.raises(UnsupportedError, match="no setting 'rho'"):
        build("sgd", parameters, step_settings={"rho": 0.1})
    with pytest.raises(UnsupportedError, match="m-fac cannot be wrapped in sam"):
        build("m-fac", parameters, step="sam")
    with pytest.raises(ConfigError, match="needs a closure"):
        build("sgd", parameters, step="sam").step()


def test_states_of_others_are_refused() -> None:
    def state(step: str) -> dict[str, Any]:
        training = Training("sgd", step, {})
        training.step(0)
        return training.optimizer.state_dict()

    with pytest.raises(ConfigError, match="without a sharpness step"):
        Training("sgd", "sam", {}).optimizer.load_state_dict(state(PLAIN))
    Training("sgd", "sam", {}).optimizer.load_state_dict(state("sam"))


@pytest.mark.parametrize(
    ("name", "step", "settings"),
    [("lion", PLAIN, {}), *(("sgd", *step) for step in WRAPPED)],
)
def test_many_tensors_at_once_are_one_by_one(
    name: str, step: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form for devices with launches, computed here."""
    from nas.optimizers import rule

    def train() -> list[Tensor]:
        training = Training(name, step, settings, double=True)
        for number in range(5):
            training.step(number)
        return training.weights()

    loop = train()
    monkeypatch.setattr(rule, "SYNCHRONOUS", frozenset())
    for a, b in zip(train(), loop, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.parametrize(
    ("adaptive", "k", "alpha"), [(False, 1, 0.0), (True, 1, 0.0), (False, 3, 0.7)]
)
def test_steps_are_a_plain_loop_over_all_weights(adaptive: bool, k: int, alpha: float) -> None:
    """Of one vector of all weights, in float64, with SGD."""
    name = "looksam" if k > 1 else "sam"
    extra = {"k": k, "alpha": alpha} if k > 1 else {}
    rho, rate = 0.3, 0.05
    problem = Problem(
        f"{name}(sgd)",
        dtype=torch.float64,
        learning_rate=rate,
        momentum=0.0,
        step_settings={"rho": rho, "adaptive": adaptive, **extra},
    )
    twin = Problem("sgd", dtype=torch.float64)

    def gradient(number: int, at: Tensor) -> Tensor:
        nn.utils.vector_to_parameters(at, twin.network.parameters())
        twin.batch(number)()
        return joined([p.grad for p in twin.network.parameters() if p.grad is not None])

    w, kept = joined(twin.weights()), torch.zeros(())
    for number in range(7):
        g = gradient(number, w)
        used = g
        if number % k == 0:
            way = rho * w * w * g / (w * g).norm() if adaptive else rho * g / g.norm()
            used = gradient(number, w + way)
            kept = used - (used @ g) / (g @ g) * g
        elif alpha:
            used = g + alpha * g.norm() / kept.norm() * kept
        w = w - rate * used
        problem.step(number)
        torch.testing.assert_close(joined(problem.weights()), w, rtol=0, atol=1e-10)


APART = ("sgd", "adam", "adamw", "nadamw", "adafactor", "lion", "adamp", "sgdp", "sm3", "m-fac")
EXTRA = ("schedule-free-adamw", "schedule-free-sgd", "soap", "ademamix")


@pytest.mark.parametrize("name", marked([*APART, *EXTRA]))
def test_groups_of_other_rates_are_optimizers_of_their_own(name: str) -> None:
    chance = torch.Generator().manual_seed(0)
    starts = [torch.randn(4, 3, generator=chance, dtype=torch.float64) for _ in range(2)]
    rates = (1e-2, 3e-3)

    def made() -> list[nn.Parameter]:
        return [nn.Parameter(start.clone()) for start in starts]

    together, apart = made(), made()
    groups = [{"params": [w], "lr": rate} for w, rate in zip(together, rates, strict=True)]
    optimizers = [build(name, groups, weight_decay=0.1)]
    optimizers += [
        build(name, [w], learning_rate=rate, weight_decay=0.1)
        for w, rate in zip(apart, rates, strict=True)
    ]
    for _ in range(12):
        for weight in (*together, *apart):
            weight.grad = weight.detach() ** 3
        for optimizer in optimizers:
            optimizer.step()
    for a, b, start in zip(together, apart, starts, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
        assert not torch.equal(a.detach(), start)
