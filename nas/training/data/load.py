"""From a specification to a split data set."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch

from nas.core.errors import ConfigError
from nas.training.data import DATASETS
from nas.training.data.dataset import DataSet, Split
from nas.training.data.raw import Images, Pair, RawData, Request, check_classes
from nas.training.data.splits import Indices, check_sizes, take
from nas.training.randomness import derive

TEST_SHARE = 0.2
TEST_SEED = 1797
"""Of the test split of data that has none: a property of the data, not of a run."""


def load(
    spec: str,
    seed: int,
    root: Path | None,
    *,
    limit: int | None,
    image_size: int | None,
    validation: float | None,
    one_class: bool = False,
) -> DataSet:
    """See `nas.training.data.load_data`."""
    if validation is not None and not 0 < validation < 1:
        raise ConfigError(f"validation = {validation:g} is not allowed", "choose a share in (0, 1)")
    if image_size is not None and not 4 <= image_size <= 1024:
        raise ConfigError(f"image_size = {image_size} is not allowed", "choose 4 to 1024")
    name, _, argument = spec.partition(":")
    reader = DATASETS.get(name)
    raw = reader(argument, Request(_root(root), image_size))
    check_classes(raw, spec, least=1 if one_class else 2)
    if validation is None:
        validation = 0.2 if raw.test is None else 0.1
    train, held_out, test = _split(raw, spec, seed, validation)
    parts = [
        _limited(part, limit, len(raw.classes), derive(seed, "limit", index))
        for index, part in enumerate((train, held_out, test))
    ]
    mean, std = _statistics(parts[0][0])
    splits = [_tensors(part) for part in parts]
    return DataSet(
        name=spec,
        train=splits[0],
        validation=splits[1],
        classes=raw.classes,
        mean=mean,
        std=std,
        fingerprint=_fingerprint(raw.classes, parts),
        _test=splits[2],
    )


def _root(root: Path | None) -> Path:
    return root or Path(os.environ.get("NAS_DATA") or "data")


def _split(raw: RawData, spec: str, seed: int, validation: float) -> tuple[Pair, Pair, Pair]:
    train, held_out, test = raw.train, raw.validation, raw.test
    missing = (held_out is None) + (test is None)
    check_sizes(train[1], raw.classes, 1 + missing, spec)
    least = len(raw.classes)
    if test is None:
        count = max(least, round(TEST_SHARE * len(train[1])))
        test, train = _drawn(train, count, TEST_SEED, keep=missing)
    if held_out is None:
        count = max(least, round(validation * len(train[1])))
        held_out, train = _drawn(train, count, derive(seed, "validation"), keep=1)
    return train, held_out, test


def _drawn(pair: Pair, count: int, seed: int, keep: int) -> tuple[Pair, Pair]:
    drawn, rest = take(pair[1], count, seed, keep)
    return _at(pair, drawn), _at(pair, rest)


def _at(pair: Pair, indices: Indices) -> Pair:
    return pair[0][indices], pair[1][indices]


def _limited(pair: Pair, limit: int | None, classes: int, seed: int) -> Pair:
    if limit is None:
        return pair
    if limit < classes:
        raise ConfigError(f"limit = {limit} is fewer than the {classes} classes", "raise the limit")
    return _at(pair, take(pair[1], limit, seed)[0])


def _statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, exactly, from counts of the 256 values."""
    values = np.arange(256) / 255.0
    mean, std = [], []
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].ravel(), minlength=256)
        share = counts / counts.sum()
        mean.append(float(share @ values))
        std.append(float(np.sqrt(share @ (values - mean[-1]) ** 2)))
    # A channel that is constant is left centred and not blown up.
    return tuple(mean), tuple(value if value > 1e-6 else 1.0 for value in std)


def _tensors(pair: Pair) -> Split:
    images, labels = pair
    return Split(torch.from_numpy(np.array(images)), torch.from_numpy(np.array(labels)))


def _fingerprint(classes: tuple[str, ...], parts: list[Pair]) -> str:
    digest = hashlib.sha256("\0".join(classes).encode())
    for images, labels in parts:
        digest.update(repr(images.shape).encode())
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()[:16]
