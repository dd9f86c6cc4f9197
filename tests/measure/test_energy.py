"""Energy by counters that are there in tests only: files as Linux has them, and a stand-in NVML."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas.core.errors import UnsupportedError
from nas.engine.resolve import resolve
from nas.measure import MEASURES, Figure, Subject, energy
from nas.training import load_data

CPU = torch.device("cpu")


def package(folder: Path, number: int, now: int, most: int = 1000) -> Path:
    path = folder / f"intel-rapl:{number}"
    path.mkdir(parents=True)
    (path / "energy_uj").write_text(f"{now}\n")
    (path / "max_energy_range_uj").write_text(f"{most}\n")
    part = folder / f"intel-rapl:{number}:0"  # the cores alone, counted in the package already
    part.mkdir()
    return path


def test_packages_are_added_up_and_may_begin_anew(tmp_path: Path) -> None:
    first, second = package(tmp_path, 0, 100), package(tmp_path, 1, 900)
    read = energy._rapl(tmp_path, CPU)
    assert read() == 0
    (first / "energy_uj").write_text("150")
    (second / "energy_uj").write_text("50")  # 150 more, past its range of 1000
    assert read() == pytest.approx((50 + 150) * 1e-6)
    assert read() == pytest.approx((50 + 150) * 1e-6)


class Network(nn.Module):
    """Draws 500 microjoules a pass, by the file that it writes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.passes = path / "energy_uj", 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.passes += 1
        self.path.write_text(str((500 * self.passes) % 1_000_000))
        return x.flatten(1)[:, :10]


def test_it_is_the_mean_of_the_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(package(tmp_path, 0, 0, 1_000_000))
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    row = MEASURES.get("energy_j")
    assert isinstance(row, Figure)
    found = row(Subject(network, load_data("digits", 0)), {"seconds": 0.05})
    assert found == pytest.approx(500e-6)
    assert network.passes > 2


def test_what_reports_nothing_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    asked: dict[str, Any] = {
        "space": "nasbench201",
        "strategy": "random",
        "objectives": ("error:min", "energy_j:min"),
        "device": "cpu",
    }
    with pytest.raises(UnsupportedError, match="reports no energy"):
        resolve(asked)
    path = package(tmp_path, 0, 5)
    assert resolve(asked).objectives[1] == "energy_j:min"
    (path / "energy_uj").write_text("")
    with pytest.raises(UnsupportedError, match="cannot be read"):
        resolve(asked)


def test_a_cuda_device_is_asked_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoSuchError(Exception):
        pass

    def total(handle: str) -> int:
        if handle != "GPU-abc":
            raise NoSuchError("no such device")
        return 2500

    names = {
        "NVMLError": NoSuchError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetTotalEnergyConsumption": total,
    }
    module = types.ModuleType("pynvml")
    for name, value in names.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(energy, "_uuid", lambda device: "abc")
    assert energy._nvml(torch.device("cuda:0"))() == pytest.approx(2.5)
    monkeypatch.setattr(energy, "_uuid", lambda device: "other")
    with pytest.raises(UnsupportedError, match="no such device"):
        energy._nvml(torch.device("cuda:0"))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(UnsupportedError, match="nvidia-ml-py"):
        energy._nvml(torch.device("cuda:0"))
