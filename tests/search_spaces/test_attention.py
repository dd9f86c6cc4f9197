"""Softmax-free attention: kernel, inverse and its derivative, whole, cost."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nas.measure import count_macs, count_parameters
from search_spaces.attention import RIDGE, SoftAttention, attend, gaussian, newton_inverse
from search_spaces.costs import attention_heads, landmark_ratio, soft_attention
from search_spaces.layers import form_of


def tokens(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """One pair after another."""
    rows = [
        [math.exp(-((x - y) ** 2).sum().item() / (2 * math.sqrt(len(x)))) for y in b] for x in a
    ]
    return torch.tensor(rows, dtype=a.dtype)


def test_the_kernel_against_a_loop() -> None:
    a, b = tokens(5, 8, dtype=torch.float64), tokens(7, 8, seed=1, dtype=torch.float64)
    torch.testing.assert_close(gaussian(a, b), kernel(a, b), rtol=0, atol=1e-12)
    assert gaussian(a.float(), a.float()).max() <= 1


class TestInverse:
    def matrices(self) -> Tensor:
        """Of a kernel's kind, not near singular."""
        points = 2 * tokens(3, 2, 9, 16)
        return gaussian(points, points) + RIDGE * torch.eye(9)

    def test_of_kernels(self) -> None:
        p = self.matrices()
        torch.testing.assert_close(newton_inverse(p), torch.linalg.inv(p), rtol=1e-3, atol=1e-3)

    def test_backward_is_that_of_the_inverse(self) -> None:
        p, upstream = self.matrices().requires_grad_(), tokens(3, 2, 9, 9, seed=2)
        found = torch.autograd.grad((newton_inverse(p) * upstream).sum(), p)[0]
        expected = torch.autograd.grad((torch.linalg.inv(p) * upstream).sum(), p)[0]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)

    def test_derivatives_of_any_order(self) -> None:
        p = tokens(2, 4, 4, dtype=torch.float64)
        p = (p @ p.mT + torch.eye(4)).requires_grad_()
        assert torch.autograd.gradcheck(newton_inverse, (p,))
        assert torch.autograd.gradgradcheck(newton_inverse, (p,))

    def test_of_what_is_nearly_singular_stays_bounded(self) -> None:
        p = torch.ones(16, 16) + RIDGE * torch.eye(16)
        found = newton_inverse(p)
        assert torch.isfinite(found).all()
        assert torch.linalg.matrix_norm(found, 2) <= 1.001 / RIDGE


class TestAttend:
    @pytest.mark.parametrize("n", [1, 4, 16])
    @pytest.mark.parametrize("spread", [0.1, 1.0])
    def test_all_tokens_as_landmarks(self, n: int, spread: float) -> None:
        """Direct S V but for the ridge, which takes at most 0.01 off an eigenvalue."""
        q, v = spread * tokens(2, n, 32), 1 + 0.1 * tokens(2, n, 32, seed=1)
        s = gaussian(q, q)
        ridged = s @ torch.linalg.inv(s + RIDGE * torch.eye(n)) @ s @ v
        torch.testing.assert_close(attend(q, q, v), ridged, rtol=1e-3, atol=1e-3)
        assert (attend(q, q, v) - s @ v).norm() <= 1.01 * RIDGE * v.norm()
        if n == 16 and spread < 1:
            torch.testing.assert_close(attend(q, q, v), s @ v, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("m", [3, 12])
    def test_against_the_formula(self, m: int) -> None:
        q, marks = tokens(12, 8, dtype=torch.float64), tokens(m, 8, seed=4, dtype=torch.float64)
        v = tokens(12, 8, seed=5, dtype=torch.float64)
        k, a = kernel(q, marks), kernel(marks, marks)
        expected = k @ torch.linalg.inv(a + 0.01 * torch.eye(m)) @ k.T @ v
        torch.testing.assert_close(attend(q, marks, v), expected, rtol=1e-6, atol=1e-6)

    def test_autocasting_does_not_reach_it(self) -> None:
        """Differences of squares, and inverses of what is nearly singular."""
        q, marks, v = 3 * tokens(2, 64, 32), 3 * tokens(2, 16, 32, seed=1), tokens(2, 64, 32)
        inputs = [t.requires_grad_() for t in (q, marks, v)]
        expected = attend(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            found = attend(*inputs)
            assert (q @ q.mT).dtype == torch.bfloat16
        assert torch.equal(found, expected)
        for a, b in zip(
            torch.autograd.grad(found.sum(), inputs),
            torch.autograd.grad(expected.sum(), inputs),
            strict=True,
        ):
            assert torch.equal(a, b)
        low = attend(q.bfloat16(), marks.bfloat16(), v.bfloat16())
        assert low.dtype == torch.bfloat16
        assert torch.isfinite(low).all()


class TestLayer:
    @pytest.mark.parametrize("search", [False, True])
    @pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 5), (8, 8), (33, 9)])
    @pytest.mark.parametrize("stride", [1, 2])
    def test_any_size(self, stride: int, size: tuple[int, int], search: bool) -> None:
        layer = SoftAttention(12, stride, form_of(search))
        y = layer(torch.randn(3, 12, *size))
        assert y.shape == (3, 12, *(-(-side // stride) for side in size))
        y.square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in layer.parameters())

    def test_it_sees_the_whole_map(self) -> None:
        torch.manual_seed(0)
        layer, x = SoftAttention(8, 1, form_of(False)).eval(), torch.randn(1, 8, 16, 16)
        x.requires_grad_()
        (reach,) = torch.autograd.grad(layer(x)[0, :, 0, 0].sum(), x)
        assert (reach[0, :, -1, -1].abs() > 0).any()

    def test_forms_of_memory_and_types_agree(self) -> None:
        torch.manual_seed(0)
        layer, x = SoftAttention(64, 2, form_of(False)).double(), torch.randn(4, 64, 9, 8).double()
        expected = layer(x)
        layer.to(memory_format=torch.channels_last)
        found = layer(x.to(memory_format=torch.channels_last))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)

    def test_heads_do_not_see_each_other(self) -> None:
        torch.manual_seed(0)
        layer, x = SoftAttention(64, 1, form_of(False)).eval(), torch.randn(1, 64, 4, 4)
        assert layer.heads == 2
        nn.init.dirac_(layer.value.weight)
        nn.init.dirac_(layer.project.weight)
        x.requires_grad_()
        layer.query.requires_grad_(False)
        nn.init.zeros_(layer.query.weight)
        (reach,) = torch.autograd.grad(layer(x)[0, 0].sum(), x)
        assert (reach[0, 0].abs() > 0).any()
        assert not reach[0, 1:].any()

    @pytest.mark.parametrize("channels", [8, 36, 64, 144])
    @pytest.mark.parametrize("size", [(1, 1), (5, 3), (8, 8), (32, 32), (9, 20)])
    @pytest.mark.parametrize("stride", [1, 2])
    def test_cost(self, channels: int, size: tuple[int, int], stride: int) -> None:
        layer = SoftAttention(channels, stride, form_of(False))
        output = (-(-size[0] // stride), -(-size[1] // stride))
        cost = soft_attention(channels, output)
        assert cost.params == count_parameters(layer)
        assert cost.macs == count_macs(layer, (channels, *size))

    def test_the_cost_grows_with_the_pixels(self) -> None:
        costs = [soft_attention(16, (side, side)).macs for side in (32, 64, 128)]
        assert costs[1] < 4 * costs[0]
        assert costs[2] < 4 * costs[1]

    def test_heads_and_landmarks(self) -> None:
        assert [attention_heads(c) for c in (1, 16, 36, 64, 72, 144, 97)] == [1, 1, 1, 2, 2, 4, 1]
        sides = [(s, -(-s // landmark_ratio((s, s)))) for s in (1, 3, 4, 5, 8, 9, 28, 32)]
        assert sides == [(1, 1), (3, 3), (4, 4), (5, 3), (8, 4), (9, 3), (28, 4), (32, 4)]
