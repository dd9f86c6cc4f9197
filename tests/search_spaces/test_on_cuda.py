"""On a GPU, fast and plain supernets are the same function in either order in memory."""

from __future__ import annotations

import pytest
import torch

from nas.testing.waiting import no_waiting
from search_spaces.supernet import masked

from .fast_pairs import assert_same_function, distance, gradients, pair

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def images(shape: tuple[int, int, int], batch: int = 4) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randn(batch, *shape, dtype=torch.float64, device="cuda")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 7, 9)])
@pytest.mark.parametrize("space", ["darts", "darts-s1", "darts-s4", "nasbench201"])
def test_values_and_gradients(space: str, shape: tuple[int, int, int], channels_last: bool) -> None:
    plain, fast = pair(space, shape)
    x = images(shape)
    for model in (plain, fast):
        model.to("cuda")
    if channels_last:
        fast.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.contiguous(memory_format=torch.channels_last)
    assert_same_function(plain, fast, x)


@pytest.mark.parametrize("channels_last", [False, True])
def test_partial_channels(channels_last: bool) -> None:
    plain, fast = pair("darts", variant="pc-darts", partial=2)
    x = images((3, 8, 8))
    here = gradients(plain(x.cpu()), list(plain.parameters()))
    for model in (plain, fast):
        model.to("cuda")
        if channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            x = x.contiguous(memory_format=torch.channels_last)
        found = [g.cpu() for g in gradients(model(x), list(model.parameters()))]
        assert distance(found, here) <= 1e-8


@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_the_same_as_on_the_cpu(space: str) -> None:
    """Pooling in channels-last order has its own kernels: they are held against the CPU's."""
    plain, fast = pair(space)
    x = images((3, 8, 8))
    here = fast(x.cpu())
    expected = torch.autograd.grad(here.square().sum(), fast.alpha_parameters())
    for model in (plain, fast):
        model.to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]
        there = model(x)
        assert (there.cpu() - here).abs().max() <= 1e-10
        found = torch.autograd.grad(there.square().sum(), model.alpha_parameters())
        for a, b in zip(found, expected, strict=True):
            assert (a.cpu() - b).abs().max() <= 1e-8 * b.abs().max()


@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_nothing_is_read_back(space: str) -> None:
    _, fast = pair(space, dtype=torch.float32)
    fast.to("cuda")
    x = images((3, 8, 8)).float()
    edge = fast.edges[0]
    fast(x)  # copies indices to the device
    with no_waiting():
        fast(x).sum().backward()
        with torch.no_grad():
            fast(x, masked(fast.mixture(), edge, edge.operations[-1]))
