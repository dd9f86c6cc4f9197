"""A person's own folder of pictures: one sub-folder per class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nas.core.canonical import content_id
from nas.core.errors import ConfigError, DataError
from nas.training.data.cache import cached
from nas.training.data.pictures import decode_all, look
from nas.training.data.raw import Pair, RawData, Request

PHOTOS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp")
SCANS = (".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
ENDINGS = frozenset({*PHOTOS, *SCANS})
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
DEFAULT_SIZE = 32
LARGEST_NATIVE = 64
Tree = dict[str, list[Path]]
"""Class name to its pictures."""


def read_images(argument: str, request: Request) -> RawData:
    """Pictures of any size and mode under FOLDER/CLASS/, or FOLDER/train/CLASS/ and so on.

    Hidden files and files of other kinds are passed over; folders within a class belong to it.
    Without `request.image_size`, pictures that are all one square of at most 64 keep their size
    and others are brought to 32. If all are grey the images have one channel.

    Raises:
        ConfigError: No folder was named.
        DataError: The folder or its classes are missing, or a picture cannot be read.
    """
    if not argument:
        raise ConfigError("data set 'images' needs a folder", "say images:FOLDER")
    folder = Path(argument).expanduser()
    if not folder.is_absolute() and not folder.exists() and (request.root / folder).exists():
        folder = request.root / folder
    if not folder.is_dir():
        raise DataError(f"{str(folder)!r} is no folder", "check the path after images:")
    trees = _splits(folder)
    classes = tuple(sorted(trees["train"]))
    _check(trees, classes, folder)
    files = [path for tree in trees.values() for paths in tree.values() for path in paths]
    size, grey = _form(files, request.image_size)
    pairs = {
        name: _pair(tree, classes, folder, request, size, grey) for name, tree in trees.items()
    }
    return RawData(classes, pairs["train"], pairs.get("validation"), pairs.get("test"))


def _splits(folder: Path) -> dict[str, Tree]:
    """The classes of each split; of "train" alone if the folder has no split folders."""
    subs = list(_folders(folder))
    names = [SPLIT_NAMES.get(sub.name.lower(), "") for sub in subs]
    split = "train" in names and all(names) and all(any(_folders(sub)) for sub in subs)
    if not split:
        return {"train": _classes(folder)}
    if len(set(names)) < len(names):
        raise DataError(f"{str(folder)!r} has two folders for one split", "join or rename them")
    return {name: _classes(sub) for name, sub in zip(names, subs, strict=True)}


def _classes(folder: Path) -> Tree:
    return {sub.name: list(_pictures(sub)) for sub in _folders(folder)}


def _folders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not _hidden(path):
            yield path


def _pictures(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if _hidden(path):
            continue
        if path.is_dir():
            yield from _pictures(path)
        elif path.suffix.lower() in ENDINGS:
            yield path


def _hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))


def _check(trees: dict[str, Tree], classes: tuple[str, ...], folder: Path) -> None:
    if not classes:
        raise DataError(
            f"{str(folder)!r} has no sub-folders", "put the pictures of each class in its own"
        )
    for split, tree in trees.items():
        strange = sorted(set(tree) - set(classes))
        if strange:
            raise DataError(
                f"class {strange[0]!r} is in the {split} folder of {str(folder)!r} "
                "and not in the train folder",
                "name classes alike",
            )
        if not any(tree.values()):
            raise DataError(f"the {split} folder of {str(folder)!r} has no picture", "add some")
    empty = [name for name in classes if not trees["train"][name]]
    if empty:
        endings = ", ".join(sorted(ENDINGS))
        raise DataError(
            f"class folder {empty[0]!r} of {str(folder)!r} has no picture",
            f"remove it or add some ({endings})",
        )


def _form(files: list[Path], image_size: int | None) -> tuple[int, bool]:
    """Side to bring the pictures to, and whether they all are grey."""
    looks = look(files)
    grey = all(is_grey for _, is_grey in looks)
    if image_size is not None:
        return image_size, grey
    sizes = {size for size, _ in looks}
    width, height = next(iter(sizes))
    native = len(sizes) == 1 and width == height <= LARGEST_NATIVE
    return (width if native else DEFAULT_SIZE), grey


def _pair(
    tree: Tree, classes: tuple[str, ...], folder: Path, request: Request, size: int, grey: bool
) -> Pair:
    files = [path for name in classes for path in tree.get(name, [])]
    labels = [label for label, name in enumerate(classes) for _ in tree.get(name, [])]
    stats = [(str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    key = content_id([str(folder.resolve()), stats, size, grey])
    images = cached(
        request.root,
        f"images-{key}",
        lambda: decode_all(
            len(files),
            files.__getitem__,
            lambda index: f"picture {str(files[index])!r}",
            size=size,
            grey=grey,
        ),
    )
    return images, np.array(labels, np.int64)
