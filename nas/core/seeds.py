"""Seeds derived from a name, never from when or by whom something is done."""

from __future__ import annotations

import hashlib
from typing import Final

BITS: Final = 63


def derive(seed: int, *parts: str | int, joint: str = "\0") -> int:
    """A seed for the purpose named by `parts`: 63 bits, independent for different parts.

    The text that is hashed is a part of every stored run: another one means other figures.

    Args:
        seed: What it is derived from.
        parts: Its name; `("ab", "c")` is another one than `("a", "bc")`.
        joint: What stands between them; no part may hold it.
    """
    text = joint.join([str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - BITS)
