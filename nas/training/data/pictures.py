"""Picture files to arrays of one size, with Pillow."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nas.core.errors import DataError
from nas.training.data.raw import Images

Source: TypeAlias = Path | io.BytesIO
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F"})


def decode_all(
    count: int,
    source: Callable[[int], Source],
    name: Callable[[int], str],
    *,
    size: int,
    grey: bool,
) -> Images:
    """Decode pictures to uint8 (count, 1 or 3, size, size).

    Each is turned as its EXIF orientation says, cropped to a centred square and scaled.

    Args:
        count: How many.
        source: File, or bytes of a file, of each.
        name: How messages name each.
        size: Side wanted.
        grey: One channel instead of three.

    Raises:
        DataError: One cannot be read; the message names it.
    """
    array = np.empty((count, 1 if grey else 3, size, size), np.uint8)

    def fill(index: int) -> None:
        array[index] = _decode(source(index), name(index), size, grey)

    with _giants_refused(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(fill, range(count)):
            pass
    return array


def look(paths: Iterable[Path]) -> list[tuple[tuple[int, int], bool]]:
    """Size (width, height) and greyness of pictures, from their headers.

    Raises:
        DataError: One is no picture; the message names it.
    """
    found = []
    with _giants_refused():
        for path in paths:
            with _opened(path, f"picture {str(path)!r}") as image:
                found.append((image.size, image.mode in GREY_MODES))
    return found


@contextmanager
def _giants_refused() -> Iterator[None]:
    """Pillow warns of pictures that are suspiciously large; here they are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _decode(source: Source, name: str, size: int, grey: bool) -> Images:
    with _opened(source, name) as opened:
        try:
            # JPEG can decode at a fraction of its size; keep twice what is needed.
            opened.draft(None, (2 * size, 2 * size))
            image = ImageOps.exif_transpose(_flat(opened))
            if image.size != (size, size):
                image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
        except Exception as error:  # damaged files make decoders raise nearly anything
            raise _unreadable(name, error) from error
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _opened(source: Source, name: str) -> Image.Image:
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        raise _unreadable(name, "it is no picture") from None
    except Exception as error:  # as above, and Pillow's own refusal of giant pictures
        raise _unreadable(name, error) from error


def _flat(image: Image.Image) -> Image.Image:
    """Eight bits a channel and no transparency (what is transparent becomes white)."""
    if image.mode.startswith("I") or image.mode == "F":
        pixels = np.asarray(image, np.float64)
        wide = image.mode.startswith("I;16") or pixels.max(initial=0) > 255
        scale = 255 / 65535 if wide else 1.0
        flat = Image.fromarray(np.rint(pixels * scale).clip(0, 255).astype(np.uint8))
        flat.info = image.info
        return flat
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, "white")
        return Image.alpha_composite(white, colour).convert("RGB")
    return image


def _unreadable(name: str, reason: object) -> DataError:
    return DataError(f"{name} cannot be read: {reason}", "mend or remove it")
