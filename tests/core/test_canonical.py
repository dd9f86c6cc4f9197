"""Canonical JSON: one text per value, whatever it was made of; nothing that is no JSON."""

from __future__ import annotations

import enum
import hashlib
import json
import math
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.canonical import canonical_json, content_id, frozen, plain

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | floats | text
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
)


class Word(str, enum.Enum):  # noqa: UP042 - other people's enumerations look like this
    RELU = "relu"


def kinds(value: Any) -> Any:
    """The value with the name of every scalar's type, to tell 1, 1.0 and True apart."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [kinds(item) for item in value]
    return type(value).__name__, value


@given(values)
def test_round_trip(value: Any) -> None:
    text = canonical_json(value)
    assert kinds(json.loads(text)) == kinds(plain(value))
    assert canonical_json(json.loads(text)) == text
    assert canonical_json(frozen(value)) == text
    text.encode("ascii")


@given(st.dictionaries(text, scalars, min_size=2, max_size=5))
def test_key_order_does_not_matter(value: dict[str, Any]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical_json(backwards) == canonical_json(value)
    assert list(frozen(backwards)) == list(frozen(value)) == sorted(value)


def test_the_text_and_its_hash_are_what_they_are_said_to_be() -> None:
    text = '{"a":[1,1.0,true,null],"b":"\\u00e9"}'
    assert canonical_json({"b": "é", "a": (1, 1.0, True, None)}) == text
    assert (
        content_id({"b": "é", "a": (1, 1.0, True, None)})
        == (hashlib.sha256(text.encode()).hexdigest()[:16])
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.1), "0.1"),
        (np.float32(0.5), "0.5"),
        (np.int64(3), "3"),
        (np.bool_(True), "true"),
        (np.array(2.0), "2.0"),
        (np.str_("a"), '"a"'),
        (Word.RELU, '"relu"'),
        (-0.0, "0.0"),
        (1e16, "1e+16"),
        (OrderedDict(a=1), '{"a":1}'),
        (MappingProxyType({"a": ()}), '{"a":[]}'),
    ],
)
def test_kin_of_plain_values(value: Any, expected: str) -> None:
    assert canonical_json(value) == expected
    assert type(plain(value)) in (float, int, bool, str, dict)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        [-math.inf],
        {"a": np.float32("nan")},
        {1: 2},
        {"a": {None: 1}},
        {1: 2, "a": 3},
        pytest.param(2**1025, id="long"),
        pytest.param(-(10**5000), id="no text"),
        pytest.param("\ud800", id="half"),
        pytest.param({"\udfff": 1}, id="half key"),
    ],
)
def test_what_has_no_canonical_form(value: Any) -> None:
    for function in (plain, frozen, canonical_json, content_id):
        with pytest.raises(ValueError, match=r"[a-z]"):
            function(value)


@pytest.mark.parametrize("value", [{1, 2}, b"a", object(), np.zeros(2), 1j, [lambda: 1]])
def test_what_is_no_json(value: Any) -> None:
    for function in (plain, frozen, canonical_json, content_id):
        with pytest.raises(TypeError, match="no canonical form"):
            function(value)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    mapping: Any = {}
    for _ in range(5_000):
        mapping = {"a": mapping}
    for value in (deep, mapping):
        for function in (plain, frozen, canonical_json, content_id):
            with pytest.raises(ValueError, match="nested too deeply"):
                function(value)
    while deep:  # Python 3.11 frees nested lists recursively
        deep = deep[0]


def test_frozen_data_cannot_be_changed() -> None:
    source = {"b": [1, {"c": 2}], "a": 0}
    kept = frozen(source)
    source["b"].append(3)  # type: ignore[attr-defined]
    assert kept == {"a": 0, "b": (1, {"c": 2})}
    with pytest.raises(TypeError):
        kept["a"] = 1
    with pytest.raises(TypeError):
        kept["b"][1]["c"] = 1
