"""NumPy files: every accepted form, and every damage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.core.errors import DataError
from nas.training.data import load_data
from nas.training.data.npz import read_npz
from nas.training.data.raw import RawData, Request, check_classes

Make = Callable[..., dict[str, np.ndarray]]


def read(path: Path, **arrays: np.ndarray) -> RawData:
    np.savez(path, **arrays)
    raw = read_npz(str(path), Request(path.parent))
    check_classes(raw, path.name)
    return raw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.npz"


def test_layouts_and_types_come_to_one_form(path: Path, arrays: Make) -> None:
    made = arrays()
    grey, labels = made["x"], made["y"]
    colour = np.stack([grey, grey // 2, grey // 3], axis=1)
    for given, wanted in [
        (grey, grey[:, None]),
        (grey[..., None], grey[:, None]),
        (grey[:, None], grey[:, None]),
        (colour, colour),
        (colour.transpose(0, 2, 3, 1), colour),
        (grey.astype(np.int64), grey[:, None]),
        (grey / 255, grey[:, None]),
        (grey.astype(np.float32), grey[:, None]),
        (grey > 127, (grey > 127)[:, None].astype(np.uint8)),
    ]:
        images, found = read(path, x=given, y=labels).train
        assert images.dtype == np.uint8
        assert np.array_equal(images, wanted)
        assert found.dtype == np.int64
        assert np.array_equal(found, labels)


def test_names_of_arrays(path: Path, arrays: Make) -> None:
    x, y = arrays().values()
    for images, labels in (("x", "y"), ("images", "labels"), ("x_train", "y_train")):
        assert read(path, **{images: x, labels: y}).test is None
    raw = read(path, x_train=x, y_train=y, x_val=x[:6], y_val=y[:6], x_test=x[:9], y_test=y[:9])
    assert raw.validation is not None
    assert raw.test is not None
    assert (len(raw.validation[1]), len(raw.test[1])) == (6, 9)
    data = load_data(f"npz:{path}")
    assert (len(data.train), len(data.validation), data.test_size()) == (30, 6, 9)


def test_labels_may_be_text_columns_or_whole_floats(path: Path, arrays: Make) -> None:
    x, y = arrays().values()
    assert read(path, x=x, y=y[:, None]).classes == ("0", "1", "2")
    assert np.array_equal(read(path, x=x, y=y.astype(np.float64)).train[1], y)
    raw = read(path, x=x, y=np.array(["dog", "cat", "owl"])[y])
    assert raw.classes == ("cat", "dog", "owl")
    assert np.array_equal(raw.train[1], np.array([1, 0, 2])[y])
    assert read(path, x=x, y=y, classes=np.array(["a", "b", "c"])).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.arange(29) % 3}, "one label for each of 30"),
        ({"y": np.arange(30) % 3 - 1}, "label -1"),
        ({"y": np.arange(30) % 3 + 0.5}, "not whole"),
        ({"y": (np.arange(30) % 3) * 2}, r"class '1' of .* no training image"),
        ({"y": np.arange(30) % 3, "classes": np.array(["a", "b"])}, "reach 2.*0 to 1"),
        ({"x": np.zeros((30, 64))}, r"shape \(30, 64\)"),
        ({"x": np.zeros((30, 8, 8, 5), np.uint8)}, r"shape \(30, 8, 8, 5\)"),
        ({"x": np.zeros((0, 8, 8), np.uint8), "y": np.zeros(0, int)}, "no image"),
        ({"x": np.full((30, 8, 8), -1.0)}, "from -1 to -1"),
        ({"x": np.full((30, 8, 8), 256)}, "0 to 255"),
        ({"x": np.full((30, 8, 8), np.nan)}, "NaN"),
        ({"x": np.full((30, 8, 8), "a")}, "expected numbers"),
        ({"x_test": np.zeros((3, 9, 9), np.uint8), "y_test": np.arange(3)}, "test images"),
        ({"x_test": np.zeros((3, 8, 8), np.uint8), "y_test": np.arange(3) + 9}, "class '3'"),
    ],
)
def test_inconsistent_arrays(
    path: Path, arrays: Make, change: dict[str, np.ndarray], words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(path, **{**arrays(), **change})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_strange_text_label(path: Path, arrays: Make) -> None:
    x, _ = arrays(4, classes=2).values()
    names = np.array(["a", "b", "a", "b"])
    with pytest.raises(DataError, match="label 'c'"):
        read(path, x=x, y=names, x_test=x, y_test=np.array(["a", "b", "c", "a"]))


def test_other_arrays(path: Path, arrays: Make) -> None:
    with pytest.raises(DataError, match=r"holds pictures.*expected x_train, y_train or x, y"):
        read(path, pictures=arrays()["x"])


def test_objects_are_refused(path: Path, arrays: Make) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read(path, x=arrays()["x"], y=np.array([{}] * 30, dtype=object))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_cut_file(path: Path, arrays: Make, share: float) -> None:
    np.savez(path, **arrays())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"data\.npz"):
        read_npz(str(path), Request(path.parent))


def test_flipped_bytes_never_get_past_with_a_traceback(path: Path, arrays: Make) -> None:
    np.savez_compressed(path, **arrays())
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            check_classes(read_npz(str(path), Request(path.parent)), "it")


def test_missing_files_and_one_array(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist") as caught:
        load_data(f"npz:{tmp_path / 'none.npz'}")
    assert caught.value.exit_code == 4
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match="one array"):
        load_data(f"npz:{tmp_path / 'one.npy'}")
    with pytest.raises(DataError):
        load_data(f"npz:{tmp_path}")


def test_a_relative_path_is_looked_for_in_the_root(
    tmp_path: Path, arrays: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", **arrays())
    assert load_data("npz:a.npz", root=tmp_path).num_classes == 3
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    assert load_data("npz:a.npz").num_classes == 3


def test_nobody_is_told_to_unpickle(path: Path) -> None:
    np.savez(path, x=np.array([{}], object), y=np.zeros(1, int))
    with pytest.raises(DataError, match="Python objects") as caught:
        read_npz(str(path), Request(path.parent))
    assert "pickle" not in str(caught.value)


def test_a_number_beyond_all_classes_is_refused_before_it_is_counted_to(path: Path) -> None:
    with pytest.raises(DataError, match="hold the label 1000000000; labels are"):
        read(path, x=np.zeros((4, 8, 8), np.uint8), y=np.array([0, 1, 2, 10**9]))
