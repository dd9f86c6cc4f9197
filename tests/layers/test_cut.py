"""Cut networks: remembered, saved, loaded, exported, counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from nas.core.errors import DataError, ExportError
from nas.export import ExportRequest, export
from nas.layers.adapt import adapt, adapt_like, adaptations, read_adaptations
from nas.layers.channels import find_channels
from nas.layers.cut import cut
from nas.measure.counts import count_macs, count_parameters
from nas.training import load_weights, save_weights
from search_spaces import get_space

SHAPE = (3, 12, 12)
SCALES: dict[str, dict[str, Any]] = {
    "darts": {"channels": 4, "layers": 2},
    "nasbench101": {"channels": 8, "layers": 1},
    "nasbench201": {"channels": 4, "layers": 1},
}


def halved(name: str) -> tuple[Any, nn.Module]:
    """A member, and its network with every second group of channels cut."""
    space = get_space(name)
    member = space.sample(np.random.default_rng(6))
    torch.manual_seed(0)
    network = space.network(member, SHAPE, 10, **SCALES[name]).eval()
    channels = find_channels(network, SHAPE)
    kept = np.arange(channels.count) % 2 == 0
    for crowd in channels.crowds:
        kept[min(crowd)] = True
    weights = channels.selected(network.state_dict(), kept)
    adapt(network, "cut", channels=channels.without(kept))
    network.load_state_dict(weights)
    return member, network


@pytest.mark.parametrize("name", SCALES)
def test_written_and_read_back(name: str, tmp_path: Path) -> None:
    member, network = halved(name)
    save_weights(network, tmp_path / "w.safetensors", {"candidate": "x"})
    again = get_space(name).network(member, SHAPE, 10, **SCALES[name])
    load_weights(again, tmp_path / "w.safetensors")
    assert adaptations(again) == adaptations(network)
    images = torch.randn(4, *SHAPE)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), network(images))
    assert all(parameter.requires_grad for parameter in again.parameters())
    whole = get_space(name).network(member, SHAPE, 10, **SCALES[name])
    plain = tmp_path / "plain.safetensors"  # without what was done to the network
    safetensors.torch.save_file(safetensors.torch.load_file(tmp_path / "w.safetensors"), plain)
    with pytest.raises(DataError, match="another network"):
        load_weights(whole, plain)


@pytest.mark.parametrize("name", SCALES)
def test_exported(name: str, tmp_path: Path) -> None:
    """As torch alone runs it: a module for each space, the other forms for one."""
    member, network = halved(name)
    save_weights(network, tmp_path / "w.safetensors")
    about = {"scale": SCALES[name], "input_shape": SHAPE, "weights": tmp_path / "w.safetensors"}
    request = ExportRequest(member, tmp_path / "model.py", **about)
    result = export("python", request)
    assert result.difference is not None
    assert result.difference <= 1e-6
    text = (tmp_path / "model.py").read_text()
    assert max(map(len, text.splitlines())) <= 110
    assert f"{count_parameters(network):,} parameters" in text
    if name == "nasbench101":
        for form in ("onnx", "pt2"):
            other = export(form, ExportRequest(member, tmp_path / f"model.{form}", **about))
            assert other.difference is not None
            assert other.difference <= 1e-5


def test_counted_as_the_small_network() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    network.extend([nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 6, 1), nn.Flatten()])
    network.append(nn.Linear(6 * 100, 2))
    cut(network, {"0": [3, 5], "1": [5], "3": [5, 5], "4": [5, 4], "6": [400, 2]})
    assert network(torch.randn(2, *SHAPE)).shape == (2, 2)
    assert count_parameters(network) == (27 + 1) * 5 + 10 + (9 + 1) * 5 + (5 + 1) * 4 + 802
    assert count_macs(network, SHAPE) == 27 * 5 * 144 + (9 * 5 + 20) * 100 + 800


def test_the_first_channels_stay() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    network[1].running_mean += torch.arange(3)
    first, last = network[0].weight.detach().clone(), network[2].weight.detach().clone()
    cut(network, {"0": [4, 2], "1": [2], "2": [2, 2]})
    assert torch.equal(network[0].weight, first[:2])
    assert torch.equal(network[2].weight, last[:, :2])
    assert network[1].running_mean.tolist() == [0, 1]
    assert isinstance(network[0].bias, nn.Parameter)


@pytest.mark.parametrize(
    "channels",
    [
        {"0": [3, 0]},
        {"0": [3, 9]},
        {"0": [3]},
        {"0": 5},
        {"nothing": [3, 5]},
        {"0": ["3", "5"]},
        {"0": [3, -1]},
        3,
    ],
)
def test_damaged_lists_are_one_line(channels: Any, tmp_path: Path) -> None:
    """As a weights file may hold them."""
    network = nn.Sequential(nn.Conv2d(3, 8, 1))
    wanted = read_adaptations(json.dumps({"a": [("cut", {"channels": channels})]}), "a")
    with pytest.raises(DataError, match="'cut'"):
        adapt_like(network, wanted)
    tensors = nn.Sequential(nn.Conv2d(3, 8, 1)).state_dict()
    path = tmp_path / "w.safetensors"
    text = json.dumps([["cut", {"channels": channels}]])
    safetensors.torch.save_file(tensors, path, {"adaptations": text})
    with pytest.raises(DataError):
        load_weights(nn.Sequential(nn.Conv2d(3, 8, 1)), path)


def test_weights_of_another_scale_are_refused(tmp_path: Path) -> None:
    member, network = halved("nasbench201")
    save_weights(network, tmp_path / "w.safetensors")
    scale = {"channels": 1, "layers": 1}
    request = ExportRequest(
        member, tmp_path / "m.py", scale, SHAPE, weights=tmp_path / "w.safetensors"
    )
    with pytest.raises(ExportError, match="cannot read the weights"):
        export("python", request)
