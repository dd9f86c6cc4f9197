"""Fast against plain supernet: time, memory, kernels.

Variants alternate in one process and take the same batches; what is reported is process CPU time
(on a GPU: wall time between synchronisations), the median of the ratios of neighbouring runs, and
whether the gates are met. The plain form runs each operation by itself in the default memory
layout (batch, channels, height, width).

    python benchmarks/supernet.py --channels 16 --layers 8 --batch 8 --repeats 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from search_spaces import get_space  # noqa: E402
from search_spaces.supernet import Supernet, masked  # noqa: E402

VIEWS = frozenset(
    (
        "view", "permute", "transpose", "t", "unsqueeze", "squeeze", "select", "slice",
        "as_strided", "unbind", "split", "split_with_sizes", "chunk", "expand", "detach", "alias",
        "movedim", "unfold", "diagonal", "reshape", "_unsafe_view", "_reshape_alias",
        "lift_fresh", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided",
    )
)  # fmt: skip
"""Dispatched calls that touch no numbers."""


class Counting(TorchDispatchMode):
    """Counts dispatched calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.__name__.partition(".")[0]] += 1
        return func(*args, **(kwargs or {}))

    @property
    def kernels(self) -> int:
        return sum(count for name, count in self.calls.items() if name not in VIEWS)


class Subject:
    """One supernet and what is done with it."""

    def __init__(self, model: Supernet, x: Tensor, y: Tensor, dtype: torch.dtype | None) -> None:
        self.model = model
        self.x = x
        self.y = y
        self.dtype = dtype

    def loss(self) -> Tensor:
        device = self.x.device.type
        with torch.autocast(device, dtype=self.dtype, enabled=self.dtype is not None):
            return functional.cross_entropy(self.model(self.x).float(), self.y)

    def weights(self) -> None:
        """Forward and backward for everything, as a step of the weights has it."""
        self.loss().backward()
        self.model.zero_grad(set_to_none=True)

    def alphas(self) -> None:
        """Gradient of the alphas alone."""
        with self.model.alphas_only():
            loss = self.loss()
        torch.autograd.grad(loss, self.model.alpha_parameters())

    @torch.no_grad()
    def masked(self) -> None:
        """Forward pass of a perturbation."""
        edge = self.model.edges[0]
        operation = edge.operations[-1]
        self.model(self.x, masked(self.model.mixture(), edge, operation))


def removals(model: Supernet, x: Tensor, group: str) -> Callable[[], object]:
    """All operations of an edge in the middle of a kind of cell, measured by removal."""
    edges = [edge for edge in model.edges if edge.group == group]
    return lambda: model.removals(x, edges[len(edges) // 2].name)


def measure(
    actions: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Milliseconds of each action; the actions take turns, the first round is dropped."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(repeats + 1):
        for name, action in actions.items():
            if device.type == "cuda":
                torch.cuda.synchronize()
            start = _clock(device)
            action()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number:
                times[name].append((_clock(device) - start) / 1e6)
    return times


def _clock(device: torch.device) -> int:
    return time.perf_counter_ns() if device.type == "cuda" else time.process_time_ns()


def counts(subject: Subject) -> tuple[int, int, float]:
    """Kernels of a forward pass, of a backward pass, and megabytes saved per image."""
    known = {t.untyped_storage().data_ptr() for t in subject.model.parameters()}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor  # kept, or addresses would repeat
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, Counting() as forward:
        loss = subject.loss()
    size = sum(t.untyped_storage().nbytes() for key, t in saved.items() if key not in known)
    with Counting() as backward:
        loss.backward()
    subject.model.zero_grad(set_to_none=True)
    return forward.kernels, backward.kernels, size / len(subject.x) / 1e6


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def ratio(top: Sequence[float], bottom: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(top, bottom, strict=True))


def compare(times: dict[str, list[float]], gates: bool) -> tuple[str, bool]:
    """The table of times and whether the gates are met."""
    step = {
        side: [a + b for a, b in zip(times[f"weights {side}"], times[second], strict=True)]
        for side, second in (("plain", "alphas plain, as written"), ("fast", "alphas fast"))
    }
    lines = [
        ("weights: forward + backward", times["weights fast"], times["weights plain"], None),
        ("alphas, to a full pass", times["alphas fast"], times["weights plain"], 0.35),
        ("alphas, to alphas alone", times["alphas fast"], times["alphas plain"], None),
        ("search step (both)", step["fast"], step["plain"], 0.5),
        ("masked forward, no graph", times["masked fast"], times["masked plain"], 0.4),
    ]
    for name in times:
        kind, _, form = name.partition(", ")
        if form == "fast":
            lines.append((kind, times[name], times[f"{kind}, plain"], None))
            one_by_one = [t * float(kind.partition(" x ")[2]) for t in times["masked fast"]]
            lines.append((f"{kind} (to one by one)", times[name], one_by_one, None))
    rows = [["", "fast, median ms", "min", "plain, median ms", "min", "ratio", "gate", ""]]
    met = True
    for name, fast, plain, gate in lines:
        found = ratio(fast, plain)
        checked = gate is not None and gates
        passed = gate is None or found <= gate
        met &= passed or not checked
        rows.append(
            [
                name,
                f"{statistics.median(fast):.1f}",
                f"{min(fast):.1f}",
                f"{statistics.median(plain):.1f}",
                f"{min(plain):.1f}",
                f"{found:.3f}",
                f"{gate}" if checked else "",
                ("pass" if passed else "FAIL") if checked else "",
            ]
        )
    return table(rows), met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="darts", help="darts, darts-s1 to -s5, nasbench201")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--layers", type=int, help="default: 8 (darts), 5 (nasbench201)")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--image", type=int, default=32, help="side of the images")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--removals", action="store_true", help="also measure by removal (slow)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    device = torch.device(arguments.device)
    is_darts = arguments.space.startswith("darts")
    layers = arguments.layers or (8 if is_darts else 5)
    shape = (3, arguments.image, arguments.image)
    x = torch.randn(arguments.batch, *shape, device=device)
    y = torch.randint(10, (arguments.batch,), device=device)
    dtype = torch.bfloat16 if arguments.bf16 else None
    subjects = {}
    for side in ("plain", "fast"):
        model = get_space(arguments.space).supernet(
            shape, 10, channels=arguments.channels, layers=layers, fast=side == "fast"
        )
        subjects[side] = Subject(model.to(device), x, y, dtype)
    subjects["fast"].model.load_state_dict(subjects["plain"].model.state_dict())

    print(
        f"{arguments.space} C{arguments.channels} L{layers}, batch {arguments.batch} of "
        f"{'x'.join(map(str, shape))}, torch {torch.__version__}, {device}, "
        f"{torch.get_num_threads()} thread(s), {arguments.repeats} rounds, {_parameters(subjects)}"
    )
    actions: dict[str, Callable[[], object]] = {}
    for name in ("weights", "alphas", "masked"):
        for side, subject in subjects.items():
            actions[f"{name} {side}"] = getattr(subject, name)
    # The reference implementation's step of the alphas is a full pass.
    actions["alphas plain, as written"] = subjects["plain"].weights
    if arguments.removals:
        for group in dict.fromkeys(edge.group for edge in subjects["fast"].model.edges):
            for side, subject in subjects.items():
                count = max(len(edge.operations) for edge in subject.model.edges)
                label = f"removals {group} x {count}, {side}"
                actions[label] = removals(subject.model, x, group)
    times = measure(actions, arguments.repeats, device)
    standard = is_darts and device.type == "cpu" and dtype is None
    text, met = compare(times, gates=standard)
    print(text)
    return 0 if _report_counts(subjects, standard) and met else 1


def _parameters(subjects: dict[str, Subject]) -> str:
    model: nn.Module = subjects["plain"].model
    return f"{sum(p.numel() for p in model.parameters()):,} parameters"


def _report_counts(subjects: dict[str, Subject], standard: bool) -> bool:
    met = True
    rows = [["", "plain", "fast", "gate", ""]]
    found = {side: counts(subject) for side, subject in subjects.items()}
    limits = [
        ("kernels, forward", 3400.0),
        ("kernels, backward", None),
        ("saved for backward, MB per image", 70.0),
    ]
    for number, (name, gate) in enumerate(limits):
        plain, fast = found["plain"][number], found["fast"][number]
        checked = gate is not None and standard
        passed = gate is None or fast <= gate
        met &= passed or not checked
        verdict = ("pass" if passed else "FAIL") if checked else ""
        rows.append([name, f"{plain:,.4g}" if number == 2 else f"{plain:,}",
                     f"{fast:,.4g}" if number == 2 else f"{fast:,}",
                     f"{gate:,.0f}" if checked and gate is not None else "", verdict])  # fmt: skip
    print()
    print(table(rows))
    return met


if __name__ == "__main__":
    raise SystemExit(main())
