"""Seven steps, and seven more in another process that was given the state: fourteen, to the bit."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.optimizers import OPTIMIZERS, build
from nas.testing.closures import Problem
from tests.optimizers.members import STEPPED, marked

HALF = 7
# A look at the curvature, a change of basis and so on falls into both halves, and between two
# such the halves meet.
SETTINGS: dict[str, dict[str, Any]] = {
    "sophia-g": {"k": 3},
    "sophia-h": {"k": 3},
    "m-fac": {"window": 5},
    "soap": {"every": 4},
    "sam-k(sgd)": {"step_settings": {"k": 3}},
    "looksam(sgd)": {"step_settings": {"k": 3, "alpha": 0.7}},
    "conadv(ademamix)": {"step_settings": {"tau": 3}},
}
OURS = [name for name in OPTIMIZERS.names() if not name.startswith(("visiting", "wrong"))]
TITLES = marked([*OURS, *STEPPED, "conadv(ademamix)", "sam(soap)", "looksam(muon)"])
CODE = """
import sys, torch
from nas.testing.closures import Problem

torch.set_num_threads(1)
ends = {}
for title, (settings, network, optimizer) in torch.load(sys.argv[1], weights_only=True).items():
    problem = Problem(title, **settings)
    problem.network.load_state_dict(network)
    problem.optimizer.load_state_dict(optimizer)
    for number in range(int(sys.argv[3]), 2 * int(sys.argv[3])):
        problem.step(number)
    ends[title] = problem.weights()
torch.save(ends, sys.argv[2])
"""


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Tensor]]:
    """What one other process made of the states of all."""
    folder = tmp_path_factory.mktemp("states")
    states = {}
    for title in (t.values[0] for t in TITLES if not t.marks[0].args[0]):
        problem = Problem(title, **SETTINGS.get(title, {}))
        for number in range(HALF):
            problem.step(number)
        network, optimizer = problem.network.state_dict(), problem.optimizer.state_dict()
        states[title] = (SETTINGS.get(title, {}), network, optimizer)
    torch.save(states, folder / "states.pt")
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-c", CODE, folder / "states.pt", folder / "ends.pt", str(HALF)],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    ends: dict[str, list[Tensor]] = torch.load(folder / "ends.pt", weights_only=True)
    return ends


@pytest.mark.parametrize("title", TITLES)
def test_it_goes_on_in_another_process(title: str, resumed: dict[str, list[Tensor]]) -> None:
    straight = Problem(title, **SETTINGS.get(title, {}))
    for number in range(2 * HALF):
        straight.step(number)
    for a, b in zip(straight.weights(), resumed[title], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "title", ["sgd", "adam", "adamw", "adafactor", "lion", "adamp", "sam(adamw)"]
)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_state_goes_on_with_weights_that_lie_otherwise_in_memory(title: str, layout: Any) -> None:
    step, _, name = title[:-1].rpartition("(") if "(" in title else ("plain", "", title)
    chance = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, 3, 3, generator=chance)
    slopes = torch.randn(4, 4, 3, 3, 3, generator=chance)
    other = next(f for f in (torch.channels_last, torch.contiguous_format) if f != layout)

    def made(weights: Tensor, order: Any) -> tuple[Tensor, torch.optim.Optimizer]:
        weight = torch.nn.Parameter(weights.detach().clone(memory_format=order))
        return weight, build(name, [weight], step=step, learning_rate=1e-2)

    def move(weight: Tensor, optimizer: torch.optim.Optimizer, number: int) -> None:
        def closure(**_: Any) -> Tensor:
            optimizer.zero_grad()
            loss = (weight * slopes[number]).sum()
            loss.backward()
            return loss

        optimizer.step(closure)

    one, first = made(start, other)
    for number in range(2):
        move(one, first, number)
    two, second = made(one, layout)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for number in (2, 3):
        move(one, first, number)
        move(two, second, number)
    assert two.is_contiguous(memory_format=layout)
    assert torch.allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize("title", ["sgd", "adam", "adamw", "lion", "adamp", "sam(adamw)"])
def test_gradients_may_lie_otherwise_in_memory(title: str, closure: bool) -> None:
    """Torch's fused steps go by the memory of both, and say nothing where these differ."""
    step, _, name = title[:-1].rpartition("(") if "(" in title else ("plain", "", title)
    if step != "plain" and not closure:
        pytest.skip("a step around another needs a closure")
    chance = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, 3, 3, generator=chance)
    slopes = torch.randn(3, 4, 3, 3, 3, generator=chance)
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = torch.nn.Parameter(start.clone())
        optimizer = build(name, [weight], step=step, learning_rate=1e-2)
        for slope in slopes:

            def give(slope: Tensor = slope, **_: Any) -> Tensor:
                weight.grad = slope.contiguous(memory_format=layout)  # noqa: B023
                return torch.zeros(())

            if closure:
                optimizer.step(give)
            else:
                give()
                optimizer.step()
        ends.append(weight.detach())
    assert torch.allclose(ends[0], ends[1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "name",
    ["sgd", "adam", "adamw", "nadamw", "rmsprop", "muon", "lion", "adamp", "sgdp", "sm3"],
)
def test_weights_may_have_their_first_gradient_later_than_others(name: str) -> None:
    weights = [torch.nn.Parameter(torch.ones(3, 2)) for _ in range(4)]
    optimizer = build(name, weights, learning_rate=1e-2)
    for number in range(4):
        for place, weight in enumerate(weights):
            weight.grad = torch.full((3, 2), 0.5) if number >= place else None
        optimizer.step()
    moved = [float((1 - weight.detach()).mean()) for weight in weights]
    assert moved[0] > moved[-1] > 0
    assert min(moved) > 0
