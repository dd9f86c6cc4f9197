"""Canonical JSON and the content hashes made of it.

Two equal things have the same text on every machine and in every process:
keys sorted, no spaces, no NaN, tuples as lists.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

JSON: TypeAlias = (
    "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"  # as read and written
)

ID_DIGITS = 16


def plain(value: Any) -> Any:
    """A copy of `value` made of dict, list, str, int, float, bool and None only.

    Raises:
        TypeError: A part of it has no JSON form.
        ValueError: A float is NaN or infinite, or a mapping's key is not text.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no canonical form")
        return float(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"key {key!r} is not text")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a NumPy scalar
        return plain(value.item())
    raise TypeError(f"{type(value).__name__} has no canonical form")


def frozen(value: Any) -> Any:
    """An immutable copy: mappings read-only and sorted by key, sequences as tuples."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: frozen(value[key]) for key in sorted(value)})
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    return plain(value)


def canonical_json(value: Any) -> str:
    """The one text of `value` (see `plain` for what may be in it)."""
    return json.dumps(
        plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def content_id(value: Any) -> str:
    """Sixteen hexadecimal digits (64 bits) of SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:ID_DIGITS]
