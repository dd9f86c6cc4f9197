"""Latency and memory measured on the device at hand."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from nas.measure import MEASURES, Subject
from nas.measure.figures import Figure
from nas.training import load_data


def measured(name: str, network: nn.Module, **settings: object) -> float:
    row = MEASURES.get(name)
    assert isinstance(row, Figure)
    return row(Subject(network, load_data("digits", 0)), settings)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2, "a measure puts the threads back"
    torch.set_num_threads(before)


class Slow(nn.Module):
    """Takes at least 4 ms an image, and the first passes longer."""

    def __init__(self) -> None:
        super().__init__()
        self.passes, self.threads = 0, 0

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.passes += 1
        self.threads = torch.get_num_threads()
        time.sleep(0.004 * len(x) + (0.1 if self.passes < 3 else 0.0))
        return x.flatten(1)[:, :10]


def test_latency_is_the_median_of_warm_passes() -> None:
    network = Slow()
    assert 4.0 <= measured("latency_ms", network, passes=5) < 40.0
    assert network.training
    assert network.threads == 1
    assert network.passes >= 5 + 2
    assert 12.0 <= measured("latency_ms", network, batch=3, passes=5, warmup_s=0, threads=None) < 90
    assert network.threads == 2


def test_a_chain_holds_two_tensors_at_a_time() -> None:
    size = 64 * 4  # an image of 8 x 8
    chain = nn.Sequential(nn.Flatten(), *[nn.Hardswish() for _ in range(6)])
    found = measured("memory_mb", chain, batch=100)
    assert found == pytest.approx((100 * size + 2 * 100 * size) / 1e6)


class Branches(nn.Module):
    """Keeps the results of all branches until they are added."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1000))
        self.register_buffer("kept", torch.zeros(500))
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        parts = [x * (number + 1) for number in range(self.count)]
        views = [part.flatten(1) for part in parts]
        return torch.stack(views)[0]


def test_branches_are_counted_as_long_as_they_live_and_views_not() -> None:
    size = 64 * 4
    for count in (2, 5):
        found = measured("memory_mb", Branches(count))
        assert found == pytest.approx((1500 * 4 + size + 2 * count * size) / 1e6)


def test_more_images_need_more() -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    one, ten = measured("memory_mb", network), measured("memory_mb", network, batch=10)
    weights = 4 * sum(p.numel() for p in network.parameters()) / 1e6
    assert ten - weights == pytest.approx(10 * (one - weights), rel=1e-6)
