"""A space whose members are not a whole tree of choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nas.core.choices import Integer
from nas.core.errors import SpaceError
from nas.core.tree import ChoiceTree

from .trees import ToySpace, rng


class Sums(ToySpace):
    """Pairs of numbers that sum to an even number."""

    def __init__(self) -> None:
        super().__init__(ChoiceTree((Integer("a", 0, 5), Integer("b", 0, 5))), "sums")

    def refusal(self, choices: Mapping[str, Any]) -> str:
        return "odd sum" if (choices["a"] + choices["b"]) % 2 else ""


class Empty(Sums):
    """Nothing is a member."""

    def refusal(self, choices: Mapping[str, Any]) -> str:
        return "nothing is"


def even(architecture: Any) -> bool:
    return (architecture.choices["a"] + architecture.choices["b"]) % 2 == 0


def test_every_operation_gives_members() -> None:
    space, chance = Sums(), rng(0)
    for _ in range(200):
        one, other = space.sample(chance), space.sample(chance)
        mutant = space.mutate(one, chance)
        assert even(one)
        assert even(mutant)
        assert even(space.crossover(one, other, chance))
        assert sum(mutant.choices[name] != one.choices[name] for name in "ab") == 1
    assert len(list(space.enumerate())) == 18
    # The nearest integers only: of (2, 2) each has an odd sum.
    assert list(space.neighbors(space.architecture({"a": 2, "b": 2}))) == []


def test_sampling_stays_uniform_over_the_members() -> None:
    space, chance = Sums(), rng(1)
    counts: dict[str, int] = {}
    for _ in range(3600):
        name = space.sample(chance).id
        counts[name] = counts.get(name, 0) + 1
    assert len(counts) == 18
    assert min(counts.values()) > 140  # 200 each, standard deviation 14


def test_what_is_refused_cannot_be_read() -> None:
    space = Sums()
    data = {"format": 1, "space": "sums", "choices": {"a": 1, "b": 2}}
    with pytest.raises(SpaceError, match="odd sum"):
        space.from_dict(data)
    with pytest.raises(SpaceError, match="odd sum"):
        space.decode(space.tree.encode({"a": 1, "b": 2}))


def test_a_constraint_that_refuses_everything_is_an_error_and_no_hang() -> None:
    with pytest.raises(SpaceError, match="gave no member"):
        Empty().sample(rng(0))
