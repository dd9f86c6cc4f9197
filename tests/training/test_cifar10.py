"""CIFAR-10 in its official and its packed form."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.core.errors import DataError
from nas.training.data import load_data
from nas.training.data.cifar10 import BATCHES


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def batch(images: np.ndarray, labels: list[int]) -> dict[bytes, Any]:
    return {
        b"batch_label": b"one",
        b"labels": labels,
        b"data": images.reshape(len(images), -1),
        b"filenames": [b"a.png"] * len(images),
    }


@pytest.fixture
def official(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    labels = list(range(10)) * 2
    for seed, name in enumerate((*BATCHES, "test_batch")):
        content = pickle.dumps(batch(pictures(20, seed), labels), protocol=2)
        (folder / name).write_bytes(content)
    return folder


def test_official_batches(official: Path, tmp_path: Path) -> None:
    data = load_data("cifar10", root=tmp_path)
    assert data.classes[:2] == ("airplane", "automobile")
    assert (len(data.train), len(data.validation), data.test_size()) == (90, 10, 20)
    given = {image.tobytes() for image in pictures(20, 5)}
    assert {image.numpy().tobytes() for image in data.test_split().images} == given
    other = load_data(f"cifar10:{official}", root=tmp_path)
    assert other.fingerprint == data.fingerprint


class Evil:
    """Runs a command when it is unpickled by something careless."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/nas-was-here",)


@pytest.mark.parametrize("what", [Evil(), eval, np.load, Path("a"), io.BytesIO])
def test_nothing_runs_on_reading(official: Path, tmp_path: Path, what: object) -> None:
    path = official / "data_batch_3"
    path.write_bytes(pickle.dumps({b"data": what, b"labels": []}))
    with pytest.raises(DataError, match=r"data_batch_3.*refers to"):
        load_data("cifar10", root=tmp_path)
    assert not Path("/tmp/nas-was-here").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_cut_batch(official: Path, tmp_path: Path, share: float) -> None:
    path = official / "data_batch_2"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="data_batch_2"):
        load_data("cifar10", root=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {b"data": np.zeros((20, 100), np.uint8), b"labels": [0] * 20},
        {b"data": np.zeros((20, 3072)), b"labels": [0] * 20},
        {b"data": np.zeros((20, 3072), np.uint8), b"labels": [0] * 19},
        {b"data": np.zeros((20, 3072), np.uint8), b"labels": [10] * 20},
        {b"data": np.zeros((20, 3072), np.uint8), b"labels": [-1] * 20},
        {b"data": np.zeros((20, 3072), np.uint8), b"labels": None},
    ],
)
def test_a_batch_of_something_else(official: Path, tmp_path: Path, content: object) -> None:
    (official / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="test_batch"):
        load_data("cifar10", root=tmp_path)


def test_damaged_batches_never_end_in_a_traceback(official: Path, tmp_path: Path) -> None:
    path = official / "data_batch_1"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[int(rng.integers(300))] = int(rng.integers(256))
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            load_data("cifar10", root=tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no CIFAR-10.*cs\.toronto\.edu") as caught:
        load_data("cifar10", root=tmp_path)
    assert caught.value.exit_code == 4
    with pytest.raises(DataError, match="elsewhere"):
        load_data(f"cifar10:{tmp_path / 'elsewhere'}")


def test_a_missing_batch(official: Path, tmp_path: Path) -> None:
    (official / "data_batch_5").unlink()
    with pytest.raises(DataError, match=r"data_batch_5' does not exist"):
        load_data("cifar10", root=tmp_path)


def pack(folder: Path, split: str, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(stream, "PNG")
        parts.append(stream.getvalue())
    (folder / f"{split}.bin").write_bytes(b"".join(parts))
    offsets = np.cumsum([0, *map(len, parts)]).astype(np.uint32)
    np.savez(folder / f"{split}_index.npz", offsets=offsets, labels=labels.astype(np.uint8))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar10"
    pack(folder, "train", pictures(40), np.arange(40) % 10)
    pack(folder, "test", pictures(20, 1), np.arange(20) % 10)
    return folder


def test_packed_pictures(packed: Path, tmp_path: Path) -> None:
    data = load_data("cifar10", root=tmp_path)
    assert (len(data.train), len(data.validation), data.test_size()) == (30, 10, 20)
    given = {image.tobytes() for image in pictures(20, 1)}
    assert {image.numpy().tobytes() for image in data.test_split().images} == given
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert load_data("cifar10", root=tmp_path).fingerprint == data.fingerprint


def test_packed_damage(packed: Path, tmp_path: Path) -> None:
    content = (packed / "train.bin").read_bytes()
    (packed / "train.bin").write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"train\.bin.*does not fit its index"):
        load_data("cifar10", root=tmp_path)
    (packed / "train.bin").write_bytes(content[:5000] + b"\0" * 20 + content[5020:])
    with pytest.raises(DataError, match=r"picture \d+ of .*train\.bin"):
        load_data("cifar10", root=tmp_path)
    index = (packed / "train_index.npz").read_bytes()
    (packed / "train_index.npz").write_bytes(index[:-50])
    with pytest.raises(DataError, match=r"train_index\.npz"):
        load_data("cifar10", root=tmp_path)
    (packed / "test.bin").unlink()
    (packed / "train_index.npz").write_bytes(index)
    (packed / "train.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"test\.bin' does not exist"):
        load_data("cifar10", root=tmp_path)


def test_the_real_small_set(shared_data: Callable[..., Path]) -> None:
    data = load_data(f"npz:{shared_data('cifar10_small.npz')}")
    assert (len(data.train), len(data.validation), data.test_size()) == (4500, 500, 1000)
    assert data.mean == pytest.approx((0.491, 0.482, 0.446), abs=0.005)
    assert data.classes[0] == "airplane"


@pytest.mark.slow
def test_the_real_packed_set(shared_data: Callable[..., Path], tmp_path: Path) -> None:
    data = load_data(f"cifar10:{shared_data('cifar10')}", root=tmp_path)
    assert (len(data.train), len(data.validation), data.test_size()) == (45000, 5000, 10000)
    assert data.mean == pytest.approx((0.4913, 0.4821, 0.4465), abs=0.001)
    assert data.std == pytest.approx((0.2452, 0.2428, 0.2606), abs=0.001)
    small = load_data(f"npz:{shared_data('cifar10_small.npz')}")
    tests = {image.numpy().tobytes() for image in data.test_split().images}
    assert {image.numpy().tobytes() for image in small.test_split().images} <= tests
