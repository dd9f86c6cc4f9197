"""Keeps what libraries log while they trace a network off the screen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

ROOTS: Final = ("torch", "onnxscript", "onnx_ir")
"""Loggers that, with all below them, are kept quiet."""


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Nothing is logged by the libraries of `ROOTS`; exceptions say what is wrong.

    Enter it with torch imported: its import sets levels anew.
    """
    below = tuple(f"{root}." for root in ROOTS)
    there = [logging.getLogger(root) for root in ROOTS]
    there += [
        logger
        for name, logger in list(logging.root.manager.loggerDict.items())
        if name.startswith(below) and isinstance(logger, logging.Logger) and logger.level
    ]
    levels = [logger.level for logger in there]
    try:
        for logger in there:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(there, levels, strict=True):
            logger.setLevel(level)
