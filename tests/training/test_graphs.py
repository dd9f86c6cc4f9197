"""What is recorded gives what it gave without, and what cannot be recorded is called."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.training import graphs
from nas.training.graphs import EAGER_CALLS, Pool, Recorded

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Counted:
    """Gives sine and sum of its input times a weight, and counts how often it was run."""

    def __init__(self, device: str) -> None:
        self.weight = torch.tensor(2.0, device=device)
        self.calls = 0

    def __call__(self, x: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        self.calls += 1
        y = x * self.weight
        return y.sin(), [y.sum(), None]


def test_off_a_gpu_each_call_is_a_call() -> None:
    function = Counted("cpu")
    recorded = Recorded(function)
    for step in range(5):
        x = torch.full((3,), float(step))
        sine, (total, nothing) = recorded(x)
        assert torch.equal(sine, (2 * x).sin())
        assert float(total) == 6.0 * step  # type: ignore[arg-type]
        assert nothing is None
    assert function.calls == 5
    assert not recorded.records(torch.device("cpu"))


@needs_cuda
def test_on_a_gpu_it_is_run_no_more_once_it_is_recorded() -> None:
    function = Counted("cuda")
    recorded = Recorded(function)
    for step in range(6):
        x = torch.full((3,), float(step), device="cuda")
        function.weight.fill_(step + 1.0)  # read where it lies
        sine, (total, _) = recorded(x)
        assert torch.equal(sine, ((step + 1) * x).sin())
        assert float(total) == 3.0 * step * (step + 1)  # type: ignore[arg-type]
    assert function.calls == EAGER_CALLS + 1


@needs_cuda
def test_each_shape_has_a_recording_and_forgetting_drops_them() -> None:
    function = Counted("cuda")
    recorded = Recorded(function)
    for _ in range(2):
        function.calls = 0
        for _ in range(5):
            for size in (2, 7):
                x = torch.rand(size, device="cuda")
                assert torch.equal(recorded(x)[0], (2 * x).sin())
        assert function.calls == 2 * (EAGER_CALLS + 1)
        recorded.forget()


@needs_cuda
def test_two_of_one_pool_do_not_disturb_each_other() -> None:
    pool = Pool()
    first, second = (Recorded(Counted("cuda"), pool) for _ in range(2))
    for _ in range(5):
        x, y = torch.rand(1000, device="cuda"), torch.rand(1000, device="cuda")
        assert torch.equal(first(x)[0], (2 * x).sin())
        assert torch.equal(second(y)[0], (2 * y).sin())


@needs_cuda
def test_what_does_not_fit_twice_is_called_each_time() -> None:
    function = Counted("cuda")

    def large(x: Tensor) -> Tensor:
        found = function(x)[0]
        if torch.cuda.is_current_stream_capturing():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return found

    pool = Pool()
    recorded = Recorded(large, pool)
    x = torch.rand(3, device="cuda")
    for _ in range(5):
        assert torch.equal(recorded(x), (2 * x).sin())
    assert function.calls == 5 + 1
    assert not pool.roomy


@needs_cuda
def test_a_pool_that_was_emptied_can_be_used_again() -> None:
    pool = Pool()
    first, second = (Recorded(Counted("cuda"), pool) for _ in range(2))
    for _ in range(3):
        for _ in range(4):
            x = torch.rand(1000, device="cuda")
            assert torch.equal(first(x)[0], (2 * x).sin())
            assert torch.equal(second(x)[0], (2 * x).sin())
        assert pool.roomy
        first.forget()
        second.forget()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_on_a_device_that_is_not_the_current_one() -> None:
    function = Counted("cuda:1")
    recorded = Recorded(function)
    for step in range(6):
        x = torch.full((3,), float(step), device="cuda:1")
        assert torch.equal(recorded(x)[0], (2 * x).sin())
    assert function.calls == EAGER_CALLS + 1


def run_alone(text: str) -> None:
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@needs_cuda
def test_after_a_recording_that_broke_off_work_goes_on_where_it_was() -> None:
    """In a process of its own: what CUDA broke off can leave its generators unusable."""
    text = (
        "import torch, warnings; from nas.training.graphs import Recorded\n"
        "warnings.simplefilter('ignore'); usual = torch.cuda.current_stream()\n"
        "recorded = Recorded(lambda x: x * float(x.sum())); x = torch.ones(3, device='cuda')\n"
        "assert all(float(recorded(x)[0]) == 3 for _ in range(5))\n"
        "assert torch.cuda.current_stream() == usual\n"
    )
    run_alone(text)


class Chance:
    """Stands in for a device's generator, which a broken recording leaves unusable."""

    def __init__(self) -> None:
        self.state: object = object()

    def clone_state(self) -> object:
        return self.state

    def graphsafe_set_state(self, state: object) -> None:
        self.state = state


@pytest.fixture
def recording_on_the_host(monkeypatch: pytest.MonkeyPatch) -> Chance:
    chance = Chance()

    class Graph:
        def __init__(self, function: Any, inputs: Any, pool: Pool) -> None:
            self.function = function
            function(*inputs)

        def replay(self, inputs: Any) -> Any:
            return self.function(*inputs)

    monkeypatch.setattr(Recorded, "records", lambda self, device: True)
    monkeypatch.setattr(graphs, "_Graph", Graph)
    monkeypatch.setattr(graphs, "_chance", lambda device: chance)
    for name in ("current_stream", "set_stream", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    return chance


def test_a_recording_that_breaks_off_takes_the_others_of_its_device_along(
    recording_on_the_host: Chance,
) -> None:
    """They would go on drawing from the state that the generator had."""
    chance, x = recording_on_the_host, torch.ones(2)
    good = Recorded(lambda x: x + 1)
    failing = False

    def large(x: Tensor) -> Tensor:
        if failing:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * x

    bad = Recorded(large)
    for _ in range(EAGER_CALLS + 1):
        good(x)
    assert len(good._graphs) == 1
    for _ in range(EAGER_CALLS):
        bad(x)
    begun = chance.state
    failing = True
    with pytest.raises(torch.OutOfMemoryError):  # the call itself has no room either
        bad(x)
    assert not good._graphs
    assert chance.state is begun
    failing = False
    for _ in range(EAGER_CALLS + 1):
        assert torch.equal(good(x), x + 1)
        assert torch.equal(bad(x), 2 * x)
    assert len(good._graphs) == 1  # made anew
    assert not bad._graphs  # not tried again


def test_a_layout_of_its_own_is_a_recording_of_its_own(recording_on_the_host: Chance) -> None:
    recorded = Recorded(lambda x: x + 1)
    planes = torch.zeros(2, 3, 4, 4)
    for x in (planes, planes.to(memory_format=torch.channels_last)):
        for _ in range(EAGER_CALLS + 1):
            assert torch.equal(recorded(x), x + 1)
    assert len(recorded._graphs) == 2


@needs_cuda
def test_what_is_drawn_goes_on_as_if_nothing_had_broken_off() -> None:
    """In a process of its own, as above."""
    text = (
        "import torch, warnings; from nas.training.graphs import Recorded\n"
        "warnings.simplefilter('ignore'); drop = torch.nn.functional.dropout\n"
        "def broken(x):\n"
        "    y = drop(x, 0.5)\n"
        "    if torch.cuda.is_current_stream_capturing():\n"
        "        raise torch.OutOfMemoryError('CUDA out of memory')\n"
        "    return y\n"
        "x = torch.ones(1000, device='cuda')\n"
        "def drawn(functions):\n"
        "    torch.manual_seed(1)\n"
        "    return [f(x).clone() for f in functions for _ in range(5)]\n"
        "good, bad = Recorded(lambda x: drop(x, 0.5)), Recorded(broken)\n"
        "drawn([good]), drawn([bad])\n"
        "called = drawn([lambda x: drop(x, 0.5), broken])\n"
        "assert all(map(torch.equal, drawn([good, bad]), called))\n"
    )
    run_alone(text)
