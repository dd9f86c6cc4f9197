"""What a reader gives: arrays as they were found, brought to one form and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas.core.errors import ConfigError, DataError

Images: TypeAlias = NDArray[np.uint8]
"""(n, channels, height, width), 1 or 3 channels."""
Labels: TypeAlias = NDArray[np.int64]
"""(n,), from 0 to classes - 1."""
Pair: TypeAlias = tuple[Images, Labels]

COLOURS = (1, 3)

MAX_LABEL = 999_999
"""A larger number is no class: counting up to it would take the machine's memory."""


@dataclass(frozen=True)
class Request:
    """What a reader is asked for beside its argument.

    Attributes:
        root: Folder that data is looked for and cached in.
        image_size: Side that pictures are brought to, or None for the reader's choice.
    """

    root: Path
    image_size: int | None = None

    def refuse_size(self, name: str) -> None:
        """For data whose images have a size of their own.

        Raises:
            ConfigError: A size was asked for.
        """
        if self.image_size is not None:
            raise ConfigError(
                f"image_size = {self.image_size} does not go with {name}",
                "leave it out; only images:FOLDER is scaled",
            )


@dataclass(frozen=True)
class RawData:
    """The images of a data set before they are split.

    Attributes:
        classes: Class names in the order of the labels.
        train: Images that training, and the splits that are missing, are made from.
        validation: The validation split, if the data comes with one.
        test: The test split, if the data comes with one.
    """

    classes: tuple[str, ...]
    train: Pair
    validation: Pair | None = None
    test: Pair | None = None


class Reader(Protocol):
    """A registered data set."""

    def __call__(self, argument: str, request: Request) -> RawData:
        """Read it; `argument` is what follows the colon of its name, maybe empty."""
        ...


def as_images(array: NDArray[Any], what: str) -> Images:
    """`array` as uint8 (n, channels, height, width).

    Args:
        array: (n, height, width), (n, height, width, channels) or (n, channels, height, width),
            with 1 or 3 channels; whole numbers from 0 to 255, or real ones from 0 to 1 or from
            0 to 255.
        what: How messages name it.

    Raises:
        DataError: The shape or the values are none of these.
    """
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in COLOURS:
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1] not in COLOURS:
        raise DataError(
            f"{what} have the shape {array.shape}",
            "expected (n, height, width), (n, height, width, 1 or 3) or (n, 1 or 3, height, width)",
        )
    if array.size == 0:
        raise DataError(f"{what} hold no image", "expected at least one")
    return np.ascontiguousarray(_as_bytes(array, what))


def _as_bytes(array: NDArray[Any], what: str) -> Images:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what} are of type {array.dtype}", "expected numbers")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{what} hold values that are no numbers", "remove NaN and infinity")
    if low < 0 or high > 255:
        raise DataError(
            f"{what} have values from {low:g} to {high:g}",
            "give pixels from 0 to 255 or from 0 to 1; they are normalised here",
        )
    scale = 255.0 if array.dtype.kind == "f" and high <= 1 else 1.0
    return np.rint(array * scale).astype(np.uint8)


def as_labels(array: NDArray[Any], count: int, what: str) -> Labels:
    """`array` as int64 (count,), whole numbers of at least 0.

    Raises:
        DataError: It is not as long as the images, or holds something else.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,):
        raise DataError(
            f"{what} have the shape {array.shape}", f"expected one label for each of {count} images"
        )
    if array.dtype.kind not in "iubf":
        raise DataError(f"{what} are of type {array.dtype}", "expected whole numbers")
    labels = array.astype(np.int64)
    if not np.array_equal(labels, array):
        raise DataError(f"{what} hold numbers that are not whole", "expected 0, 1, 2, ...")
    if labels.min() < 0:
        raise DataError(f"{what} hold the label {labels.min()}", "labels start at 0")
    if labels.max() > MAX_LABEL:
        raise DataError(
            f"{what} hold the label {labels.max()}", f"labels are 0, 1, 2, ..., at most {MAX_LABEL}"
        )
    return labels


def check_classes(raw: RawData, what: str, least: int = 2) -> None:
    """Check that labels and classes belong together and splits have one shape.

    Raises:
        DataError: There are fewer than `least` classes, a class without training images, a label
            out of range, or a split whose images have another shape.
    """
    count = len(raw.classes)
    if count < least:
        only = f" ({raw.classes[0]!r})" if raw.classes else ""
        raise DataError(f"{what} has {count} class{only}", "a classifier needs two or more")
    for name, pair in (("train", raw.train), ("validation", raw.validation), ("test", raw.test)):
        if pair is None:
            continue
        images, labels = pair
        if labels.max() >= count:
            raise DataError(
                f"the {name} labels of {what} reach {labels.max()}",
                f"there are {count} classes, so labels go from 0 to {count - 1}",
            )
        if images.shape[1:] != raw.train[0].shape[1:]:
            raise DataError(
                f"the {name} images of {what} have the shape {images.shape[1:]}",
                f"expected {raw.train[0].shape[1:]} as in the training split",
            )
    sizes = np.bincount(raw.train[1], minlength=count)
    if not sizes.all():
        missing = raw.classes[int(np.argmin(sizes))]
        raise DataError(f"class {missing!r} of {what} has no training image", "add some")


def number_names(labels: Sequence[Labels]) -> tuple[str, ...]:
    """Names "0", "1", ... for the classes of data that names none."""
    return tuple(str(index) for index in range(1 + max(int(part.max()) for part in labels)))
