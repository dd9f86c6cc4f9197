"""Seeds derived from what is asked, never from when or by whom it is done.

A work's seed depends on the run's seed and the work's key only, so a figure is the
same whichever worker computes it, in whatever order, before or after a resume.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from nas.core import seeds

BITS: Final = 31
"""What every generator takes as a seed, NumPy's old one included."""


def derive(seed: int, *parts: str) -> int:
    """A 31-bit seed from the run's `seed` and the parts of a name."""
    return seeds.derive(seed, *parts, joint="\x1f") >> (seeds.BITS - BITS)


class GlobalChance:
    """The global generators of Python, NumPy and (if it is loaded) torch.

    Training code that draws from them is a function of its seed when they are seeded before
    each work. What the caller had is kept from the first seeding on, for `restore`.
    """

    def __init__(self) -> None:
        self._kept = False
        self._python: tuple[Any, ...] = ()
        self._numpy: Mapping[str, Any] = {}
        self._torch: Any = None

    def seed(self, seed: int) -> None:
        """Make what is drawn from now on a function of `seed`."""
        torch = sys.modules.get("torch")
        if not self._kept:
            self._kept = True
            self._python = random.getstate()
            self._numpy = np.random.get_state(legacy=False)
        if torch is not None and self._torch is None:
            self._torch = torch.get_rng_state()
        random.seed(seed)
        np.random.seed(seed)
        if torch is not None:
            # torch.manual_seed would queue a call, with a printed stack, for every kind of device
            # that is not in use: milliseconds, and memory that grows with every work.
            torch.default_generator.manual_seed(seed)
            if torch.cuda.is_available():
                torch.cuda.manual_seed_all(seed)

    def restore(self) -> None:
        """Put back what the caller had; harmless when nothing was seeded."""
        if not self._kept:
            return
        self._kept = False
        random.setstate(self._python)
        np.random.set_state(dict(self._numpy))
        if self._torch is not None:
            sys.modules["torch"].set_rng_state(self._torch)
            self._torch = None
