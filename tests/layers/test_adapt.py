"""Lasting changes travel with weights and exported modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from nas.core.errors import DataError, PluginError
from nas.layers.adapt import ADAPTATIONS, adapt, adaptations
from nas.training.weights import load_weights, save_weights

if "test-widen" not in ADAPTATIONS:

    def widen(network: nn.Module, *, by: int) -> None:
        last = network[-1]  # type: ignore[index]
        network[-1] = nn.Linear(last.in_features, last.out_features + by)  # type: ignore[operator]

    ADAPTATIONS.add("test-widen", widen, "for these tests")


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def test_weights_bring_their_adaptations(tmp_path: Path) -> None:
    network, other, x = small(), small(), torch.randn(2, 3)
    adapt(network, "test-widen", by=3)
    save_weights(network, tmp_path / "w.safetensors", {"candidate": "a"})
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(network(x), other(x))
    assert adaptations(other) == [("test-widen", {"by": 3})]
    load_weights(other, tmp_path / "w.safetensors")  # done already: nothing is done twice
    assert other(x).shape == (2, 5)


def test_a_network_adapted_otherwise_is_refused(tmp_path: Path) -> None:
    network, other = small(), small()
    adapt(network, "test-widen", by=3)
    adapt(other, "test-widen", by=2)
    save_weights(network, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="adapted otherwise"):
        load_weights(other, tmp_path / "w.safetensors")


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="unknown adaptation"):
        adapt(small(), "test-shrink")
    network = small()
    adapt(network, "test-widen", by=3)
    save_weights(network, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="test-widen"):
        load_weights(nn.Linear(3, 4), tmp_path / "w.safetensors")


def test_networks_as_they_were_built_have_none(tmp_path: Path) -> None:
    network = small()
    save_weights(network, tmp_path / "w.safetensors")
    assert adaptations(network) == []
    assert b"adaptations" not in (tmp_path / "w.safetensors").read_bytes()
