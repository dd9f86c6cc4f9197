"""A data set as training sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nas.core.errors import ConfigError


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images and their classes.

    Attributes:
        images: uint8 (n, channels, height, width), on the host.
        labels: int64 (n,).
    """

    images: Tensor
    labels: Tensor

    def __repr__(self) -> str:
        return f"Split({len(self)} images)"

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Tensor) -> Split:
        """The images at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class DataSet:
    """Splits, and what a network needs to know of them.

    Attributes:
        name: What it was asked for by, e.g. "images:flowers".
        train: What weights (and, in a one-shot search, architecture weights) are trained on.
        validation: What a search sees; empty after `merged`.
        classes: Class names in the order of the labels.
        mean: Of each channel over the training split, in units of 0 to 1.
        std: The same of the standard deviation.
        fingerprint: Hash of the images, labels and splits.
    """

    name: str
    train: Split
    validation: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    _test: Split

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    def test_split(self) -> Split:
        """The test split: for the final report only, never for a choice of any kind."""
        return self._test

    def test_size(self) -> int:
        """How many test images there are."""
        return len(self._test)

    def merged(self) -> DataSet:
        """With the validation images as training images, for the last training of a result.

        The normalisation stays as it is, so that weights fit both forms.
        """
        joined = Split(
            torch.cat([self.train.images, self.validation.images]),
            torch.cat([self.train.labels, self.validation.labels]),
        )
        return replace(
            self,
            train=joined,
            validation=self.validation.select(torch.empty(0, dtype=torch.int64)),
            fingerprint=self.fingerprint + "-merged",
        )

    def halves(self, seed: int = 0, fraction: float = 0.5) -> tuple[Split, Split]:
        """The training split in two, stratified: for weights and for architecture weights.

        Args:
            seed: Of the division.
            fraction: Share of the first part, more than 0 and less than 1.

        Raises:
            ConfigError: A part would be empty.
        """
        from nas.training.data.splits import take

        count = round(fraction * len(self.train))
        if not 0 < count < len(self.train):
            raise ConfigError(
                f"a share of {fraction:g} of {len(self.train)} images leaves a part empty",
                "choose one between 0 and 1",
            )
        first, second = take(self.train.labels.numpy(), count, seed, keep=1)
        halves = (self.train.select(torch.from_numpy(part)) for part in (first, second))
        return next(halves), next(halves)
