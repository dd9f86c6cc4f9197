"""Architectures, recipes and candidates: immutable, compared by id, read with suspicion."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest
from hypothesis import given

from nas.core.architecture import Architecture, Candidate, Recipe, read_envelope, same_content
from nas.core.choices import Categorical, Subset
from nas.core.errors import ConfigError, NasError, SpaceError, UnsupportedError
from nas.core.tree import ChoiceTree

from .test_canonical import values
from .trees import ToySpace, rng

SPACE = ToySpace(ChoiceTree((Categorical("op", ("a", "b")), Subset("in", (0, 1, 2)))))
MEMBER = SPACE.architecture({"op": "a", "in": [2, 0]})


def test_what_is_equal_has_one_hash_and_what_is_not_has_another_id() -> None:
    for make in (
        lambda value: Architecture("toy", {"x": value}),
        lambda value: Recipe({"x": value}),
        lambda value: Candidate(MEMBER, scale={"x": value}),
    ):
        one, true, point = make(1), make(True), make(1.0)
        assert len({one, true, point}) == 3
        assert len({one.id, true.id, point.id}) == 3
        assert one != true != point != one
        assert make((1, 2)) == make([1, 2])
        assert hash(make((1, 2))) == hash(make([1, 2]))
        assert make(0.0) == make(-0.0)
        assert one != object()


def test_they_cannot_be_changed() -> None:
    candidate = Candidate(MEMBER, Recipe({"a": {"b": [1]}}), {"layers": 8})
    for mapping in (MEMBER.choices, candidate.recipe.settings, candidate.scale):  # type: ignore[union-attr]
        with pytest.raises(TypeError):
            mapping["new"] = 1  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        MEMBER.space = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        candidate.recipe = None  # type: ignore[misc]
    given = {"layers": 8}
    candidate = Candidate(MEMBER, scale=given)
    before = candidate.id
    given["layers"] = 9
    assert Candidate(MEMBER, scale=candidate.scale).id == before


@pytest.mark.parametrize("recipe", [None, Recipe({}), Recipe({"lr": 3e-4, "augment": ["flip"]})])
@pytest.mark.parametrize("scale", [{}, {"channels": 16, "auxiliary": True}])
def test_candidates_round_trip(recipe: Recipe | None, scale: dict[str, Any]) -> None:
    candidate = Candidate(MEMBER, recipe, scale)
    for back in (
        Candidate.from_dict(json.loads(json.dumps(candidate.to_dict()))),
        pickle.loads(pickle.dumps(candidate)),
        copy.deepcopy(candidate),
    ):
        assert back == candidate
        assert back.id == candidate.id
        assert back.to_dict() == candidate.to_dict()


def test_a_bare_candidate_has_its_architectures_id() -> None:
    assert Candidate(MEMBER).id == MEMBER.id
    assert len({Candidate(MEMBER).id, Candidate(MEMBER, Recipe({})).id}) == 2


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


ENVELOPE = MEMBER.to_dict()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {},
        {"architecture": None},
        {"architecture": []},
        {"architecture": {"format": 1}},
        {"architecture": {"format": 1, "space": "toy", "choices": []}},
        {"architecture": {**ENVELOPE, "format": True}},
        {"architecture": {**ENVELOPE, "format": "1"}},
        {"architecture": {**ENVELOPE, "format": 2}},
        {"architecture": {**ENVELOPE, "space": None}},
        {"architecture": {**ENVELOPE, "choices": {"a": deep(500)}}},
        {"architecture": {**ENVELOPE, "choices": {"a": float("nan")}}},
        {"architecture": {**ENVELOPE, "choices": {"a": "\ud800"}}},
        {"architecture": {**ENVELOPE, "choices": {1: 1}}},
        {"architecture": ENVELOPE, "recipe": "sgd"},
        {"architecture": ENVELOPE, "recipe": []},
        {"architecture": ENVELOPE, "recipe": {"lr": float("inf")}},
        {"architecture": ENVELOPE, "scale": None},
        {"architecture": ENVELOPE, "scale": [8]},
        {"architecture": ENVELOPE, "scale": {"layers": 10**5000}},
    ],
)
def test_what_is_no_candidate_is_refused(data: Any) -> None:
    with pytest.raises(ConfigError) as got:
        Candidate.from_dict(data)
    assert str(got.value).isprintable()


@given(values)
def test_reading_anything_gives_a_candidate_or_an_error(data: Any) -> None:
    for value in (data, {"architecture": data}, {"architecture": ENVELOPE, "recipe": data}):
        try:
            assert Candidate.from_dict(value).id
        except ConfigError:
            continue


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, newer than 1; update nas"),
        ({"format": 0}, "the format 0"),
        ({"format": 1.0}, r"the format 1\.0"),
        ({"space": "darts"}, "of the space 'darts'; expected 'toy'"),
        ({"space": 3}, "lacks the name of its space"),
        ({"id": "0" * 16}, "says its id is"),
        ({"id": None}, "says its id is None"),
        ({"choices": {"op": "b", "in": [0, 2]}}, "says its id is"),
        ({"choices": {"op": "z", "in": []}}, "choice 'op' has the value 'z'"),
        ({"choices": {"op": "a"}}, "choice 'in' has no value"),
        ({"choices": None}, "lacks the name of its space or its choices"),
    ],
)
def test_edited_files_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SPACE.from_dict({**ENVELOPE, **change})


def test_an_id_may_be_left_out() -> None:
    data = {key: value for key, value in ENVELOPE.items() if key != "id"}
    assert SPACE.from_dict(data) == MEMBER
    assert read_envelope(data)[0] == "toy"


def test_a_space_takes_only_its_own_members() -> None:
    stranger = Architecture("other", MEMBER.choices)
    for use in (
        lambda: SPACE.mutate(stranger, rng(0)),
        lambda: SPACE.crossover(MEMBER, stranger, rng(0)),
        lambda: SPACE.neighbors(stranger),
        lambda: SPACE.encode(stranger),
    ):
        with pytest.raises(SpaceError, match="of the space 'other'; expected 'toy'"):
            use()


def test_a_space_derives_everything_from_its_tree() -> None:
    members = list(SPACE.enumerate())
    assert len({member.id for member in members}) == SPACE.size == 16
    assert all(SPACE.decode(SPACE.encode(member)) == member for member in members)
    assert set(SPACE.neighbors(MEMBER)) < set(members)
    assert SPACE.crossover(MEMBER, MEMBER, rng(0)) == MEMBER
    assert SPACE.mutate(MEMBER, rng(0)) in set(SPACE.neighbors(MEMBER))
    assert SPACE.canonical(MEMBER) is MEMBER
    assert (dict(SPACE.members), dict(SPACE.scale)) == ({}, {})
    for use in (lambda: SPACE.parse("x"), lambda: SPACE.format(MEMBER), SPACE.supernet):
        with pytest.raises(UnsupportedError):
            use()


@pytest.mark.parametrize("kind", NasError.__subclasses__())
def test_errors_are_one_printable_line(kind: type[NasError]) -> None:
    error = kind("two\nlines \x1b[2J \ud800 " + "x" * 10_000, "a\thint")
    text = str(error)
    assert text.isprintable()
    assert len(text) < 1000
    assert text.startswith("two lines \\x1b[2J \\ud800 x")
    assert text.endswith("; a hint")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.exit_code) == (kind, text, kind.exit_code)
    assert str(kind("plain — text")) == "plain — text"


def test_same_content() -> None:
    assert same_content({"a": (1,)}, {"a": [1]})
    assert not same_content(1, True)
