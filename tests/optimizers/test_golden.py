"""One step and twenty against values that were worked out apart from this project."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.core.errors import ConfigError
from nas.optimizers import build
from nas.optimizers.muon import orthogonal
from nas.optimizers.projected import project, project_many
from nas.optimizers.stacks import stacked

CURVATURE = torch.tensor([1.0, 10.0], dtype=torch.float64)


def weights(*values: float) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


def bowl(w: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> Callable[[], Tensor]:
    """Half of w1^2 + 10 w2^2."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = 0.5 * (CURVATURE * w * w).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return closure


def near(found: Tensor, *expected: float, within: float = 1e-12) -> None:
    torch.testing.assert_close(
        found.detach().flatten(), torch.tensor(expected, dtype=found.dtype), rtol=0, atol=within
    )


def with_gradient(parameter: torch.nn.Parameter, values: Tensor) -> torch.nn.Parameter:
    parameter.grad = values.clone()
    return parameter


def test_lion() -> None:
    w = weights(1, -2)
    optimizer = build("lion", [w], learning_rate=0.1, weight_decay=0.1)
    optimizer.step(bowl(w, optimizer))
    near(w, 0.89, -1.88)
    near(optimizer.state[w]["momentum"], 0.01, -0.2)


def test_sam() -> None:
    w = weights(1, -2)
    optimizer = build(
        "sgd", [w], learning_rate=0.01, momentum=0.0, step="sam", step_settings={"rho": 0.05}
    )
    optimizer.step(bowl(w, optimizer))
    near(w, 0.98997503, -1.79500624, within=1e-8)


def test_looksam() -> None:
    w = weights(1, -2)
    optimizer = build(
        "sgd",
        [w],
        learning_rate=0.01,
        momentum=0.0,
        step="looksam",
        step_settings={"rho": 0.05, "k": 2, "alpha": 0.7},
    )
    closure = bowl(w, optimizer)
    optimizer.step(closure)
    near(w, 0.98997503, -1.79500624, within=1e-8)
    orthogonal = optimizer.state[w]["orthogonal"]
    inner = orthogonal @ torch.tensor([1.0, -20.0], dtype=torch.float64)
    assert float(inner) == pytest.approx(0, abs=1e-10)
    optimizer.step(closure)
    near(w, 1.10575966, -1.60922140, within=1e-8)


def test_adaptive_sam_scales_with_the_weights() -> None:
    w = weights(1, -2)
    settings = {"rho": 0.5, "adaptive": True}
    optimizer = build(
        "sgd", [w], learning_rate=0.01, momentum=0.0, step="sam", step_settings=settings
    )
    optimizer.step(bowl(w, optimizer))
    g = torch.tensor([1.0, -20.0], dtype=torch.float64)
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    uphill = 0.5 * start**2 * g / (start.abs() * g).norm()
    near(w, *(start - 0.01 * CURVATURE * (start + uphill)).tolist(), within=1e-10)


def test_adamp_takes_the_radial_part_away() -> None:
    w = torch.nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    with_gradient(w, torch.tensor([[4.0, -3.0]], dtype=torch.float64))
    before = w.detach().clone()
    build("adamp", [w], learning_rate=0.1, weight_decay=0.0, epsilon=1e-30).step()
    near(w, 2.888, 4.084)
    assert float(((w.detach() - before) * before).sum()) == pytest.approx(0, abs=1e-12)


def test_adamp_leaves_other_weights_to_adam() -> None:
    start, gradient = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[3.0, 4.0]]).double()
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    first = build("adamp", [with_gradient(ours, gradient)], learning_rate=0.1, weight_decay=0.2)
    second = torch.optim.AdamW([with_gradient(theirs, gradient)], lr=0.1, weight_decay=0.2)
    for _ in range(3):
        first.step()
        second.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_sgdp_is_sgd_where_length_matters() -> None:
    start, gradient = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[3.0, 4.0]]).double()
    for nesterov in (False, True):
        ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
        first = build("sgdp", [with_gradient(ours, gradient)], learning_rate=0.1, nesterov=nesterov)
        second = torch.optim.SGD(
            [with_gradient(theirs, gradient)], lr=0.1, momentum=0.9, nesterov=nesterov
        )
        for _ in range(3):
            first.step()
            second.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_sgdp_keeps_the_length_of_scale_invariant_rows_to_first_order() -> None:
    torch.manual_seed(0)
    w = torch.nn.Parameter(torch.randn(5, 8, dtype=torch.float64))
    before = w.detach().clone()
    unit = before / before.norm(dim=1, keepdim=True)
    tangent = torch.randn(5, 8, dtype=torch.float64)
    tangent -= unit * (unit * tangent).sum(1, keepdim=True)
    optimizer = build("sgdp", [with_gradient(w, tangent)], learning_rate=0.1, weight_decay=0.5)
    optimizer.step()
    moved = w.detach() - before * (1 - 0.1 * 0.5 * 0.1 / (1 - 0.9))  # decay by a tenth
    assert ((moved * before).sum(1)).abs().max() < 1e-12


def test_sm3() -> None:
    w = torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
    gradient = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    optimizer = build("sm3", [with_gradient(w, gradient)], learning_rate=1.0, momentum=0.0)
    optimizer.step()
    near(w, -1, -1, -1, -1)
    before = w.detach().clone()
    optimizer.step()
    near(w - before, -0.44721360, -0.70710678, -0.70710678, -0.70710678, within=1e-8)
    assert "momentum" not in optimizer.state[w]


@pytest.mark.parametrize("shape", [(), (3,)])
def test_sm3_of_a_line_is_adagrad(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(shape, dtype=torch.float64))
    theirs = torch.nn.Parameter(ours.detach().clone())
    first = build("sm3", [ours], learning_rate=0.1, momentum=0.0)
    second = torch.optim.Adagrad([theirs], lr=0.1, eps=1e-30)
    for _ in range(5):
        gradient = torch.randn(shape, dtype=torch.float64)
        with_gradient(ours, gradient)
        with_gradient(theirs, gradient)
        first.step()
        second.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_m_fac_is_the_dense_inverse_of_its_window() -> None:
    torch.manual_seed(0)
    size, window, damping = 20, 4, 0.3
    w = torch.nn.Parameter(torch.zeros(size, dtype=torch.float64))
    optimizer = build("m-fac", [w], learning_rate=1.0, window=window, damping=damping, momentum=0.0)
    seen: list[Tensor] = []
    for _ in range(7):
        gradient = torch.randn(size, dtype=torch.float64)
        seen = [*seen, gradient][-window:]
        before = w.detach().clone()
        with_gradient(w, gradient)
        optimizer.step()
        rows = torch.stack(seen)
        fisher = damping * torch.eye(size, dtype=torch.float64) + rows.T @ rows / len(rows)
        expected = before - torch.linalg.solve(fisher, gradient)
        torch.testing.assert_close(w.detach(), expected, rtol=1e-10, atol=1e-10)


def reference_lion(w: Tensor, m: Tensor, g: Tensor, step: int) -> tuple[Tensor, Tensor]:
    w = w * (1 - 0.01 * 0.1) - 0.01 * torch.sign(0.9 * m + 0.1 * g)
    return w, 0.99 * m + 0.01 * g


def test_twenty_steps_of_lion_on_a_network() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.LayerNorm(6), torch.nn.Tanh(), torch.nn.Linear(6, 2)
    ).double()
    inputs, targets = torch.randn(16, 4).double(), torch.randn(16, 2).double()
    parameters = list(network.parameters())
    optimizer = build("lion", parameters, learning_rate=0.01, weight_decay=0.1)
    expected = [p.detach().clone() for p in parameters]
    momenta = [torch.zeros_like(p) for p in parameters]
    for step in range(20):
        with torch.no_grad():
            for parameter, value in zip(parameters, expected, strict=True):
                torch.testing.assert_close(parameter.detach(), value, rtol=0, atol=1e-12)
        optimizer.zero_grad()
        (network(inputs) - targets).square().mean().backward()
        for i, parameter in enumerate(parameters):
            assert parameter.grad is not None
            expected[i], momenta[i] = reference_lion(expected[i], momenta[i], parameter.grad, step)
        optimizer.step()
    assert math.isfinite(float(network(inputs).sum().detach()))


class Bowl:
    """A closure of half of w1^2 + 10 w2^2 that knows all wishes; drawn gradients are given."""

    examples = 4

    def __init__(self, w: torch.nn.Parameter, drawn: Tensor | None = None) -> None:
        self.w, self.given = w, drawn
        self.optimizer: torch.optim.Optimizer | None = None

    def __call__(self, *, backward: bool = True, drawn: bool = False) -> Tensor:
        loss: Tensor = 0.5 * (CURVATURE * self.w * self.w).sum()
        if backward:
            self.w.grad = None
            loss.backward()  # type: ignore[no-untyped-call]
        if drawn:
            assert self.given is not None
            self.w.grad = self.given.clone()
        return loss


@pytest.mark.parametrize("k", [1, 3])
def test_sophia_h_with_the_exact_diagonal(k: int) -> None:
    """Probes of ones and minus ones give the diagonal of a diagonal Hessian exactly."""
    w = weights(1, -2)
    optimizer = build("sophia-h", [w], learning_rate=0.06, clip=0.01, k=k)
    expected, m, h = w.detach().clone(), torch.zeros(2).double(), torch.zeros(2).double()
    for step in range(7):
        if step % k == 0:
            h = 0.99 * h + 0.01 * CURVATURE
        m = 0.96 * m + 0.04 * CURVATURE * expected
        expected = expected - 0.06 * (m / h.clamp_min(1e-12)).clamp(-0.01, 0.01)
        optimizer.step(Bowl(w))  # type: ignore[arg-type]
        torch.testing.assert_close(w.detach(), expected, rtol=0, atol=1e-12)
    first = weights(1, -2)
    build("sophia-h", [first], learning_rate=0.06, clip=0.01).step(Bowl(first))  # type: ignore[arg-type]
    near(first, 0.9994, -1.9994)


def test_sophia_g_by_the_formula() -> None:
    w, drawn = weights(1, -2), torch.tensor([0.3, -0.01], dtype=torch.float64)
    optimizer = build("sophia-g", [w], learning_rate=0.01, rho=0.4, k=2, weight_decay=0.1)
    expected, m, h = w.detach().clone(), torch.zeros(2).double(), torch.zeros(2).double()
    for step in range(5):
        if step % 2 == 0:
            h = 0.99 * h + 0.01 * 4 * drawn * drawn
        m = 0.965 * m + 0.035 * CURVATURE * expected
        size = (m.abs() / (0.4 * h + 1e-15)).clamp(max=1)
        expected = expected * (1 - 0.01 * 0.1) - 0.01 * m.sign() * size
        optimizer.step(Bowl(w, drawn))  # type: ignore[arg-type]
        torch.testing.assert_close(w.detach(), expected, rtol=0, atol=1e-12)


def test_sophia_moves_no_weight_further_than_its_rate() -> None:
    torch.manual_seed(0)
    for name, most in (("sophia-g", 0.01), ("sophia-h", 0.01 * 0.01)):
        w = weights(1, -2)
        optimizer = build(name, [w], learning_rate=0.01)
        for _ in range(5):
            before = w.detach().clone()
            optimizer.step(Bowl(w, torch.zeros(2).double()))  # type: ignore[arg-type]
            assert (w.detach() - before).abs().max() <= most * (1 + 1e-9)
            assert torch.equal((w.detach() - before).sign(), -before.sign())


def test_mezo_steps_along_its_direction_by_the_exact_slope() -> None:
    """A central difference of a quadratic is exact."""
    w = weights(1, -2)
    optimizer = build("mezo", [w], learning_rate=1e-3, epsilon=1e-3, seed=7)
    direction = torch.randn(2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    before = w.detach().clone()
    slope = float((CURVATURE * before) @ direction)
    optimizer.step(Bowl(w))  # type: ignore[arg-type]
    torch.testing.assert_close(w.detach(), before - 1e-3 * slope * direction, rtol=1e-8, atol=1e-9)
    assert w.grad is None


def test_mezo_puts_weights_back_when_a_loss_fails() -> None:
    w = torch.nn.Parameter(torch.randn(50))
    before = w.detach().clone()
    for at in (1, 2):
        calls = iter(range(1, 3))

        def closure(*, backward: bool = True, calls: Any = calls, at: int = at) -> Tensor:
            if next(calls) == at:
                raise RuntimeError("no")
            return w.sum()

        with pytest.raises(RuntimeError, match="no"):
            build("mezo", [w]).step(closure)  # type: ignore[arg-type]
        torch.testing.assert_close(w.detach(), before, rtol=1e-6, atol=1e-6)


def reference_projection(
    w: Tensor, g: Tensor, u: Tensor, delta: float, ratio: float
) -> tuple[Tensor, float]:
    """As published, step by step."""
    for rows in (w.size(0), 1):
        a, b, c = (t.reshape(rows, -1) for t in (w, g, u))
        pairs = zip(a, b, strict=True)
        cosines = [abs(float(x @ y)) / float(x.norm() * y.norm()) for x, y in pairs]
        if max(cosines) < delta / math.sqrt(a.size(1)):
            unit = a / a.norm(dim=1, keepdim=True)
            return (c - unit * (unit * c).sum(1, keepdim=True)).reshape(u.shape), ratio
    return u, 1.0


@pytest.mark.parametrize("kind", ["rows", "whole", "neither"])
@pytest.mark.parametrize("last", [False, True])
def test_projections(kind: str, last: bool) -> None:
    torch.manual_seed(0)
    w, g, u = (torch.randn(6, 3, 3, 3, dtype=torch.float64) for _ in range(3))
    if kind == "rows":
        flat, direction = w.reshape(6, -1), g.reshape(6, -1)
        unit = flat / flat.norm(dim=1, keepdim=True)
        g = (direction - unit * (unit * direction).sum(1, keepdim=True)).reshape(w.shape)
    elif kind == "whole":
        g = g - w * (w * g).sum() / (w * w).sum()
    else:
        g = g + w
    if last:
        w, g, u = (t.to(memory_format=torch.channels_last) for t in (w, g, u))
    found, factor = project(w, g, u, 0.1, 0.3, 1e-30)
    expected, expected_factor = reference_projection(w, g, u, 0.1, 0.3)
    assert factor == expected_factor
    assert (kind == "neither") == (expected_factor == 1.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("last", [False, True])
def test_projections_of_many_at_once_are_the_same(last: bool) -> None:
    """The form for GPUs, computed here."""
    torch.manual_seed(1)
    w, g, u = (torch.randn(3, 5, 4, 2, 2, dtype=torch.float64) for _ in range(3))
    unit = w[0] / w[0].flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    g[0] -= unit * (unit * g[0]).sum((1, 2, 3), keepdim=True)
    g[1] -= w[1] * (w[1] * g[1]).sum() / (w[1] * w[1]).sum()
    g[2] += w[2]
    like = w[0].to(memory_format=torch.channels_last if last else torch.contiguous_format)
    found, factors = project_many(stacked([*w, *g, *u], like), 0.1, 0.3, 1e-30)
    assert factors.flatten().tolist() == [0.3, 0.3, 1.0]
    for i in range(3):
        alone, factor = project(w[i], g[i], u[i], 0.1, 0.3, 1e-30)
        torch.testing.assert_close(found[i], alone, rtol=0, atol=1e-12)
        assert factor == factors[i].item()


def test_muon_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((6, 20), (20, 6), (8, 8)):
        matrix = torch.randn(shape, dtype=torch.float64)
        values = torch.linalg.svdvals(orthogonal(matrix, 5))
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.25
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        alike = (orthogonal(matrix, 5) * (left @ right)).sum() / min(shape)
        assert 0.8 < float(alike) < 1.1  # near the closest orthogonal matrix, not any


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_many_matrices_are_each_its_own(shape: tuple[int, int]) -> None:
    chance = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, *shape, generator=chance, dtype=torch.float64)
    for found, matrix in zip(orthogonal(matrices, 5), matrices, strict=True):
        torch.testing.assert_close(found, orthogonal(matrix, 5), rtol=0, atol=1e-12)


def test_muon_steps_hidden_weights_and_leaves_the_rest_to_adamw() -> None:
    torch.manual_seed(0)
    shapes = [(4, 3, 3, 3), (4,), (5, 4, 3, 3), (10, 5)]
    weights = [torch.nn.Parameter(torch.randn(s, dtype=torch.float64)) for s in shapes]
    optimizer = build("muon", weights, learning_rate=0.02, weight_decay=0.1)
    before = [w.detach().clone() for w in weights]
    adam = [torch.nn.Parameter(before[i].clone()) for i in (0, 1, 3)]
    theirs = torch.optim.AdamW(adam, lr=0.02 * 0.15, betas=(0.9, 0.95), weight_decay=0.1)
    momentum = torch.zeros(5, 4, 3, 3, dtype=torch.float64)
    expected = before[2].clone()
    for _ in range(3):
        gradients = [torch.randn(s, dtype=torch.float64) for s in shapes]
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        for weight, i in zip(adam, (0, 1, 3), strict=True):
            weight.grad = gradients[i].clone()
        optimizer.step()
        theirs.step()
        momentum = 0.95 * momentum + 0.05 * gradients[2]
        direction = 0.05 * gradients[2] + 0.95 * momentum
        update = orthogonal(direction.reshape(5, -1), 5).reshape(expected.shape)
        expected = expected * (1 - 0.02 * 0.1) - 0.02 * update
    torch.testing.assert_close(weights[2].detach(), expected, rtol=0, atol=1e-12)
    for ours, other in zip([weights[i] for i in (0, 1, 3)], adam, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-10, atol=1e-12)


def test_layerwise_sam_goes_in_proportion_to_each_tensor() -> None:
    """All together it has the length rho; a tensor without length goes as its slope does."""
    torch.manual_seed(0)
    weights = [torch.randn(3, 2), torch.randn(4) * 10, torch.zeros(2), torch.randn(2)]
    slopes = [torch.randn_like(w) for w in weights[:3]] + [torch.zeros(2)]
    weights = [w.double().requires_grad_() for w in weights]
    slopes = [s.double() for s in slopes]
    seen: list[list[torch.Tensor]] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        seen.append([w.detach().clone() for w in weights])
        loss = sum((w * s).sum() for w, s in zip(weights, slopes, strict=True))
        loss.backward()
        return loss

    settings = {"rho": 0.3, "layerwise": True}
    optimizer = build("sgd", weights, learning_rate=0.1, step="sam", step_settings=settings)
    optimizer.step(closure)
    ways = []
    for w, s in zip(seen[0], slopes, strict=True):
        known = float(w.norm()) > 0 and float(s.norm()) > 0
        ways.append(s * (w.norm() / s.norm()) if known else s)
    whole = torch.cat([way.flatten() for way in ways]).norm()
    for before, after, way in zip(seen[0], seen[1], ways, strict=True):
        torch.testing.assert_close(after - before, 0.3 * way / whole, rtol=1e-10, atol=1e-12)


def test_sam_has_one_unit() -> None:
    settings = {"adaptive": True, "layerwise": True}
    with pytest.raises(ConfigError, match="one of adaptive and layerwise"):
        build("sgd", [torch.zeros(1)], step="sam", step_settings=settings)
