"""Every operation on every tree gives valid members (properties over random trees)."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from nas.core.choices import Categorical, Integer, Real, Subset
from nas.core.errors import SpaceError
from nas.core.tree import Assignment, ChoiceTree

from .trees import ToySpace, rng, shuffled, trees

seeds = st.integers(0, 2**32)
small = trees(reals=False, depth=1, most=2)


def valid(tree: ChoiceTree, values: Assignment) -> bool:
    """Whether `values` is valid and already canonical, types included."""
    checked = tree.validate(values)
    return checked == values and all(type(checked[n]) is type(values[n]) for n in values)


@given(trees(), seeds)
def test_samples_are_valid_and_repeatable(tree: ChoiceTree, seed: int) -> None:
    values = tree.sample(rng(seed))
    assert valid(tree, values)
    assert values == tree.sample(rng(seed))
    assert [choice.name for choice in tree.active(values)] == list(values)


@given(trees(), seeds)
def test_a_mutation_changes_one_choice_active_in_both(tree: ChoiceTree, seed: int) -> None:
    generator = rng(seed)
    values = tree.sample(generator)
    if not any(choice.changeable for choice in tree.active(values)):
        with pytest.raises(SpaceError, match="nothing can be mutated"):
            tree.mutate(values, generator)
        return
    mutant = tree.mutate(values, generator)
    assert valid(tree, mutant)
    assert sum(mutant[name] != values[name] for name in mutant.keys() & values.keys()) == 1


@given(trees(), seeds)
def test_a_crossover_takes_every_choice_from_a_parent(tree: ChoiceTree, seed: int) -> None:
    generator = rng(seed)
    first, second = tree.sample(generator), tree.sample(generator)
    child = tree.crossover(first, second, generator)
    assert valid(tree, child)
    for name, value in child.items():
        assert value in [parent[name] for parent in (first, second) if name in parent]
    assert tree.crossover(first, first, generator) == first


@given(trees(), seeds)
def test_neighbors_are_valid_distinct_and_others(tree: ChoiceTree, seed: int) -> None:
    values = tree.sample(rng(seed))
    found = [
        ToySpace(tree).architecture(n).id for n in itertools.islice(tree.neighbors(values), 60)
    ]
    assert len(set(found)) == len(found)
    assert ToySpace(tree).architecture(values).id not in found


@given(trees(reals=False), seeds)
def test_neighborhood_is_mutual_without_conditions(tree: ChoiceTree, seed: int) -> None:
    values = tree.sample(rng(seed))
    for neighbor in itertools.islice(tree.neighbors(values), 5):
        if neighbor.keys() == values.keys():
            assert values in list(itertools.islice(tree.neighbors(neighbor), 2000))


@given(small)
def test_enumeration_yields_size_distinct_members(tree: ChoiceTree) -> None:
    assert tree.size is not None
    members = list(itertools.islice(tree.enumerate(), 1500))
    ids = {ToySpace(tree).architecture(values).id for values in members}
    assert len(ids) == len(members) == min(tree.size, 1500)


@given(trees(), seeds)
def test_encoding_round_trips(tree: ChoiceTree, seed: int) -> None:
    values = tree.sample(rng(seed))
    code = tree.encode(values)
    assert code.shape == (tree.encoding_size,)
    assert code.dtype == np.float64
    assert np.all((code >= 0) & (code <= 1))
    back = tree.decode(code)
    assert back.keys() == values.keys()
    for name, value in values.items():
        if isinstance(value, float):
            assert math.isclose(back[name], value, rel_tol=1e-9)  # type: ignore[arg-type]
        else:
            assert back[name] == value
            assert type(back[name]) is type(value)


@given(small)
def test_encoding_tells_all_members_apart(tree: ChoiceTree) -> None:
    members = list(itertools.islice(tree.enumerate(), 300))
    assert len({tree.encode(values).tobytes() for values in members}) == len(members)


@given(trees(), st.data())
def test_any_code_decodes_to_a_member_or_an_error(tree: ChoiceTree, data: st.DataObject) -> None:
    numbers = st.lists(
        st.sampled_from((0.0, 0.3, 0.5, 1.0, 1.5, -1.0, math.nan, math.inf)),
        min_size=tree.encoding_size,
        max_size=tree.encoding_size,
    )
    try:
        values = tree.decode(np.array(data.draw(numbers), dtype=np.float64))
    except SpaceError:
        return
    assert valid(tree, values)


@given(trees(), seeds)
def test_construction_order_does_not_matter(tree: ChoiceTree, seed: int) -> None:
    other = ChoiceTree(shuffled(tree.choices, rng(seed)))
    values = tree.sample(rng(seed))
    assert other.sample(rng(seed)) == values
    assert other.size == tree.size
    assert np.array_equal(other.encode(values), tree.encode(values))
    backwards = dict(reversed(values.items()))
    first, second = ToySpace(tree).architecture(values), ToySpace(other).architecture(backwards)
    assert first == second
    assert first.id == second.id


@given(trees(), seeds)
def test_json_round_trips(tree: ChoiceTree, seed: int) -> None:
    import json

    space = ToySpace(tree)
    member = space.sample(rng(seed))
    back = space.from_dict(json.loads(json.dumps(member.to_dict())))
    assert back == member
    assert back.to_dict() == member.to_dict()
    assert back.choices == member.choices


def test_ids_are_equal_in_every_process(repository: Any) -> None:
    code = (
        "from nas.core.architecture import Architecture, Candidate, Recipe\n"
        "from nas.core.choices import Categorical, Subset\n"
        "from nas.core.tree import ChoiceTree\n"
        "from nas.core.work import Call, Evaluate\n"
        "import numpy as np\n"
        "a = Architecture('toy', dict([('b', 1), ('a', ('x', 'é')), ('c', 0.1), ('d', True)]))\n"
        "c = Candidate(a, Recipe({'lr': 3e-4, 'aug': {'z', 'y', 'x'}.__len__()}), {'layers': 8})\n"
        "print(a.id, c.id, Evaluate(c, 5).key, Call('s', 'm', edges=['a', 'b'], n=1).key)\n"
        "tree = ChoiceTree((Subset('s', ('x', 'y', 'z')), Categorical('c', ('u', 'v', 'w'))))\n"
        "print([tree.mutate(tree.sample(g), g) for g in [np.random.default_rng(4)] * 9])\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": str(repository)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(found) == 1
    # A stored run must stay readable: these never change.
    assert found.pop().split()[0] == "803c182b20b674b2"


def test_every_choice_is_sampled_uniformly() -> None:
    tree = ChoiceTree(
        (
            Categorical("op", ("a", "b", "c"), {"a": (Integer("k", 1, 4),)}),
            Subset("inputs", (0, 1, 2, 3), smallest=1, largest=2),
            Integer("width", 8, 32, 8),
        )
    )
    generator = rng(5)
    samples = [tree.sample(generator) for _ in range(6000)]
    for name, count in (("op", 3), ("inputs", 10), ("width", 4), ("k", 4)):
        drawn = [values[name] for values in samples if name in values]
        frequencies = [drawn.count(value) for value in sorted(set(drawn))]  # type: ignore[type-var]
        assert len(frequencies) == count
        assert chisquare(frequencies).pvalue > 0.001


@pytest.mark.parametrize("log", [False, True])
def test_reals_are_sampled_and_mutated_within_their_range(log: bool) -> None:
    choice = Real("lr", 1e-4, 1.0, log=log)
    generator = rng(1)
    drawn = np.array([choice.draw(generator) for _ in range(4000)])
    places = np.log(drawn / 1e-4) / math.log(1e4) if log else (drawn - 1e-4) / (1 - 1e-4)
    assert chisquare(np.histogram(places, bins=10, range=(0, 1))[0]).pvalue > 0.001
    for value in (1e-4, 0.01, 1.0):
        changed = [choice.change(value, generator) for _ in range(200)]
        assert all(choice.check(new) == new != value for new in changed)


def test_mutation_reaches_every_value_equally() -> None:
    choice = Integer("n", 0, 40, 10)
    generator = rng(3)
    drawn = [choice.change(20, generator) for _ in range(4000)]
    assert sorted(set(drawn)) == [0, 10, 30, 40]  # type: ignore[type-var]
    assert chisquare([drawn.count(v) for v in (0, 10, 30, 40)]).pvalue > 0.001


def test_a_chain_of_shared_children_is_counted_in_no_time() -> None:
    last: Any = Integer("n000", 1, 2)
    for i in range(1, 60):
        last = Categorical(f"n{i:03}", ("a", "b"), {"a": (last,), "b": (last,)})
    tree = ChoiceTree((last,))
    assert tree.size == 2**60
    assert len(tree.slots) == 60


def test_a_thousand_choices_are_no_problem() -> None:
    tree = ChoiceTree(tuple(Categorical(f"c{i:04}", ("a", "b", "c")) for i in range(1500)))
    assert tree.size == 3**1500
    first, second = itertools.islice(tree.enumerate(), 2)
    assert len(first.items() ^ second.items()) == 2
    assert valid(tree, next(tree.neighbors(first)))


def test_a_real_range_is_no_part_of_an_enumeration_but_of_neighborhoods() -> None:
    tree = ChoiceTree(
        (Categorical("op", ("sgd", "none"), {"sgd": (Real("lr", 1, 100, log=True),)}),)
    )
    assert tree.size is None
    with pytest.raises(SpaceError, match="'lr' is a real range"):
        tree.enumerate()
    (neighbor,) = tree.neighbors({"op": "none"})
    assert neighbor == {"op": "sgd", "lr": pytest.approx(10.0)}


def test_same_names_are_refused() -> None:
    one, other = Integer("n", 1, 2), Integer("n", 1, 3)
    with pytest.raises(SpaceError, match="two choices are named 'n'"):
        ChoiceTree((one, one))
    with pytest.raises(SpaceError, match="two different choices under 'c'"):
        ChoiceTree((Categorical("c", ("a", "b"), {"a": (one,), "b": (other,)}),))
    with pytest.raises(SpaceError, match="two choices are named 'n'"):
        ChoiceTree(
            (Categorical("c", ("a",), {"a": (one,)}), Categorical("d", ("a",), {"a": (one,)}))
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "choice 'op' has no value; add it"),
        ({"op": "a"}, "choice 'k' has no value"),
        ({"op": "b", "k": 1}, "choice 'k' is not active beside the others; remove it"),
        ({"op": "a", "k": 1, "kk": 1}, "unknown choice 'kk'; did you mean k"),
        ({"op": "c"}, "choice 'op' has the value 'c'; expected one of a, b"),
        ({"op": None}, "choice 'op' has the value None"),
        ({"op": ["a"]}, "choice 'op' has the value"),
        ({"op": "a", "k": 4}, "choice 'k' has the value 4; expected a whole number from 1 to 3"),
        ({"op": "a", "k": True}, "choice 'k' has the value True"),
        ({"op": "a", "k": 1.0}, r"choice 'k' has the value 1\.0"),
        ({"op": "a", "k": 16**6000}, "choice 'k' has the value of type int"),
    ],
)
def test_what_is_no_member_is_refused(values: dict[str, Any], message: str) -> None:
    tree = ChoiceTree((Categorical("op", ("a", "b"), {"a": (Integer("k", 1, 3),)}),))
    with pytest.raises(SpaceError, match=message):
        tree.validate(values)
