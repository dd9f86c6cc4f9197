"""Power iteration against eigenvalues from the whole matrix."""

from __future__ import annotations

import pytest
import torch

from nas.measure.curvature import dominant_eigenvalue


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_equals_the_largest_eigenvalue_by_magnitude(sign: float) -> None:
    torch.manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64))
    values = torch.tensor([5.0, -3.0, *[0.1 * i for i in range(10)]], dtype=torch.float64) * sign
    matrix = basis @ torch.diag(values) @ basis.T
    first = torch.randn(4, dtype=torch.float64, requires_grad=True)
    second = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    x = torch.cat([first, second.reshape(-1)])
    found = dominant_eigenvalue(
        x @ matrix @ x / 2, [first, second], chance(), iterations=200, tolerance=1e-10
    )
    assert found == pytest.approx(5.0 * sign, rel=1e-4)


def test_a_linear_or_independent_loss_is_flat() -> None:
    x = torch.ones(3, requires_grad=True)
    other = torch.ones(3, requires_grad=True)
    assert dominant_eigenvalue(x.sum(), [x, other], chance()) == 0.0
