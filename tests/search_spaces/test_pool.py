"""A space reduced to some of its members stays among them, whatever is asked of it."""

from __future__ import annotations

import time

import numpy as np
import pytest

from nas.core.architecture import Architecture
from nas.core.errors import SpaceError
from nas.core.space import Space
from search_spaces import get_space
from search_spaces.nasbench101.space import NasBench101Space
from search_spaces.pool import Keyed, PooledSpace


def pooled(name: str, count: int, seed: int = 0) -> tuple[PooledSpace, set[Architecture]]:
    space = get_space(name)
    rng = np.random.default_rng(seed)
    members = [space.sample(rng) for _ in range(count)]
    pool = PooledSpace(space, members)
    return pool, set(pool.enumerate())


@pytest.fixture(scope="module", params=["nasbench201", "nasbench101"])
def pool(request: pytest.FixtureRequest) -> tuple[PooledSpace, set[Architecture]]:
    return pooled(request.param, 600)


def test_everything_stays_in_the_pool(pool: tuple[PooledSpace, set[Architecture]]) -> None:
    space, members = pool
    rng = np.random.default_rng(1)
    assert space.size == len(members) <= 600
    for _ in range(60):
        a, b = space.sample(rng), space.sample(rng)
        child, mutant = space.crossover(a, b, rng), space.mutate(a, rng)
        assert {a, b, child, mutant} <= members
        assert mutant != a
        assert set(space.neighbors(a)) <= members - {a}
        assert space.architecture(a.choices) == a
        assert space.decode(space.encode(a)) == a


def test_sampling_is_uniform() -> None:
    space, members = pooled("nasbench201", 8)
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(4000)]
    counts = np.array([drawn.count(member) for member in members])
    assert (abs(counts - 500) < 5 * np.sqrt(500)).all()


def test_the_same_seed_gives_the_same(pool: tuple[PooledSpace, set[Architecture]]) -> None:
    space, _ = pool
    fresh = PooledSpace(space.space, list(space.enumerate()))

    def walk(on: Space) -> list[str]:
        rng = np.random.default_rng(7)
        here, ids = on.sample(rng), []
        for _ in range(40):
            here = on.crossover(on.mutate(here, rng), on.sample(rng), rng)
            ids.append(here.id)
        return ids

    assert walk(space) == walk(fresh)


def test_mutants_are_one_choice_away_where_one_is() -> None:
    space, _ = pooled("nasbench201", 3000)
    rng = np.random.default_rng(2)
    for _ in range(50):
        a = space.sample(rng)
        near = list(space.neighbors(a))
        b = space.mutate(a, rng)
        differs = sum(a.choices[name] != b.choices[name] for name in a.choices)
        assert (b in near) == bool(near)
        assert differs == 1 if near else differs > 1


def test_a_lonely_member_still_has_mutants() -> None:
    space = get_space("nasbench201")
    far = [space.members["all-conv-3x3"], space.members["all-skip"]]
    pool = PooledSpace(space, far)
    assert list(pool.neighbors(far[0])) == []
    assert pool.mutate(far[0], np.random.default_rng(0)) == far[1]
    assert pool.crossover(*far, np.random.default_rng(0)) in far


def test_isomorphic_cells_are_found() -> None:
    space = get_space("nasbench101")
    assert isinstance(space, NasBench101Space)
    assert isinstance(space, Keyed)
    plain = space.parse("010001000:1")
    extra = space.architecture({**plain.choices, "edges": (*plain.choices["edges"], "2-3")})
    pool = PooledSpace(space, [plain, space.members["inception"], extra])
    assert pool.size == 2
    assert pool.known(extra) == plain
    assert pool.known(space.members["largest"]) is None
    assert list(pool.members) == ["inception"]
    with pytest.raises(SpaceError, match="none of the 2 that are known"):
        pool.architecture(space.members["largest"].choices)


def test_what_only_the_whole_space_has_is_there() -> None:
    pool, members = pooled("nasbench101", 5)
    member = next(iter(members))
    assert pool.cost(member) == pool.space.cost(member)  # type: ignore[attr-defined]
    assert pool.hash(member) == pool.space.hash(member)  # type: ignore[attr-defined]
    assert pool.scale == pool.space.scale
    assert pool.parse(pool.format(member)) == member
    assert pool.graph(member).number_of_nodes() >= 2
    with pytest.raises(AttributeError):
        _ = pool.nothing_of_the_kind


def test_pools_that_make_no_sense() -> None:
    space = get_space("nasbench201")
    with pytest.raises(SpaceError, match="without members"):
        PooledSpace(space, [])
    lone = PooledSpace(space, [space.members["all-skip"]])
    with pytest.raises(SpaceError, match="single member"):
        lone.mutate(space.members["all-skip"], np.random.default_rng(0))


def test_moves_are_quick() -> None:
    pool, _ = pooled("nasbench101", 2000)
    rng = np.random.default_rng(0)
    members = [pool.sample(rng) for _ in range(50)]
    for member in members:
        pool.mutate(member, rng)
    begun = time.perf_counter()
    for member in members:
        if any(pool.neighbors(member)):
            pool.mutate(member, rng)
    assert (time.perf_counter() - begun) / len(members) < 2e-3
