"""Each kind of choice on its own: what it accepts, what it refuses, its edges."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

from nas.core.choices import Categorical, Choice, Integer, Real, Subset
from nas.core.errors import SpaceError

from .trees import rng

CHILD = Integer("k", 1, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categorical("c", ()), "no options"),
        (lambda: Categorical("c", ("a", "a")), "equal"),
        (lambda: Categorical("c", (1, True)), "equal"),
        (lambda: Categorical("c", (1, 1.0)), "equal"),
        (lambda: Categorical("c", (None,)), "has the option None"),  # type: ignore[arg-type]
        (lambda: Categorical("c", (("a",),)), "has the option"),  # type: ignore[arg-type]
        (lambda: Categorical("c", ("a",), {"b": (CHILD,)}), "children under unknown 'b'"),
        (lambda: Categorical("c", (1,), {True: (CHILD,)}), "children under unknown True"),
        (lambda: Categorical("c", ("a",), {"a": (CHILD, CHILD)}), "have the same name"),
        (lambda: Subset("s", ("a", "b"), smallest=2, largest=1), "takes 2 to 1 of 2"),
        (lambda: Subset("s", ("a",), smallest=-1), "takes -1"),
        (lambda: Subset("s", ("a",), largest=2), "takes 0 to 2 of 1"),
        (lambda: Subset("s", ("a", "b"), {"a": (CHILD,), "b": (CHILD,)}), "share a child"),
        (lambda: Integer("i", 3, 1), "runs from 3 to 1"),
        (lambda: Integer("i", 1, 4, 2), "runs from 1 to 4 by 2"),
        (lambda: Integer("i", 1, 3, 0), "by 0"),
        (lambda: Integer("i", 1.0, 3), "no whole numbers"),  # type: ignore[arg-type]
        (lambda: Integer("i", False, True), "no whole numbers"),
        (lambda: Integer("i", 0, 2**60), "more than"),
        (lambda: Real("r", 1.0, 1.0), "ranges from"),
        (lambda: Real("r", 0.0, 1.0, log=True), "ranges from"),
        (lambda: Real("r", 0.0, math.inf), "ranges from"),
        (lambda: Real("r", math.nan, 1.0), "ranges from"),
        (lambda: Real("r", -1.7e308, 1.7e308), "ranges from"),
    ],
)
def test_impossible_choices_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make()


@pytest.mark.parametrize(
    ("choice", "value", "canonical"),
    [
        (Categorical("c", (1, 2)), 1, 1),
        (Categorical("c", (True, False)), True, True),
        (Subset("s", ("a", "b", "c")), ["c", "a"], ("a", "c")),
        (Subset("s", ("a",)), (), ()),
        (Integer("i", -2, 2, 2), 0, 0),
        (Real("r", 0, 1), 1, 1.0),
        (Real("r", -1, 1), -0.0, 0.0),
    ],
)
def test_values_become_canonical(choice: Choice, value: Any, canonical: Any) -> None:
    checked = choice.check(value)
    assert checked == canonical
    assert type(checked) is type(canonical)
    assert str(checked) == str(canonical)


@pytest.mark.parametrize(
    ("choice", "value"),
    [
        (Categorical("c", (1, 2)), True),
        (Categorical("c", (1, 2)), 1.0),
        (Categorical("c", (1, 2)), "1"),
        (Categorical("c", (True, False)), 1),
        (Categorical("c", (0.5, 1.0)), 1),
        (Categorical("c", ("a",)), ["a"]),
        (Categorical("c", ("a",)), {"a": 1}),
        (Subset("s", ("a", "b")), "a"),
        (Subset("s", ("a", "b")), ["a", "a"]),
        (Subset("s", ("a", "b")), {"a"}),
        (Subset("s", ("a", "b")), [["a"]]),
        (Subset("s", ("a", "b"), largest=1), ["a", "b"]),
        (Subset("s", (1, 2)), [True]),
        (Integer("i", 0, 4, 2), 1),
        (Integer("i", 0, 4, 2), 6),
        (Integer("i", 0, 4), "2"),
        (Real("r", 0, 1), "0.5"),
        (Real("r", 0, 1), True),
        (Real("r", 0, 1), math.nan),
        (Real("r", 0, 1), 10**400),
    ],
)
def test_values_of_another_kind_are_refused(choice: Choice, value: Any) -> None:
    with pytest.raises(SpaceError, match=f"choice '{choice.name}' has the value .*expected") as got:
        choice.check(value)
    assert "\n" not in str(got.value)


def test_choices_cannot_be_changed_but_copied() -> None:
    choice = Categorical("c", ("a", "b"), {"a": [CHILD]})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        choice.under["b"] = ()  # type: ignore[index]
    with pytest.raises(AttributeError):
        choice.name = "d"  # type: ignore[misc]
    for copied in (pickle.loads(pickle.dumps(choice)), copy.deepcopy(choice)):
        assert copied == choice
        assert hash(copied) == hash(choice)
        assert copied.children("a") == (CHILD,)
        with pytest.raises(TypeError):
            copied.under["b"] = ()


def test_ends_of_ranges_are_reached_exactly_and_are_floats() -> None:
    for choice in (
        Real("r", 1, 10),
        Real("r", 1, 10, log=True),
        Real("r", 1e-300, 1e300, log=True),
    ):
        for place in (0.0, 1.0):
            value = choice.decode([place], conditional=False)
            assert type(value) is float
            assert choice.check(value) == value
            assert choice.encode(value, conditional=False) == [pytest.approx(place)]
        values = [choice.draw(rng(i)) for i in range(50)]
        assert all(type(value) is float and choice.check(value) == value for value in values)


def test_a_range_of_two_floats_has_two_values() -> None:
    choice = Real("r", 1.0, math.nextafter(1.0, 2.0))
    assert 1.0 not in list(choice.nearby(1.0))
    assert choice.change(1.0, rng(0)) == choice.high


def test_wide_integers_are_not_listed() -> None:
    choice = Integer("i", 0, 10**12)
    changed = [choice.change(7, rng(i)) for i in range(20)]
    assert len(set(changed)) == 20
    assert list(choice.nearby(0)) == [1]
    assert choice.decode(choice.encode(10**12 - 1, False), False) == 10**12 - 1


def test_a_fixed_subset_cannot_change() -> None:
    assert not Subset("s", ("a", "b"), smallest=2).changeable
    assert not Subset("s", ("a", "b"), largest=0).changeable
    assert Subset("s", ("a", "b"), smallest=1, largest=1).changeable
    assert list(Subset("s", ("a", "b", "c"), smallest=1, largest=2).nearby(("b",))) == [
        ("a",),
        ("c",),
        ("a", "b"),
        ("b", "c"),
    ]
