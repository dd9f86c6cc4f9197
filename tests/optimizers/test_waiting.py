"""No step reads a value on the host, on a device where that would mean to wait for it.

Tensors of the device `meta` have shapes and no values: whatever asks for one raises. A branch that
only the CPU takes is not taken there. What this cannot see, kernels of torch that wait by
themselves, is looked at on a GPU (`test_gpu.py`).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nas.optimizers import OPTIMIZERS
from nas.testing.closures import Batch, Problem
from tests.optimizers.members import STEPPED, marked

WAITING = {
    "adafactor": "torch's reads the length of every weight",
    "prodigy": "its library's reads the distance to the solution",
}
OURS = [name for name in OPTIMIZERS.names() if not name.startswith(("visiting", "wrong"))]
TITLES = [*(n for n in OURS if n not in WAITING), *STEPPED, "conadv(lion)", "sam(adamp)"]


@pytest.fixture(autouse=True)
def drawn_without_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` has no generators, and nothing that is drawn there has a value."""

    class Nobody:
        def __init__(self, device: Any = None) -> None:
            pass

        def manual_seed(self, seed: int) -> None:
            return None

    monkeypatch.setattr(torch, "Generator", Nobody)


def steps(title: str) -> Problem:
    """A problem after some steps, enough for each one's rarer passes."""
    problem = Problem(title, device="meta")
    for inputs in problem.inputs[:12]:
        batch = Batch(problem.network, problem.optimizer, inputs, inputs.argmax(1))
        problem.optimizer.step(batch)  # type: ignore[arg-type]
    return problem


@pytest.mark.parametrize("title", marked(TITLES))
def test_no_step_reads_a_value(title: str) -> None:
    assert all(weight.is_meta for weight in steps(title).weights())


@pytest.mark.parametrize("title", marked(WAITING))
def test_those_that_do_are_known_and_found_out(title: str) -> None:
    with pytest.raises(RuntimeError, match="meta"):
        steps(title)
