"""Plain and fast supernets with the same weights, and how far apart two gradients are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search_spaces import get_space
from search_spaces.supernet import Supernet

SIZES = {"darts": {"channels": 4, "layers": 3}, "nasbench201": {"channels": 3, "layers": 1}}


def pair(
    space: str,
    shape: tuple[int, int, int] = (3, 8, 8),
    dtype: torch.dtype = torch.float64,
    layout: str = "auto",
    **settings: object,
) -> tuple[Supernet, Supernet]:
    """A plain and a fast supernet with equal weights and pronounced alphas."""
    scale = {**SIZES[space.partition("-")[0]], **settings}
    torch.manual_seed(0)
    plain, fast = (
        get_space(space).supernet(shape, 5, fast=quick, **scale).to(dtype)
        for quick in (False, True)
    )
    with torch.no_grad():
        for parameter in plain.alpha_parameters():
            parameter.normal_()
    fast.load_state_dict(plain.state_dict())
    if layout != "auto":
        fast.layout = layout
    return plain, fast


def gradients(output: Tensor, parameters: Sequence[Tensor], **options: bool) -> list[Tensor]:
    """Gradients along one fixed direction, zeros where there are none."""
    direction = torch.linspace(-1, 1, output.numel()).to(output).view_as(output)
    found = torch.autograd.grad(
        output, list(parameters), direction, allow_unused=True, materialize_grads=True, **options
    )
    return list(found)


def distance(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Largest difference relative to the largest number, over pairs of tensors."""
    assert len(found) == len(expected)
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        scale = b.abs().max().clamp_min(1e-8)
        worst = max(worst, ((a - b).abs().max() / scale).item())
    return worst


def assert_same_function(plain: Supernet, fast: Supernet, x: Tensor) -> None:
    """Logits to 1e-10 and all gradients to 1e-8 (double precision), with the same noise."""
    torch.manual_seed(1)
    expected = plain(x)
    torch.manual_seed(1)
    found = fast(x)
    assert (found - expected).abs().max().item() <= 1e-10
    names = [name for name, _ in plain.named_parameters()]
    assert names == [name for name, _ in fast.named_parameters()]
    assert distance(_all(found, fast), _all(expected, plain)) <= 1e-8


def _all(output: Tensor, model: nn.Module) -> list[Tensor]:
    return gradients(output, list(model.parameters()))
