"""The form of our rules for devices on which launches cost: many weights at once.

It is computed on a CPU here, told that it is none. What is counted is what a GPU would launch.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.optimizers import build, rule, stacks
from nas.optimizers.rule import copies
from nas.optimizers.stacks import aligned, alike, parts, rows, stacked
from nas.testing.closures import parts as names
from nas.testing.waiting import no_waiting

# Every second kernel lies channels last, so that there are some of each layout of a shape.
SHAPES = (
    *[(4, 3, 3, 3)] * 4,
    *[(5, 4, 1, 1)] * 4,
    *[(6, 5)] * 3,
    *[(5, 6)] * 3,
    *[(6,)] * 3,
    (3,),
    (),
    (),
    (2, 3, 4),
    (7, 4),
)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("lion", {}),
    ("adamp", {}),
    ("sgdp", {}),
    ("sgdp", {"momentum": 0.0}),
    ("sgdp", {"nesterov": True}),
    ("sm3", {}),
    ("sm3", {"momentum": 0.0}),
    ("muon", {}),
    ("muon", {"nesterov": False}),
    ("sophia-g", {"k": 3}),
    ("m-fac", {"window": 5}),
    ("m-fac", {"window": 5, "momentum": 0.0}),
    # Torch's SGD on a CPU cannot have a momentum of a weight that gets its gradient later.
    ("sam(sgd)", {"momentum": 0.0}),
    ("sam(sgd)", {"momentum": 0.0, "step_settings": {"adaptive": True}}),
    ("sam(sgd)", {"momentum": 0.0, "step_settings": {"layerwise": True}}),
    ("looksam(sgd)", {"momentum": 0.0, "step_settings": {"k": 3}}),
    ("looksam(adamp)", {"step_settings": {"k": 2, "layerwise": True}}),
    ("conadv(sgd)", {"momentum": 0.0}),
    ("conadv(muon)", {"step_settings": {"tau": 3}}),
]


def laid_out(tensor: Tensor, last: bool) -> Tensor:
    if tensor.dim() != 4 or not last:
        return tensor
    return tensor.to(memory_format=torch.channels_last)


def parameters(
    shapes: Sequence[tuple[int, ...]], device: str = "cpu", dtype: torch.dtype = torch.float64
) -> list[nn.Parameter]:
    chance = torch.Generator("cpu").manual_seed(0)
    made = [torch.randn(shape, generator=chance, dtype=dtype) for shape in shapes]
    return [nn.Parameter(laid_out(w, bool(i % 2)).to(device)) for i, w in enumerate(made)]


class Slopes:
    """A closure whose gradients are drawn, and lie otherwise than their weights at times.

    They have no part along some weights, or along rows of some: what AdamP looks at. The weight
    `without` gets none in every third step.
    """

    examples = 8

    def __init__(self, weights: list[nn.Parameter], number: int, without: int | None) -> None:
        self.weights, self.number, self.without = weights, number, without
        self.chance = torch.Generator().manual_seed(number)

    def __call__(self, **wishes: Any) -> Tensor:
        for i, weight in enumerate(self.weights):
            w = weight.detach()
            g = torch.randn(w.shape, generator=self.chance, dtype=w.dtype) + 0.3 * w
            if i % 3 and w.dim() > 1:
                axes = tuple(range(1 if i % 3 == 1 else 0, w.dim()))
                g -= w * (w * g).sum(axes, keepdim=True) / (w * w).sum(axes, keepdim=True)
            there = i != self.without or self.number % 3
            weight.grad = laid_out(g, i % 4 < 2) if there else None
        return torch.zeros(())


def trained(title: str, settings: dict[str, Any]) -> dict[str, list[Tensor]]:
    """Weights, and what is kept of each, after twenty steps."""
    name, step = names(title)
    weights = parameters(SHAPES)
    optimizer = build(name, weights, step=step, weight_decay=0.1, **settings)
    for number in range(20):
        # The window of M-FAC is of all weights.
        optimizer.step(Slopes(weights, number, without=None if name == "m-fac" else 2))
    states = [optimizer.state[w] for w in weights]
    kept = [[s[key] for key in sorted(s) if isinstance(s[key], Tensor)] for s in states]
    steps = [torch.tensor(float(s.get("step", 0))) for s in states]
    return {"weights": list(weights), "kept": list(chain(*kept)), "steps": steps}


@pytest.mark.parametrize(("title", "settings"), CASES)
def test_many_at_once_are_one_by_one(
    title: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = trained(title, settings)
    monkeypatch.setattr(rule, "SYNCHRONOUS", frozenset())
    together = trained(title, settings)
    for name, tensors in alone.items():
        for a, b in zip(together[name], tensors, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
            assert a.stride() == b.stride()


class Ready:
    """A closure whose gradients are made of what lies on the device."""

    examples = 8

    def __init__(self, weights: list[nn.Parameter], slopes: list[Tensor]) -> None:
        self.weights, self.slopes = weights, slopes
        self.loss = torch.zeros((), device=weights[0].device)

    def __call__(self, **wishes: Any) -> Tensor:
        for weight, slope in zip(self.weights, self.slopes, strict=True):
            weight.grad = torch.add(slope, weight.detach(), alpha=0.3)
        return self.loss


def stepped(title: str, settings: dict[str, Any], device: str) -> list[Tensor]:
    """Weights after six steps, of which all but the first must not wait."""
    name, step = names(title)
    weights = parameters(SHAPES, device)
    chance = torch.Generator().manual_seed(1)
    closures = []
    for _ in range(6):
        drawn = [torch.randn(w.shape, generator=chance, dtype=w.dtype) for w in weights]
        slopes = [laid_out(g, i % 4 < 2).to(device) for i, g in enumerate(drawn)]
        closures.append(Ready(weights, slopes))
    optimizer = build(name, weights, step=step, weight_decay=0.1, **settings)
    optimizer.step(closures[0])  # type: ignore[arg-type]
    with no_waiting():
        for closure in closures[1:]:
            optimizer.step(closure)  # type: ignore[arg-type]
    return [weight.detach().cpu() for weight in weights]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("title", "settings"), CASES)
def test_a_gpu_gets_where_a_cpu_does_without_waiting(title: str, settings: dict[str, Any]) -> None:
    found, expected = (stepped(title, settings, device) for device in ("cuda", "cpu"))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


# No kernel runs: these are views, or memory that nothing is written to.
FREE = {
    *("empty_like", "empty_strided", "unbind", "view", "_unsafe_view", "permute", "transpose"),
    *("as_strided", "unsqueeze", "expand", "detach", "alias", "split_with_sizes", "t", "slice"),
    *("select", "squeeze", "diagonal", "split"),
}


class Launches(TorchDispatchMode):
    """Counts operations; views and memory are free.

    One on lists counts as many as it has tensors where not all of a place lie alike, without gaps:
    there torch goes through them one by one. What it gives lies as its first list does, as on a GPU
    (on a CPU, strides that lead nowhere may be others).
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = func.__name__.split(".")[0]
        if name.startswith("_foreach"):
            lists = [a for a in args if isinstance(a, (list, tuple)) and isinstance(a[0], Tensor)]
            self.count += 1 if all(map(self._lie_alike, zip(*lists, strict=True))) else len(args[0])
        elif name not in FREE and not name.startswith("_record_function"):
            self.count += 1
        found = func(*args, **(kwargs or {}))
        if name.startswith("_foreach") and found and found[0].shape == args[0][0].shape:
            return [torch.empty_like(a).copy_(f) for a, f in zip(args[0], found, strict=True)]
        return found

    @staticmethod
    def _lie_alike(tensors: Iterable[Tensor]) -> bool:
        strides = {(t.shape, t.stride(), t.dtype) for t in tensors}
        layouts = {torch.empty_like(t, device="meta").stride() for t in tensors}
        return len(strides) == len(layouts) == 1 and layouts == {strides.copy().pop()[1]}


def launches(title: str, settings: dict[str, Any], count: int) -> int:
    """Of two steps, after two in which states are made, of so many weights of each shape."""
    name, step = names(title)
    shapes = [shape for shape in ((4, 3, 3, 3), (5, 4, 1, 1), (6, 5), (6,)) for _ in range(count)]
    weights = parameters(shapes, dtype=torch.float32)
    for weight in weights:
        weight.grad = torch.randn_like(weight)
        if weight.shape[2:] == (1, 1):  # as convolutions of one pixel give them
            weight.grad = weight.grad.contiguous().as_strided(weight.shape, (4, 1, 1, 1))
    zero = torch.zeros(())
    optimizer = build(name, weights, step=step, **settings)

    def closure(**wishes: Any) -> Tensor:
        return zero

    closure.examples = 8  # type: ignore[attr-defined]
    for _ in range(2):
        optimizer.step(closure)  # type: ignore[arg-type]
    with Launches() as counting:
        for _ in range(2):
            optimizer.step(closure)  # type: ignore[arg-type]
    return counting.count


COUNTED: list[tuple[str, dict[str, Any]]] = [
    ("lion", {}),
    ("adamp", {}),
    ("sgdp", {"nesterov": True}),
    ("sm3", {}),
    ("muon", {}),
    ("sophia-g", {"k": 2}),
    # Around Lion, because torch's SGD goes one by one on a CPU.
    ("sam(lion)", {}),
    ("sam(lion)", {"step_settings": {"adaptive": True}}),
    ("sam(lion)", {"step_settings": {"layerwise": True}}),
    ("looksam(lion)", {"step_settings": {"k": 2}}),
    ("conadv(lion)", {}),
]


@pytest.mark.parametrize(("title", "settings"), COUNTED)
def test_launches_do_not_grow_with_the_weights_of_a_shape(
    title: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "SYNCHRONOUS", frozenset())
    few, many = (launches(title, settings, count) for count in (4, 40))
    assert many <= few + 4


def test_the_count_sees_what_goes_one_by_one() -> None:
    few, many = (launches("adamp", {}, count) for count in (4, 40))
    assert many > 5 * few


@pytest.mark.parametrize("title", ["adamp", "sgdp", "sm3", "muon", "sophia-g", "sam(adamp)"])
def test_no_weight_of_many_is_read(title: str) -> None:
    """As in `test_waiting.py`, of several of one shape."""
    name, step = names(title)
    weights = parameters(SHAPES, "meta")
    optimizer = build(name, weights, step=step)

    def closure(**wishes: Any) -> Tensor:
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        return torch.zeros((), device="meta")

    closure.examples = 8  # type: ignore[attr-defined]
    for _ in range(3):
        optimizer.step(closure)  # type: ignore[arg-type]
    assert all(weight.is_meta for weight in weights)


@pytest.mark.parametrize("name", ["adamp", "sgdp", "sm3", "muon", "lion"])
@pytest.mark.parametrize("first", ["alone", "together"])
def test_states_go_from_one_form_to_the_other(
    name: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = {"alone": frozenset({"cpu"}), "together": frozenset[str]()}
    weights = parameters(SHAPES)
    optimizer = build(name, weights)
    monkeypatch.setattr(rule, "SYNCHRONOUS", forms.pop(first))
    for number in range(5):
        optimizer.step(Slopes(weights, number, None))  # type: ignore[arg-type]
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    others = [nn.Parameter(w.detach().clone()) for w in weights]
    resumed = build(name, others)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for number in range(5, 10):
        optimizer.step(Slopes(weights, number, None))  # type: ignore[arg-type]
    monkeypatch.setattr(rule, "SYNCHRONOUS", forms.popitem()[1])
    for number in range(5, 10):
        resumed.step(Slopes(others, number, None))  # type: ignore[arg-type]
    for a, b in zip(weights, others, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


LAYOUTS: list[Callable[[], Tensor]] = [
    lambda: torch.randn(2, 3, 4, 5),
    lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    lambda: torch.randn(2, 3, 1, 1).to(memory_format=torch.channels_last),
    lambda: torch.randn(5, 4).T,
    lambda: torch.randn(4, 8)[:, ::2],
    lambda: torch.randn(()),
    lambda: torch.randn(0, 3),
]


@pytest.mark.parametrize("make", LAYOUTS)
@pytest.mark.parametrize("count", [1, 3])
def test_stacks_are_what_they_are_made_of(make: Callable[[], Tensor], count: int) -> None:
    tensors = [make() for _ in range(count)]
    stack = stacked(tensors, tensors[0])
    assert torch.equal(stack, torch.stack(tensors))
    layout = torch.empty_like(tensors[0]).stride()
    for part, tensor in zip(parts(stack * 1, tensors[0]), tensors, strict=True):
        assert torch.equal(part, tensor)
        assert part.stride() == layout


def test_stacks_hold_what_is_alike_and_no_more_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = torch.randn(2, 3, 2, 2)
    last = kernel.to(memory_format=torch.channels_last)
    weights = [kernel, torch.ones(3), last, kernel + 1, kernel.double(), kernel + 2]
    assert [found for _, found in alike(weights, range(6))] == [[0, 3, 5], [1], [2], [4]]
    monkeypatch.setattr(stacks, "LIMIT", 50)
    assert [found for _, found in alike(weights, range(6))] == [[0, 3], [5], [1], [2], [4]]
    monkeypatch.setattr(stacks, "LIMIT", 1)
    assert [found for _, found in alike(weights, range(6))] == [[i] for i in (0, 3, 5, 1, 2, 4)]


def test_rows_are_outputs_of_a_view() -> None:
    kernels = [torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last) for _ in range(2)]
    stack = stacked(kernels, kernels[0])
    found = rows(stack)
    assert found.data_ptr() == stack.data_ptr()
    assert torch.equal(found, torch.stack([k.permute(0, 2, 3, 1).flatten(1) for k in kernels]))


def test_aligned_tensors_are_views_where_they_can_be() -> None:
    weight = torch.randn(3, 4, 1, 1).to(memory_format=torch.channels_last)
    gradient = torch.randn(3, 4).as_strided((3, 4, 1, 1), (4, 1, 1, 1))
    kernel = torch.randn(3, 4, 2, 2)
    other = kernel.to(memory_format=torch.channels_last)
    same, view, copy = aligned([kernel, gradient, other], [kernel, weight, kernel])
    assert same is kernel
    assert view.data_ptr() == gradient.data_ptr()
    assert view.stride() == weight.stride()
    assert copy.stride() == kernel.stride()
    assert torch.equal(view, gradient)
    whole = torch.randn(5, 12)
    (third,) = aligned([whole[3].view(3, 4, 1, 1)], [weight])
    assert torch.equal(third.flatten(), whole[3])
    assert torch.equal(copy, other)


@pytest.mark.parametrize("devices", [{"cpu"}, set[str]()])
def test_copies_are_exact_and_their_own(devices: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "SYNCHRONOUS", devices)
    tensors = [torch.tensor([float("nan"), -0.0]), torch.randn(2, 3, 2, 2)[:, ::2], torch.ones(())]
    for copy, tensor in zip(copies(tensors), tensors, strict=True):
        assert torch.equal(copy.view(-1).view(torch.int32), tensor.reshape(-1).view(torch.int32))
        assert copy.data_ptr() != tensor.data_ptr()
    assert copies([]) == []


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_m_fac_moves_weights_as_if_they_lay_one_after_another(momentum: float) -> None:
    """Its direction is of all weights in one row: pieces of it must find their places."""
    shapes = [(4, 3, 1, 1), (2, 3, 2, 2), (5,), (3, 4), (6, 2, 1, 1)]
    ends = []
    for last in (False, True):
        chance = torch.Generator().manual_seed(0)
        made = [torch.randn(shape, generator=chance, dtype=torch.float64) for shape in shapes]
        weights = [nn.Parameter(laid_out(w, last)) for w in made]
        optimizer = build("m-fac", weights, window=3, momentum=momentum, weight_decay=0.1)
        for _ in range(6):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=chance, dtype=torch.float64)
            before = torch.cat([w.detach().flatten() for w in weights])
            optimizer.step()
        ends.append([w.detach().clone(memory_format=torch.contiguous_format) for w in weights])
        assert not torch.equal(before, torch.cat([w.detach().flatten() for w in weights]))
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


class InPlace:
    """A closure that writes gradients where the last ones lay, as some trainers do.

    The weight `second` gets one in the second pass only, the weight `first` in the first only.
    """

    examples = 8

    def __init__(self, weights: list[nn.Parameter], first: int, second: int) -> None:
        self.weights, self.first, self.second, self.passes = weights, first, second, 0

    def __call__(self, *, inputs: bool = False, **wishes: Any) -> Tensor:
        if inputs:
            return torch.ones(2, 3, dtype=torch.float64)
        self.passes += 1
        for i, w in enumerate(self.weights):
            new = (i + 1.0) * w.detach() + self.passes
            if i in (self.first, self.second) and (i == self.first) != (self.passes % 2 == 1):
                w.grad = None
            elif w.grad is None:
                w.grad = new
            else:
                w.grad.copy_(new)
        return torch.zeros(())


def stepped_in_place(
    step: str, step_settings: dict[str, Any], first: int, second: int
) -> tuple[torch.optim.Optimizer, list[nn.Parameter], list[Tensor]]:
    """The optimizer, four weights after one step at a rate of 0.1, and as they were."""
    weights = [nn.Parameter(torch.full((2,), 1.0 + i, dtype=torch.float64)) for i in range(4)]
    settings: dict[str, Any] = {"momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.1}
    optimizer = build("sgd", weights, step=step, step_settings=step_settings, **settings)
    start = [w.detach().clone() for w in weights]
    optimizer.step(InPlace(weights, first, second))  # type: ignore[arg-type]
    return optimizer, weights, start


@pytest.mark.parametrize("devices", [{"cpu"}, set[str]()])
def test_gradients_that_are_written_over_are_kept(
    devices: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "SYNCHRONOUS", devices)
    settings = {"k": 2, "alpha": 0.5, "rho": 0.3}
    optimizer, weights, start = stepped_in_place("looksam", settings, -1, -1)
    plain = [(i + 1.0) * w + 1 for i, w in enumerate(start)]
    long = torch.cat(plain).norm()
    sharp = [
        (i + 1.0) * (w + 0.3 * g / long) + 2
        for i, (w, g) in enumerate(zip(start, plain, strict=True))
    ]
    for w, before, s in zip(weights, start, sharp, strict=True):
        torch.testing.assert_close(w.detach(), before - 0.1 * s, rtol=0, atol=1e-9)
    share = (torch.cat(sharp) @ torch.cat(plain)) / long**2
    for w, s, g in zip(weights, sharp, plain, strict=True):
        kept = optimizer.state[w]["orthogonal"]
        torch.testing.assert_close(kept, s - share * g, rtol=0, atol=1e-9)


@pytest.mark.parametrize("devices", [{"cpu"}, set[str]()])
def test_a_gradient_in_one_pass_alone_is_halved(
    devices: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "SYNCHRONOUS", devices)
    _, weights, start = stepped_in_place("conadv", {}, 1, 2)
    for i, (w, before) in enumerate(zip(weights, start, strict=True)):
        passes = {1: [1], 2: [2]}.get(i, [1, 2])
        mean = sum((i + 1.0) * before + n for n in passes) / 2
        torch.testing.assert_close(w.detach(), before - 0.1 * mean, rtol=0, atol=1e-9)
