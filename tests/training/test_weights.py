"""Weights as safetensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import torch
from torch import nn

from nas.core.errors import DataError, ExportError
from nas.training import load_weights, save_weights

Make = Callable[..., nn.Module]


def test_there_and_back(conv_net: Make, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    network = conv_net(seed=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_weights(network, path, {"architecture": "abc"})
    other = conv_net(seed=2)
    load_weights(other, path)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"architecture": "abc"}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_shared_tensors_are_written(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    save_weights(network, tmp_path / "a.safetensors")
    load_weights(network, tmp_path / "a.safetensors")


def test_files_of_something_else(conv_net: Make, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(DataError, match="does not exist"):
        load_weights(conv_net(), path)
    save_weights(conv_net(), path)
    with pytest.raises(DataError, match="another network"):
        load_weights(conv_net(width=4), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="no weights file"):
        load_weights(conv_net(), path)
    with pytest.raises(ExportError, match="cannot be written"):
        save_weights(conv_net(), tmp_path / "none" / "a.safetensors")
