"""CIFAR-10: the official python batches, or a packed form of JPEG copies."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.core.canonical import content_id
from nas.core.errors import DataError
from nas.training.data.cache import cached
from nas.training.data.npz import read_arrays
from nas.training.data.pictures import decode_all
from nas.training.data.raw import Images, Pair, RawData, Request, as_labels

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SIDE = 32
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
HINT = "unpack https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz there, or say cifar10:FOLDER"


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes in the old protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it has text in {encoding!r}")
    return text.encode("latin1")


# What the official files refer to, under the names of old and new NumPy; nothing here runs code.
SAFE_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    (module, "_reconstruct"): np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
}
SAFE_GLOBALS |= {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
SAFE_GLOBALS |= {("_codecs", "encode"): _latin1}


def read_cifar10(argument: str, request: Request) -> RawData:
    """The 50,000 training and 10,000 test images.

    Args:
        argument: The folder, or empty for `cifar10`, `cifar-10-batches-py` or the root itself
            under the data root.
        request: Its root is also where decoded arrays are kept.

    Raises:
        ConfigError: A size was given.
        DataError: There is no such folder, or a file in it is missing or damaged.
    """
    request.refuse_size("cifar10")
    folder = _folder(argument, request)
    read = _read_batches if (folder / BATCHES[0]).exists() else _read_packed
    train, test = read(folder, "train", request), read(folder, "test", request)
    return RawData(CLASSES, train, test=test)


def _folder(argument: str, request: Request) -> Path:
    if argument:
        places = [Path(argument).expanduser()]
    else:
        root = request.root
        places = [root / "cifar10", root]
    for place in places:
        for folder in (place, place / "cifar-10-batches-py"):
            if (folder / BATCHES[0]).exists() or (folder / "train_index.npz").exists():
                return folder
    raise DataError(f"there is no CIFAR-10 in {str(places[0])!r}", HINT)


class _Unpickler(pickle.Unpickler):
    """Reads arrays, text, numbers, lists and dictionaries, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        """The callable of that name, if it is one of `SAFE_GLOBALS`."""
        try:
            return SAFE_GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}") from None


def _read_batches(folder: Path, split: str, request: Request) -> Pair:
    names = BATCHES if split == "train" else ("test_batch",)
    images, labels = zip(*(_read_batch(folder / name) for name in names), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _read_batch(path: Path) -> Pair:
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
        data, labels = content[b"data"], np.asarray(content[b"labels"])
    except FileNotFoundError:
        raise DataError(f"{str(path)!r} does not exist", HINT) from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(
            f"{str(path)!r} is no CIFAR-10 batch: {error}", "unpack it again"
        ) from error
    size = 3 * SIDE * SIDE
    if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.shape[1:] == (size,)):
        raise DataError(f"{str(path)!r} is no CIFAR-10 batch", "unpack it again")
    return data.reshape(-1, 3, SIDE, SIDE), _labels(labels, len(data), path)


def _labels(labels: NDArray[Any], count: int, path: Path) -> NDArray[np.int64]:
    checked = as_labels(labels, count, f"the labels in {str(path)!r}")
    if count == 0 or checked.max() >= len(CLASSES):
        raise DataError(f"{str(path)!r} holds no labels from 0 to 9", "fetch it again")
    return checked


def _read_packed(folder: Path, split: str, request: Request) -> Pair:
    """JPEG files back to back in SPLIT.bin; their offsets and labels in SPLIT_index.npz."""
    path, index = folder / f"{split}.bin", folder / f"{split}_index.npz"
    arrays = read_arrays(index)
    try:
        offsets, labels = arrays["offsets"].astype(np.int64), arrays["labels"]
        size = path.stat().st_size
    except KeyError as error:
        raise DataError(f"{str(index)!r} has no {error}", "fetch it again") from None
    except FileNotFoundError:
        raise DataError(f"{str(path)!r} does not exist", HINT) from None
    if offsets.ndim != 1 or (np.diff(offsets) <= 0).any() or offsets[[0, -1]].tolist() != [0, size]:
        raise DataError(
            f"{str(path)!r} has {size} bytes and does not fit its index", "fetch it again"
        )
    count = len(offsets) - 1
    checked = _labels(labels, count, index)
    key = content_id([str(path.resolve()), size, path.stat().st_mtime_ns, count])

    def decode() -> Images:
        content = path.read_bytes()
        return decode_all(
            count,
            lambda i: io.BytesIO(content[offsets[i] : offsets[i + 1]]),
            lambda i: f"picture {i} of {str(path)!r}",
            size=SIDE,
            grey=False,
        )

    return cached(request.root, f"cifar10-{split}-{key}", decode), checked
