"""Quasi-random members, and pools of them within limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import pytest

from evolution.bands import beyond, parse_bands
from evolution.pool import feasible_pool, quasi_random
from nas.core.architecture import Architecture
from nas.core.choices import Real
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from nas.testing.mobile import MobileSpace
from nas.testing.toys import ToySpace
from search_spaces import get_space

MOBILE = MobileSpace()
COUNT = 2048


def anywhere(member: Architecture) -> float:
    return 0.0


def within(text: str, space: MobileSpace = MOBILE) -> Callable[[Architecture], float]:
    """The distance to limits of multiply-accumulates, each member counted once."""
    bands = parse_bands(text)
    known: dict[str, float] = {}

    def distance(member: Architecture) -> float:
        if member.id not in known:
            known[member.id] = beyond(bands, {"macs": float(space.cost(member).macs)})
        return known[member.id]

    return distance


def ids(members: Sequence[Architecture]) -> list[str]:
    return [member.id for member in members]


# -- quasi-random members -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["mobile", "darts", "nasbench201", "nasbench201+recipe"])
def test_every_option_is_drawn_equally_often(name: str, seed: int) -> None:
    space = MOBILE if name == "mobile" else get_space(name)
    members = list(islice(quasi_random(space, seed), COUNT))
    assert len(members) == COUNT
    looked_at = 0
    for choice, conditional in space.tree.slots:
        options = [] if isinstance(choice, Real) else list(islice(choice.values(), 41))
        if conditional or not options or len(options) > 40:
            continue
        looked_at += 1
        drawn = Counter(str(member.choices[choice.name]) for member in members)
        share = COUNT / len(options)
        for option in options:
            assert 0.8 * share <= drawn[str(option)] <= 1.2 * share, (choice.name, option)
    assert looked_at > 3


@pytest.mark.parametrize("name", ["darts", "nasbench101", "nasbench201+recipe", "recipe"])
def test_they_are_members_and_so_is_what_they_may_not_have(name: str) -> None:
    """Conditional choices are there exactly where they are active; refused points are left out."""
    space = get_space(name)
    for member in islice(quasi_random(space, 0), 200):
        assert space.architecture(dict(member.choices)) == member


def test_prefixes_are_spread_more_evenly_than_chance() -> None:
    """Pairs of one-in-four options: every cell of the table gets its share."""
    space, rng = ToySpace(), np.random.default_rng(0)

    def unevenness(members: Sequence[Architecture]) -> float:
        worst = 0
        for a, b in (("op0", "op1"), ("op0", "op2"), ("op1", "op2")):
            cells = Counter((str(m.choices[a]), str(m.choices[b])) for m in members)
            assert len(cells) == 16
            worst = max(worst, *(abs(cells[cell] - 16) for cell in cells))
        return worst / 16

    for seed in range(5):
        drawn = [space.sample(rng) for _ in range(256)]
        assert unevenness(list(islice(quasi_random(space, seed), 256))) < unevenness(drawn)


def test_the_same_seed_draws_the_same_and_another_one_others() -> None:
    first = ids(list(islice(quasi_random(MOBILE, 3), 50)))
    assert ids(list(islice(quasi_random(MOBILE, 3), 50))) == first
    assert not set(ids(list(islice(quasi_random(MOBILE, 4), 50)))) & set(first)


def test_real_ranges_are_drawn_over_their_whole() -> None:
    class Rates(ToySpace):
        def __init__(self) -> None:
            super().__init__("rates")
            self.tree = ChoiceTree((Real("rate", 1e-4, 1e-1, log=True), Real("share", 0.0, 1.0)))

    members = list(islice(quasi_random(Rates(), 0), 1000))
    rates = np.log10([float(str(m.choices["rate"])) for m in members])
    shares = [float(str(m.choices["share"])) for m in members]
    assert np.histogram(rates, 10, (-4, -1))[0] == pytest.approx(100, abs=6)
    assert np.histogram(shares, 10, (0, 1))[0] == pytest.approx(100, abs=6)


# -- within limits ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4e8<=macs<=8e8", COUNT),
        ("4.4e8<=macs<=4.6e8", 300),
        pytest.param("4.4e8<=macs<=4.6e8", COUNT, marks=pytest.mark.slow),
    ],
)
def test_all_are_feasible_none_is_there_twice(text: str, count: int) -> None:
    distance = within(text)
    pool = feasible_pool(MOBILE, count, distance, 0)
    assert len(pool) == count
    assert all(distance(member) == 0 for member in pool)
    assert len(set(ids(pool))) == count
    assert ids(feasible_pool(MOBILE, count, distance, 0)) == ids(pool)
    assert ids(feasible_pool(MOBILE, 50, distance, 1)) != ids(pool)[:50]


@pytest.mark.slow
def test_what_is_brought_into_a_narrow_band_is_still_of_all_kinds() -> None:
    """All kernels and depths, and networks that share few choices."""
    pool = feasible_pool(MOBILE, 200, within("4.4e8<=macs<=4.6e8"), 0)
    for choice, _ in MOBILE.tree.slots:
        drawn = Counter(str(member.choices[choice.name]) for member in pool)
        assert set(drawn) == {str(value) for value in choice.values()}
    codes = np.array([MOBILE.encode(member) for member in pool])
    rng = np.random.default_rng(0)
    free = np.array([MOBILE.encode(MOBILE.sample(rng)) for _ in range(200)])
    apart = [np.abs(c[:100] - c[100:]).sum(axis=1).mean() for c in (codes, free)]
    assert apart[0] > 0.7 * apart[1]


@pytest.mark.parametrize("text", ["macs<=1e8", "1e9<=macs<=1e9"])
def test_limits_that_leave_nothing_give_nothing_and_soon(text: str) -> None:
    looks = 0
    inner = within(text)

    def distance(member: Architecture) -> float:
        nonlocal looks
        looks += 1
        return inner(member)

    assert feasible_pool(MOBILE, 8, distance, 0) == []
    assert looks < 20_000


@pytest.mark.slow
def test_a_narrow_band_of_the_published_space() -> None:
    space = get_space("fbnetv3")
    bands = parse_bands("4.4e8<=macs<=4.6e8")
    known: dict[str, float] = {}

    def distance(member: Architecture) -> float:
        if member.id not in known:
            cost = space.cost(member, (3, 224, 224), 1000)  # type: ignore[attr-defined]
            known[member.id] = beyond(bands, {"macs": float(cost.macs)})
        return known[member.id]

    pool = feasible_pool(space, COUNT, distance, 0)
    assert len(pool) == COUNT
    assert all(known[member.id] == 0 for member in pool)
    assert len({space.identity(member) for member in pool}) == COUNT


# -- small spaces, doubles, and numbers ---------------------------------------------------------


@pytest.mark.parametrize("count", [512, 600, 2000])
def test_a_space_that_is_no_larger_is_there_whole(count: int) -> None:
    pool = feasible_pool(ToySpace(), count, anywhere, 0)
    assert len(pool) == 512
    assert len(set(ids(pool))) == 512
    assert ids(pool) != ids(list(ToySpace().enumerate()))  # in random order
    assert ids(pool) == ids(feasible_pool(ToySpace(), count, anywhere, 0))


def test_a_small_space_whose_limits_leave_little_is_listed() -> None:
    space = ToySpace()

    def lone(member: Architecture) -> float:
        wanted = {"op0": "conv", "op1": "pool", "op2": "skip"}
        return float(sum(member.choices[name] != value for name, value in wanted.items()))

    pool = feasible_pool(space, 20, lone, 0)
    assert sorted(int(str(member.choices["width"])) for member in pool) == list(range(1, 9))


@pytest.mark.parametrize("space", [ToySpace(), MOBILE, get_space("nasbench201")])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_no_more_than_were_asked_for(space: Space, count: int) -> None:
    assert len(feasible_pool(space, count, anywhere, 0)) == count


def test_of_doubles_one_is_there_and_none_that_is_taken() -> None:
    space = get_space("nasbench201")
    pool = feasible_pool(space, 300, anywhere, 0)
    kept = [space.identity(member) for member in pool]
    assert len(set(kept)) == 300
    taken = frozenset(kept[:100])
    others = [space.identity(m) for m in feasible_pool(space, 300, anywhere, 0, taken)]
    assert others[:200] == kept[100:]
    assert not taken & set(others)
