"""Data sets by name: `digits`, `cifar10[:FOLDER]`, `images:FOLDER`, `npz:FILE`.

Importing this package does not import torch or NumPy: `DATASETS` is a lazy table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nas.core.registry import Registry

if TYPE_CHECKING:
    from nas.training.data.dataset import DataSet
    from nas.training.data.raw import Reader

__all__ = ["DATASETS", "load_data"]

DATASETS: Registry[Reader] = Registry("data set", "nas.datasets")
DATASETS.add(
    "digits",
    "nas.training.data.digits:read_digits",
    "1,797 grey 8x8 digits that come with scikit-learn; nothing to download",
)
DATASETS.add(
    "cifar10",
    "nas.training.data.cifar10:read_cifar10",
    "60,000 colour 32x32 pictures: cifar10 or cifar10:FOLDER (official python batches)",
)
DATASETS.add(
    "images",
    "nas.training.data.images:read_images",
    "your own pictures: images:FOLDER with one sub-folder per class",
)
DATASETS.add(
    "npz",
    "nas.training.data.npz:read_npz",
    "arrays of a NumPy file: npz:FILE with x, y or x_train, y_train, x_test, y_test",
)


def load_data(
    spec: str,
    seed: int = 0,
    root: Path | str | None = None,
    *,
    limit: int | None = None,
    image_size: int | None = None,
    validation: float | None = None,
    one_class: bool = False,
) -> DataSet:
    """Read a data set and split it, stratified by class.

    The test split is the one the data comes with; where there is none it is a fixed fifth of
    the images, equal for every `seed`, so that no run of a series trains on another's test
    images. `seed` decides between training and validation.

    Args:
        spec: Name, or name:argument, of a member of `DATASETS`.
        seed: Of the training and validation splits, and of what `limit` keeps.
        root: Folder that data is looked for and cached in; by default the environment
            variable NAS_DATA, else `./data`.
        limit: Keep at most so many images of each split (stratified), for quick trials.
        image_size: Side of the square that the pictures of a folder are brought to.
        validation: Share of the training images held out, more than 0 and less than 1. By
            default 0.1 where there is a test split and 0.2 where there is none; a
            validation split that the data comes with is used as it is.
        one_class: Take data that has one class only: for what classifies nothing.

    Raises:
        PluginError: No data set has that name.
        ConfigError: The argument or an option makes no sense for it.
        DataError: Something is missing, unreadable or inconsistent.
    """
    from nas.training.data.load import load

    folder = None if root is None else Path(root)
    return load(
        spec,
        seed,
        folder,
        limit=limit,
        image_size=image_size,
        validation=validation,
        one_class=one_class,
    )
