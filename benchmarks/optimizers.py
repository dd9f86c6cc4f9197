"""What a step of our optimizers costs beside torch's AdamW, taking turns in one process.

    python benchmarks/optimizers.py [--device cuda] [--rounds 9]

200 tensors (80 kernels of 64x64x3x3, 20 matrices of 320x320, 100 vectors of 64) with 5,003,520
parameters, one thread, gradients that do not change. Printed: the median milliseconds of a step (of
this process's time on a CPU) and its ratio to AdamW's, not fused (``loop`` on a CPU, ``foreach`` on
a GPU). A step around an optimizer, and one that asks its closure, is timed with a closure that
computes nothing, so all that is seen is its own work. Sophia looks at the curvature in one step of
ten. M-FAC has a window of 8 gradients, and is left out on a CPU: after its large vectors the
allocator serves the others otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from nas.optimizers import OPTIMIZERS, build

SHAPES = [(64, 64, 3, 3)] * 80 + [(320, 320)] * 20 + [(64,)] * 100
OURS = ("lion", "adamp", "sgdp", "sm3", "muon", "sgd", "adamw", "adafactor")
EXTRA = ("schedule-free-adamw", "schedule-free-sgd", "prodigy", "soap", "ademamix")


class Closure:
    """Knows every wish and does nothing."""

    examples = 64

    def __init__(self, device: str) -> None:
        self.loss = torch.zeros((), device=device)

    def __call__(self, **wishes: Any) -> Any:
        return self.loss


def parameters(device: str) -> list[nn.Parameter]:
    torch.manual_seed(0)
    made = [nn.Parameter(torch.randn(shape, device=device)) for shape in SHAPES]
    for parameter in made:
        parameter.grad = torch.randn_like(parameter)
    return made


def cases(device: str) -> dict[str, Callable[[], Any]]:
    reference = torch.optim.AdamW(parameters(device), foreach=device != "cpu", fused=False, lr=1e-4)
    found: dict[str, Callable[[], Any]] = {"torch AdamW, not fused": reference.step}
    for name in (*OURS, *(n for n in EXTRA if find_spec(OPTIMIZERS.get(n).package))):
        found[name] = build(name, parameters(device), learning_rate=1e-4).step
    closure = Closure(device)
    asking: dict[str, dict[str, Any]] = {"sophia-g": {}}
    if device != "cpu":
        asking["m-fac"] = {"window": 8}
    for name, settings in asking.items():
        made = build(name, parameters(device), learning_rate=1e-4, **settings)
        found[name] = lambda made=made: made.step(closure)  # type: ignore[misc]
    plain = build("sgd", parameters(device), learning_rate=1e-4)
    for step, settings in (("sam", {}), ("looksam", {"k": 2}), ("conadv", {})):
        made = build(
            "sgd", parameters(device), learning_rate=1e-4, step=step, step_settings=settings
        )
        found[f"{step}(sgd)"] = lambda made=made: made.step(closure)  # type: ignore[misc]
    found["sgd alone"] = plain.step
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = cases(args.device)
    times: dict[str, list[float]] = {name: [] for name in table}

    clock = time.process_time if args.device == "cpu" else time.perf_counter

    def wait() -> None:
        if args.device != "cpu":
            torch.cuda.synchronize()

    for number in range(args.rounds + 2):
        for name, step in table.items():
            wait()
            began = clock()
            step()
            wait()
            if number >= 2:
                times[name].append(1000 * (clock() - began))
    reference = statistics.median(times["torch AdamW, not fused"])
    print("| step | ms, median | to AdamW |\n|---|---|---|")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:.1f} | {middle / reference:.2f} |")


if __name__ == "__main__":
    main()
