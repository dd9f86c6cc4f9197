"""Arrays of a NumPy `.npz` file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.core.errors import ConfigError, DataError
from nas.training.data.raw import Pair, RawData, Request, as_images, as_labels, number_names

Arrays = Mapping[str, NDArray[Any]]

TRAIN = (("x_train", "y_train"), ("x", "y"), ("images", "labels"))
VALIDATION = (("x_val", "y_val"), ("x_valid", "y_valid"), ("x_validation", "y_validation"))
TEST = (("x_test", "y_test"),)
NAMES = ("classes", "class_names", "label_names")


def read_npz(argument: str, request: Request) -> RawData:
    """Images and labels of a file (see `TRAIN`, `VALIDATION`, `TEST` and `NAMES` for its keys).

    Labels are 0, 1, 2, ..., or text, which then names the classes.

    Raises:
        ConfigError: No file was named, or a size was given.
        DataError: The file is missing, cut, or holds something else.
    """
    if not argument:
        raise ConfigError("data set 'npz' needs a file", "say npz:FILE")
    request.refuse_size("npz")
    path = Path(argument).expanduser()
    if not path.is_absolute() and not path.exists() and (request.root / path).exists():
        path = request.root / path
    arrays = read_arrays(path)
    found = {
        "train": _keys(arrays, TRAIN),
        "validation": _keys(arrays, VALIDATION),
        "test": _keys(arrays, TEST),
    }
    if found["train"] is None:
        wanted = " or ".join(f"{x}, {y}" for x, y in TRAIN)
        held = ", ".join(arrays) or "nothing"
        raise DataError(f"{str(path)!r} holds {held}", f"expected {wanted}")
    pairs = {name: (arrays[keys[0]], arrays[keys[1]]) for name, keys in found.items() if keys}
    names = _class_names(arrays)
    if pairs["train"][1].dtype.kind in "US":
        names, pairs = _named_labels(pairs, names, path)
    made = {name: _pair(pair, f"{name} of {path.name}") for name, pair in pairs.items()}
    classes = names or number_names([labels for _, labels in made.values()])
    return RawData(classes, made["train"], made.get("validation"), made.get("test"))


def read_arrays(path: Path) -> Arrays:
    """All arrays of a NumPy `.npz` file; objects are refused.

    Raises:
        DataError: The file is missing, damaged or something else.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                return {key: loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise DataError(f"{str(path)!r} does not exist", "check the path") from None
    except Exception as error:  # a damaged archive can raise nearly anything
        if "pickle" in str(error):  # NumPy's own words go on to recommend what we never do
            reason = "it holds Python objects, or is no NumPy file"
            raise DataError(
                f"{str(path)!r} cannot be read: {reason}", "save arrays of numbers with numpy.savez"
            ) from None
        hint = "write it again with numpy.savez"
        raise DataError(f"{str(path)!r} cannot be read: {error}", hint) from error
    raise DataError(f"{str(path)!r} holds one array", "save images and labels with numpy.savez")


def _keys(arrays: Arrays, names: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    return next((pair for pair in names if pair[0] in arrays and pair[1] in arrays), None)


def _class_names(arrays: Arrays) -> tuple[str, ...]:
    for key in NAMES:
        if key in arrays and arrays[key].ndim == 1:
            return tuple(_text(name) for name in arrays[key])
    return ()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _named_labels(
    pairs: dict[str, tuple[NDArray[Any], NDArray[Any]]], names: tuple[str, ...], path: Path
) -> tuple[tuple[str, ...], dict[str, tuple[NDArray[Any], NDArray[Any]]]]:
    """Labels that are text, as numbers."""
    known = names or tuple(sorted({_text(label) for label in pairs["train"][1].ravel()}))
    number = {name: index for index, name in enumerate(known)}
    numbered = {}
    for part, (images, labels) in pairs.items():
        texts = [_text(label) for label in labels.ravel()]
        strange = next((text for text in texts if text not in number), None)
        if strange is not None:
            raise DataError(
                f"{part} of {path.name} has the label {strange!r}",
                f"expected one of {', '.join(known[:10])}",
            )
        numbered[part] = images, np.array([number[text] for text in texts], np.int64)
    return known, numbered


def _pair(pair: tuple[NDArray[Any], NDArray[Any]], what: str) -> Pair:
    images = as_images(pair[0], f"the images in {what}")
    return images, as_labels(pair[1], len(images), f"the labels in {what}")
