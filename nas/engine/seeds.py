"""Seeds derived from what is asked, never from when or by whom it is done.

A work's seed depends on the run's seed and the work's key only, so a figure is the
same whichever worker computes it, in whatever order, before or after a resume.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.random import mtrand


def derive(seed: int, *parts: str) -> int:
    """A 31-bit seed from the run's `seed` and the parts of a name (SHA-256)."""
    text = "\x1f".join((str(seed), *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


class Seeder:
    """Seeds the global generators of Python, NumPy and (if it is loaded) torch for a block.

    Training code that draws from them is then a function of its seed; the caller's own
    generators are put back afterwards. Blocks may be nested.
    """

    def __init__(self) -> None:
        # NumPy's global state takes long to copy; putting another generator in its place does not.
        self._spare: list[np.random.MT19937] = []

    @contextmanager
    def __call__(self, seed: int) -> Iterator[None]:
        """Seed for the block."""
        python, numpy = random.getstate(), mtrand.get_bit_generator()
        torch = sys.modules.get("torch")
        state = torch.get_rng_state() if torch is not None else None
        spare = self._spare.pop() if self._spare else np.random.MT19937(0)
        random.seed(seed)
        mtrand.set_bit_generator(spare)
        np.random.seed(seed)
        if torch is not None:
            torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            mtrand.set_bit_generator(numpy)
            self._spare.append(spare)
            if torch is not None and state is not None:
                torch.set_rng_state(state)
