"""Figures of networks on a GPU: those of the host where they are the network's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from nas.core.protocols import Context
from nas.measure import MEASURES, Subject, bound
from nas.training import TrainingRecipe, fit, load_data
from nas.training.data.dataset import DataSet
from search_spaces import get_space

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEVICE = "cuda"
SCALE = {"channels": 4, "layers": 1}
OF_THE_NETWORK: dict[str, tuple[dict[str, Any], float]] = {
    "params": ({}, 0.0),
    "macs": ({}, 0.0),
    "sharpness": ({}, 1e-2),
    "rankme": ({}, 1e-3),
    "quantized_error": ({"method": "nearest"}, 1e-9),
    "certified_error": ({"epsilon": 0.002}, 1e-9),
}
"""With their settings, and how far they may lie apart, as a share."""
OF_THE_DEVICE = {"latency_ms", "memory_mb", "energy_j"}


@pytest.fixture(scope="module")
def data() -> DataSet:
    return load_data("digits", 0)


@pytest.fixture(scope="module")
def pair(data: DataSet) -> tuple[Subject, Subject]:
    """One trained network, here and there."""
    space: Any = get_space("nasbench201")
    torch.manual_seed(0)
    network = space.network(space.sample(np.random.default_rng(0)), data.input_shape, 10, **SCALE)
    recipe = TrainingRecipe(epochs=3, batch_size=32, precision="float32")
    fit(network, data, recipe, context=Context(), seed=0)
    return Subject(network, data), Subject(copy.deepcopy(network).to(DEVICE), data, DEVICE)


def test_every_figure_is_asked_here() -> None:
    assert {*OF_THE_NETWORK, *OF_THE_DEVICE} == set(MEASURES.names())


@pytest.mark.parametrize("name", OF_THE_NETWORK)
def test_what_is_the_networks_own_is_what_the_host_finds(
    name: str, pair: tuple[Subject, Subject]
) -> None:
    settings, share = OF_THE_NETWORK[name]
    here, there = (float(bound(name, settings)(subject)) for subject in pair)
    assert there == pytest.approx(here, rel=share)
    assert float(bound(name, settings)(pair[1])) == there


def test_flexround_learns_there_too(pair: tuple[Subject, Subject]) -> None:
    settings = {"method": "flexround", "images": 64, "steps": 20}
    here, there = (float(bound("quantized_error", settings)(subject)) for subject in pair)
    assert abs(here - there) <= 0.02
    assert float(bound("quantized_error", settings)(pair[1])) == there


def test_time_and_memory_are_the_devices(pair: tuple[Subject, Subject]) -> None:
    there = pair[1]
    latency = float(bound("latency_ms", {"passes": 5, "warmup_s": 0.05})(there))
    assert 0.01 < latency < 100
    small, large = (float(bound("memory_mb", {"batch": b})(there)) for b in (1, 64))
    weights = sum(p.numel() for p in there.network.parameters()) * 4 / 1e6
    assert weights < small < large


def test_energy_is_read_or_refused(pair: tuple[Subject, Subject]) -> None:
    pytest.importorskip("pynvml")
    assert 0 < float(bound("energy_j", {})(pair[1])) < 100
