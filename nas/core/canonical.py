"""Canonical JSON and the content hashes made of it.

Two equal things have the same text on every machine and in every process:
keys sorted, no spaces, no NaN, tuples as lists.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence, Sized
from types import MappingProxyType
from typing import Any, Final, TypeAlias

JSON: TypeAlias = (
    "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"  # as read and written
)

ID_DIGITS = 16
_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})
MAX_DEPTH = 64
"""How deep data may be nested; deeper data is hostile or a mistake, and would exhaust the stack."""
_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=dict
)
_SMALL: Final = 2**62
MAX_INT_BITS = 1024
"""Longer whole numbers are refused: neither text nor floats can be made of them safely."""


def plain(value: Any) -> Any:
    """A copy of `value` made of dict, list, str, int, float, bool and None only.

    NumPy scalars become Python numbers, minus zero becomes zero.

    Raises:
        TypeError: A part of it has no JSON form.
        ValueError: A float is NaN or infinite, a whole number has more than 1,024 bits, a
            mapping's key is not text, a text has half a surrogate pair, or the nesting is deeper
            than 64.
    """
    return _plain(value, MAX_DEPTH)


def frozen(value: Any) -> Any:
    """An immutable copy: mappings read-only and sorted by key, sequences as tuples.

    Raises:
        TypeError, ValueError: As `plain`, but for a nesting deeper than 32.
    """
    if type(value) is dict and not value:
        return _EMPTY
    return _frozen(_plain(value, MAX_DEPTH // 2))  # what is kept can still be wrapped


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)  # exact types first, which is most of what there is: the rest is slow to ask
    if kind is str:
        return value if value.isascii() else _text(value)
    if kind is bool or value is None or (kind is int and -_SMALL < value < _SMALL):
        return value
    if kind is dict or kind is MappingProxyType or isinstance(value, Mapping):
        below = _deeper(depth, value)
        return {
            key if type(key) is str and key.isascii() else _key(key): _plain(item, below)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        below = _deeper(depth, value)
        return [_plain(item, below) for item in value]
    return _scalar(value)


def _deeper(depth: int, value: Sized) -> int:
    if depth == 0 and len(value):
        raise ValueError("data nested too deeply")
    return depth - 1


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"key {key!r} is not text")
    return _text(key)


def _text(value: str) -> str:
    if not value.isascii():
        value.encode()  # half a surrogate pair could never be written to a file
    return str.__str__(value)  # an enumeration's member or NumPy's text becomes plain text


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        if int(value).bit_length() > MAX_INT_BITS:
            raise ValueError(f"a whole number of {int(value).bit_length()} bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no canonical form")
        return float(value) + 0.0  # -0.0 equals 0.0 and must have the same text
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _scalar(value.item())  # a NumPy scalar
    raise TypeError(f"{type(value).__name__} has no canonical form")


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(value[key]) for key in sorted(value)})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value


def canonical_json(value: Any) -> str:
    """The one text of `value` (see `plain` for what may be in it)."""
    return _ENCODER.encode(plain(value))


def content_id(value: Any) -> str:
    """Sixteen hexadecimal digits (64 bits) of SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:ID_DIGITS]


def frozen_id(value: Mapping[str, Any]) -> str:
    """As `content_id` for what is made of `frozen` parts, which need no second look."""
    return hashlib.sha256(_ENCODER.encode(value).encode()).hexdigest()[:ID_DIGITS]
