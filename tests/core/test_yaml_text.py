"""YAML: what plain scalars mean, what is refused, round trips."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from nas.core.yaml_text import dump_yaml, load_yaml, read_scalar

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
WORDS = "yes no on off null ~ true 1e5 010 0x1f 1:30 2024-01-01 .5 5. .inf = <<"
words = st.sampled_from(WORDS.split())
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | text | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text | words, inner, max_size=4),
)


def kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [kinds(item) for item in value]
    return type(value).__name__, value


@given(values)
@example({"\x85": None})
@example(["\u2028", "a\nb", "\r\n", "a\tb", "\x1b", "\ufeff", "\U0001f600", "\ue000"])
def test_what_is_written_is_read_back(value: Any) -> None:
    written = dump_yaml(value)
    assert kinds(load_yaml(written)) == kinds(value)


@given(values)
def test_other_readers_agree_with_what_is_written(value: Any) -> None:
    assert kinds(yaml.safe_load(dump_yaml(value))) == kinds(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 0.0003),
        ("1e5", 100000.0),
        ("5.", 5.0),
        (".5", 0.5),
        ("-1.5E+3", -1500.0),
        ("10", 10),
        ("+10", 10),
        ("010", 10),
        ("1_000_000", 1_000_000),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("off", "off"),
        ("tRue", "tRue"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("0x1f", "0x1f"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("nan", "nan"),
        ("1_", "1_"),
        ("1e", "1e"),
        ("=", "="),
        ("٣", "٣"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_plain_scalars(text: str, value: Any) -> None:
    assert kinds(read_scalar(text)) == kinds(value)
    assert kinds(load_yaml(f"[{text}]")) == kinds([value] if text else [])
    assert load_yaml(f"- '{text}'") == [text]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x 1\nb: *x", "aliases are not read.*line 2"),
        ("a: &a [*a]", "aliases"),
        ("*x", "aliases"),
        ("!!python/object/apply:os.system ['true']", "tags are not read"),
        ("a: !!binary aGk=", "tags"),
        ("a: ! x", "tags"),
        ("a: 1\nb: 2\na: 3", "'a' occurs twice.*line 3"),
        ("1: 2", "a key is no text.*line 1"),
        ("true: 2", "a key is no text"),
        ("? [a]\n: 1", "a key is no text"),
        ("~: 1", "a key is no text"),
        ("a: 1e999", "too large"),
        ("a: -1e999", "too large"),
        ("a: " + "9" * 301, "a number of 301 characters"),
        ("a: 0." + "9" * 301, "a number of 303 characters"),
        ('a: "\\ud800"', "half a surrogate pair"),
        ('"\\udfff": 1', "half a surrogate pair"),
        ("a: b: c", "line 1"),
        ("a: [1", "line 1"),
        ("a:\n\t- 1", "line 2"),
        ("--- 1\n--- 2", "another document"),
        ("a: \x00", "unacceptable character"),
        ("[" * 100_000, "nested deeper"),
        ("{a: " * 50_000, "nested deeper"),
        ("- " * 50_000, "nested deeper"),
        ("\n".join(" " * i + "a:" for i in range(300)), "nested deeper"),
    ],
    ids=range(26),
)
def test_what_is_refused(text: str, reason: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=reason) as got:
        load_yaml(text)
    assert "\n" not in str(got.value)
    assert time.process_time() - began < 2


def test_a_merge_key_is_an_ordinary_key() -> None:
    assert load_yaml("{a: 1, <<: {b: 2}}") == {"a": 1, "<<": {"b": 2}}


@pytest.mark.parametrize(
    "text",
    [
        ":".join(["1"] * 50_000),
        "a: " + "1" * 99_000,
        "a: 0x" + "f" * 99_000,
        "[" + "1," * 49_000 + "]",
        "\n".join(f"k{i}: v" for i in range(9_000)),
        "a: '" + "\\" * 99_000,
        "# " + "x" * 99_000,
        "a: |\n" + " x\n" * 33_000,
        "? " * 40_000,
        "- \n" * 33_000,
        "&a " * 30_000,
        "{" + "a" * 50_000,
        '"' + "\\x41" * 20_000 + '"',
    ],
    ids=range(13),
)
def test_a_hundred_kilobytes_take_seconds_at_most(text: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ValueError):
        load_yaml(text)
    assert time.process_time() - began < 8


def test_a_document_may_be_empty() -> None:
    for text in ("", "\n", "# only a comment", "---", "\ufeff"):
        assert load_yaml(text) is None
    assert load_yaml("\ufeffa: 1") == {"a": 1}
    assert math.isclose(load_yaml("1.5"), 1.5)
