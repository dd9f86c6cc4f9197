"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np

from nas.core.errors import ConfigError
from nas.training.data.raw import RawData, Request

LEVELS = 16
"""The source has grey levels from 0 to 16 in an 8x8 image."""


def read_digits(argument: str, request: Request) -> RawData:
    """The 1,797 images, from the installed package.

    Raises:
        ConfigError: An argument or a size was given.
    """
    from sklearn.datasets import load_digits

    if argument:
        raise ConfigError(f"data set 'digits' takes no argument, got {argument!r}", "say digits")
    request.refuse_size("digits")
    source = load_digits()
    images = np.rint(source.images * (255 / LEVELS)).astype(np.uint8)[:, None]
    return RawData(
        tuple(str(digit) for digit in range(10)), (images, source.target.astype(np.int64))
    )
