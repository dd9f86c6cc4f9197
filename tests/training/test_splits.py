"""Splits: stratified, seeded, disjoint, and what is said of data that cannot be split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.core.errors import ConfigError, DataError, PluginError
from nas.training.data import load_data
from nas.training.data.dataset import DataSet, Split
from nas.training.data.splits import proportional, take

SIZES = st.lists(st.integers(0, 40), min_size=2, max_size=12).filter(any)


@given(SIZES, st.floats(0, 1), st.integers(0, 2))
def test_shares_are_proportional(sizes: list[int], share: float, keep: int) -> None:
    have = np.array(sizes)
    total = round(share * have.sum())
    counts = proportional(have, total, keep)
    assert (counts >= 0).all()
    assert (counts <= have).all()
    room = np.maximum(have - keep, np.minimum(have, 1))
    assert (counts <= room).all()
    assert counts.sum() == min(total, room.sum())
    if total >= np.count_nonzero(have):
        assert (counts[have > 0] >= 1).all()
    exact = have * total / have.sum()
    free = (counts > 1) & (counts < room)  # those at no bound
    if keep == 0 and (exact[have > 0] >= 1).all():
        assert (np.abs(counts - exact)[free] < 1).all()


@settings(max_examples=30)
@given(st.integers(0, 2**40), st.integers(0, 60))
def test_what_is_taken_and_what_is_left_are_all(seed: int, total: int) -> None:
    labels = np.repeat(np.arange(4), [30, 20, 8, 2])
    drawn, rest = take(labels, total, seed)
    assert sorted([*drawn, *rest]) == list(range(60))
    assert len(drawn) == total
    again, _ = take(labels, total, seed)
    assert np.array_equal(drawn, again)


def keys(split: Split) -> list[bytes]:
    return [image.numpy().tobytes() for image in split.images]


def test_digits_are_split_by_class_and_nothing_is_in_two_splits(digits: DataSet) -> None:
    parts = [digits.train, digits.validation, digits.test_split()]
    assert [len(part) for part in parts] == [1150, 288, 359]
    assert digits.test_size() == 359
    whole = np.bincount(np.concatenate([part.labels.numpy() for part in parts]))
    for part in parts:
        share = np.bincount(part.labels.numpy()) / len(part)
        assert np.abs(share - whole / whole.sum()).max() < 0.005
    seen = [set(keys(part)) for part in parts]
    assert not seen[0] & seen[1]
    assert not (seen[0] | seen[1]) & seen[2]
    assert sum(map(len, seen)) == 1797


def test_the_seed_moves_validation_and_never_the_test_split(digits: DataSet) -> None:
    other = load_data("digits", seed=1)
    assert keys(other.test_split()) == keys(digits.test_split())
    assert set(keys(other.validation)) != set(keys(digits.validation))
    assert other.fingerprint != digits.fingerprint
    assert load_data("digits").fingerprint == digits.fingerprint


def test_a_prefix_of_a_split_is_a_mix_of_classes(digits: DataSet) -> None:
    for part in (digits.train, digits.validation, digits.test_split()):
        assert len(part.labels[:64].unique()) == 10


def test_what_a_data_set_says_of_itself(digits: DataSet) -> None:
    assert digits.input_shape == (1, 8, 8)
    assert digits.num_classes == 10
    assert digits.classes == tuple("0123456789")
    assert digits.train.images.dtype == torch.uint8
    pixels = digits.train.images.double() / 255
    assert digits.mean == pytest.approx((pixels.mean().item(),), rel=1e-12)
    assert digits.std == pytest.approx((pixels.std(correction=0).item(),), rel=1e-12)


def test_halves_are_disjoint_and_stratified(digits: DataSet) -> None:
    first, second = digits.halves(seed=3)
    assert len(first) == len(second) == 575
    assert not set(keys(first)) & set(keys(second))
    assert set(keys(first)) | set(keys(second)) == set(keys(digits.train))
    assert (first.labels.bincount() - second.labels.bincount()).abs().max() <= 1
    assert keys(digits.halves(seed=3)[0]) == keys(first)
    assert keys(digits.halves(seed=4)[0]) != keys(first)
    assert len(digits.halves(fraction=0.8)[0]) == 920
    with pytest.raises(ConfigError, match="empty"):
        digits.halves(fraction=1.0)


def test_merged_has_all_but_the_test_images(digits: DataSet) -> None:
    merged = digits.merged()
    assert len(merged.train) == 1438
    assert not len(merged.validation)
    assert not set(keys(merged.train)) & set(keys(digits.test_split()))
    assert merged.fingerprint != digits.fingerprint


def test_limit_keeps_the_mix(few_digits: DataSet, digits: DataSet) -> None:
    assert [len(few_digits.train), len(few_digits.validation), few_digits.test_size()] == [100] * 3
    assert few_digits.train.labels.bincount().tolist() == [10] * 10
    assert set(keys(few_digits.train)) <= set(keys(digits.train))
    with pytest.raises(ConfigError, match=r"limit = 5.*10 classes"):
        load_data("digits", limit=5)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"spec": "digit"}, PluginError, "did you mean digits"),
        ({"spec": "digits:8"}, ConfigError, "takes no argument"),
        ({"spec": "digits", "validation": 1.0}, ConfigError, "validation = 1"),
        ({"spec": "digits", "image_size": 2}, ConfigError, "image_size = 2"),
        ({"spec": "digits", "image_size": 16}, ConfigError, "does not go with digits"),
        ({"spec": "images"}, ConfigError, "images:FOLDER"),
        ({"spec": "npz"}, ConfigError, "npz:FILE"),
    ],
)
def test_impossible_requests(
    options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        load_data(**options)  # type: ignore[arg-type]


def save(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return f"npz:{path}"


def test_imbalance_is_kept_and_no_split_lacks_a_class(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(3), [200, 17, 3])
    images = np.random.default_rng(0).integers(0, 256, (220, 6, 6), dtype=np.uint8)
    data = load_data(save(tmp_path / "a.npz", x=images, y=labels))
    parts = (data.train, data.validation, data.test_split())
    counts = [part.labels.bincount(minlength=3).tolist() for part in parts]
    assert [sum(column) for column in zip(*counts, strict=True)] == [200, 17, 3]
    assert [row[2] for row in counts] == [1, 1, 1]


def test_a_class_too_small_to_split_is_named(
    tmp_path: Path, arrays: Callable[..., dict[str, np.ndarray]]
) -> None:
    made = arrays(30)
    made["y"][:] = np.repeat([0, 1, 2], [14, 14, 2])
    spec = save(tmp_path / "a.npz", **made, classes=np.array(["cat", "dog", "owl"]))
    with pytest.raises(DataError, match=r"class 'owl'.*2 image\(s\) for 3 splits"):
        load_data(spec)


def test_one_class_only(tmp_path: Path, arrays: Callable[..., dict[str, np.ndarray]]) -> None:
    made = arrays(30, classes=1)
    with pytest.raises(DataError, match="1 class"):
        load_data(save(tmp_path / "a.npz", **made))


def test_a_constant_channel_is_not_blown_up(tmp_path: Path) -> None:
    spec = save(tmp_path / "a.npz", x=np.full((30, 4, 4), 7, np.uint8), y=np.arange(30) % 2)
    data = load_data(spec)
    assert data.std == (1.0,)
    assert data.mean == pytest.approx((7 / 255,))
