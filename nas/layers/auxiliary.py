"""The head that helps a network's training and is no part of what is kept of it."""

from __future__ import annotations

from typing import Final

__all__ = ["AUXILIARY", "is_auxiliary"]

AUXILIARY: Final = "auxiliary_head"
"""The attribute of networks that have one; None where it is left out."""


def is_auxiliary(name: str) -> bool:
    """Whether a module or parameter of a network, by its qualified name, belongs to that head."""
    return name.partition(".")[0] == AUXILIARY
