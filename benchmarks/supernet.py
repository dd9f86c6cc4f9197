"""Fast against plain supernet: time, memory, kernels.

Variants alternate in one process and take the same batches; what is reported is process CPU time
(on a GPU: wall time between synchronisations), the median of the ratios of neighbouring runs, and
whether the gates are met. The plain form runs each operation by itself in the default memory
layout (batch, channels, height, width). On a GPU the fast form is recorded and replayed, as the
engine does it (`--eager` leaves that out), and `--bf16` is for the fast form alone unless
`--bf16-plain` is given too.

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
from functools import partial
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from nas.training.graphs import EAGER_CALLS, Pool, Recorded  # noqa: E402
from search_spaces import get_space  # noqa: E402
from search_spaces.supernet import Mixture, Supernet, masked  # noqa: E402

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

    def __init__(
        self, model: Supernet, x: Tensor, y: Tensor, dtype: torch.dtype | None, record: bool
    ) -> None:
        self.model = model
        self.x = x
        self.y = y
        self.dtype = dtype
        self.record = record
        self._groups = tuple(model.mixture())
        self._weights = model.weight_parameters()
        pool = Pool()
        self._steps = {
            function: Recorded(function, pool, record=record)
            for function in (self._find_weights, self._find_alphas, self._find_masked)
        }

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            return functional.cross_entropy(self.model(x).float(), y)

    def weights(self) -> None:
        """Forward and backward for everything, as a step of the weights has it."""
        self._steps[self._find_weights](self.x, self.y)

    def alphas(self) -> None:
        """Gradient of the alphas alone."""
        self._steps[self._find_alphas](self.x, self.y)

    def masked(self) -> None:
        """Forward pass of a perturbation."""
        edge = self.model.edges[0]
        with torch.no_grad():
            self.logits(self.x, masked(self.model.mixture(), edge, edge.operations[-1]))

    def logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        return self._steps[self._find_masked](x, *mixture.values())

    def removals(self, group: str) -> None:
        """All operations of an edge in the middle of a kind of cell, measured by removal."""
        edges = [edge for edge in self.model.edges if edge.group == group]
        forward = self.logits if self.record and self.x.is_cuda else None
        self.model.removals(self.x, edges[len(edges) // 2].name, forward)

    def _find_weights(self, x: Tensor, y: Tensor) -> object:
        return torch.autograd.grad(self.loss(x, y), self._weights, allow_unused=True)

    def _find_alphas(self, x: Tensor, y: Tensor) -> object:
        with self.model.alphas_only():
            loss = self.loss(x, y)
        return torch.autograd.grad(loss, self.model.alpha_parameters())

    def _find_masked(self, x: Tensor, *tables: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            return self.model(x, dict(zip(self._groups, tables, strict=True)))


def measure(
    actions: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Milliseconds of each action; the actions take turns, the first rounds are dropped."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    dropped = EAGER_CALLS + 1
    for number in range(repeats + dropped):
        for name, action in actions.items():
            if device.type == "cuda":
                torch.cuda.synchronize()
            start = _clock(device)
            action()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number >= dropped:
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
        loss = subject.loss(subject.x, subject.y)
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
    parser.add_argument("--bf16-plain", action="store_true", help="the plain form too")
    parser.add_argument("--eager", action="store_true", help="record nothing on a GPU")
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
    subjects = {}
    for side in ("plain", "fast"):
        model = get_space(arguments.space).supernet(
            shape, 10, channels=arguments.channels, layers=layers, fast=side == "fast"
        )
        half = arguments.bf16 if side == "fast" else arguments.bf16_plain
        subjects[side] = Subject(
            model.to(device),
            x,
            y,
            torch.bfloat16 if half else None,
            record=side == "fast" and not arguments.eager,
        )
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
                actions[label] = partial(subject.removals, group)
    times = measure(actions, arguments.repeats, device)
    standard = is_darts and device.type == "cpu" and not arguments.bf16
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
