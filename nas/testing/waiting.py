"""Finding out whether the host waits for the device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["no_waiting"]


@contextmanager
def no_waiting() -> Iterator[None]:
    """Within, whatever makes the host wait for a CUDA device raises a RuntimeError.

    Reading a value, asking how many elements are not zero, a copy from memory that is not pinned:
    after each the device has nothing to do until the host has launched something new. What was
    launched before is awaited first, and off CUDA devices nothing is found.
    """
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's that the mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
