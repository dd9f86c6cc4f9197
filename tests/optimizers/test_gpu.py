"""On a GPU no step waits for the device: the host would stand still as often as it takes steps."""

from __future__ import annotations

import pytest
import torch

from nas.optimizers import OPTIMIZERS
from nas.testing.closures import Problem
from nas.testing.waiting import no_waiting
from tests.optimizers.members import STEPPED, marked

WAITING = {
    "adafactor": "torch's reads the length of every weight",
    "soap": "its library's eigenvectors do",
    "prodigy": "its library's reads the distance to the solution",
}
OURS = [name for name in OPTIMIZERS.names() if not name.startswith(("visiting", "wrong"))]
TITLES = [*(name for name in OURS if name not in WAITING), *STEPPED, "conadv(lion)", "sam(adamp)"]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("title", marked(TITLES))
def test_no_step_waits_for_the_device(title: str) -> None:
    problem = Problem(title, device="cuda")
    batches = [problem.batch(number) for number in range(8)]
    for batch in batches[:2]:  # libraries load their kernels, states are made
        problem.optimizer.step(batch)  # type: ignore[arg-type]
    with no_waiting():
        for batch in batches[2:]:
            problem.optimizer.step(batch)  # type: ignore[arg-type]
    assert all(bool(torch.isfinite(weight).all()) for weight in problem.weights())


# What these draw is their device's own; eigenvectors of equal eigenvalues are any.
OWN_CHANCE = {"sophia-g", "sophia-h", "mezo", "soap"}


@pytest.mark.parametrize("title", marked([*(n for n in OURS if n not in OWN_CHANCE), *STEPPED]))
def test_it_computes_what_the_host_does(title: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        problem = Problem(title, device=device, dtype=torch.float64)
        for number in range(6):
            problem.step(number)
        found.append([weight.cpu() for weight in problem.weights()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
