"""The genetic search on predicted scores: within limits, never worse, and right where it can be
checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from evolution.bands import beyond, parse_bands
from evolution.genetic import GeneticSettings, genetic_front, genetic_search
from evolution.pool import feasible_pool
from evolution.selection import ranks
from nas.core.architecture import Architecture
from nas.core.errors import ConfigError
from nas.core.space import Space
from nas.testing.mobile import MobileSpace, MobileTask
from nas.testing.toys import GAINS, ToySpace
from predictors import get_predictor
from predictors.encodings import encoder
from search_spaces import get_space

Array = np.ndarray[Any, Any]
TASK = MobileTask(0)
MOBILE, TOY = TASK.space, ToySpace()
SMALL = GeneticSettings(best=15, random=15, children=4, generations=12)


def anywhere(member: Architecture) -> float:
    return 0.0


class Within:
    """The distance to limits of multiply-accumulates; remembers everybody it was asked for."""

    def __init__(self, text: str, space: MobileSpace = MOBILE) -> None:
        self.bands, self.space = parse_bands(text), space
        self.known: dict[str, float] = {}

    def __call__(self, member: Architecture) -> float:
        if member.id not in self.known:
            figures = {"macs": float(self.space.cost(member).macs)}
            self.known[member.id] = beyond(self.bands, figures)
        return self.known[member.id]


class Watched:
    """A score that keeps every generation it is asked for."""

    def __init__(self, score: Callable[[Sequence[Architecture]], Array]) -> None:
        self.score = score
        self.generations: list[list[Architecture]] = []

    def __call__(self, members: Sequence[Architecture]) -> Array:
        self.generations.append(list(members))
        return self.score(members)

    @property
    def everybody(self) -> list[Architecture]:
        return [member for generation in self.generations for member in generation]


def errors(members: Sequence[Architecture]) -> Array:
    return -TASK.accuracies(members)


def toy_costs(members: Sequence[Architecture]) -> Array:
    """Less with good operations and with width."""
    return np.array(
        [
            -sum(GAINS[str(m.choices[f"op{i}"])] for i in range(3))
            - 0.01 * int(str(m.choices["width"]))
            for m in members
        ]
    )


def sample(space: Space, count: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


# -- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["4.4e8<=macs<=4.6e8", "macs>=1.1e9"])
@pytest.mark.parametrize("form", ["search", "front"])
def test_nobody_of_any_generation_is_infeasible(text: str, form: str) -> None:
    distance, rng = Within(text), np.random.default_rng(1)
    first = feasible_pool(MOBILE, 30, distance, 0)
    assert len(first) == 30
    if form == "search":
        watched = Watched(errors)
        found = genetic_search(MOBILE, first, watched, distance, SMALL, rng).members
    else:
        both = lambda ms: np.stack([errors(ms), [MOBILE.cost(m).macs for m in ms]], 1)  # noqa: E731
        watched = Watched(both)
        found = genetic_front(MOBILE, first, watched, distance, SMALL, rng)
    assert len(watched.generations) > 3
    assert sum(map(len, watched.generations[1:])) > 200
    assert all(distance(member) == 0 for member in [*watched.everybody, *found])
    assert {member.id for member in found} <= {member.id for member in watched.everybody}


def test_children_of_a_narrow_band_are_not_waited_for() -> None:
    """One random member in some thirty is in the band; a child costs a few looks, not thirty."""
    distance, rng = Within("4.4e8<=macs<=4.6e8"), np.random.default_rng(0)
    first = feasible_pool(MOBILE, 30, distance, 0)
    distance.known.clear()
    found = genetic_search(MOBILE, first, errors, distance, SMALL, rng)
    assert len(distance.known) < 12 * found.scored


def test_who_begins_outside_is_left_out() -> None:
    distance, rng = Within("macs<=4.5e8"), np.random.default_rng(0)
    watched = Watched(errors)
    first = sample(MOBILE, 60)
    genetic_search(MOBILE, first, watched, distance, SMALL, rng)
    assert [m for m in first if distance(m) == 0] == watched.generations[0]
    assert 0 < len(watched.generations[0]) < 60


def test_nobody_inside_gives_nobody_and_scores_nobody() -> None:
    watched, rng = Watched(errors), np.random.default_rng(0)
    outside = Within("macs<=1e8")
    found = genetic_search(MOBILE, sample(MOBILE, 20), watched, outside, SMALL, rng)
    assert (found.members, found.history, found.scored) == ([], [], 0)
    assert genetic_front(MOBILE, sample(MOBILE, 20), watched, outside, SMALL, rng) == []
    assert watched.generations == []


# -- generations --------------------------------------------------------------------------------


def test_the_best_score_never_rises_and_is_told_of_every_generation() -> None:
    for seed in range(3):
        watched = Watched(errors)
        rng = np.random.default_rng(seed)
        found = genetic_search(MOBILE, sample(MOBILE, 30, seed), watched, anywhere, SMALL, rng)
        assert all(later <= before for before, later in pairwise(found.history))
        assert found.history[-1] < found.history[0]
        bests = np.minimum.accumulate([errors(g).min() for g in watched.generations])
        assert found.history == bests.tolist()
        assert found.scored == len(watched.everybody)
        assert found.scores[0] == found.history[-1]
        assert found.scores.tolist() == sorted(errors(found.members))


def test_it_stops_when_nothing_changes() -> None:
    settings = GeneticSettings(best=5, random=5, children=2, patience=3, generations=40)
    flat = genetic_search(
        MOBILE, sample(MOBILE, 10), lambda ms: np.zeros(len(ms)), anywhere, settings, rng=RNG()
    )
    assert len(flat.history) == 1 + 3
    long = genetic_search(MOBILE, sample(MOBILE, 10), errors, anywhere, settings, rng=RNG())
    assert len(long.history) > 1 + 3
    ended = long.history[-4:]
    assert len(long.history) == 41 or max(ended) - min(ended) <= settings.tolerance


def test_a_gain_within_the_tolerance_is_no_change() -> None:
    gain = iter(range(100, 0, -1))
    creeping = lambda ms: np.full(len(ms), 1e-3 * next(gain))  # noqa: E731
    for tolerance, generations in ((0.1, 2), (1e-6, 9)):
        settings = GeneticSettings(
            best=5, random=5, children=2, patience=2, tolerance=tolerance, generations=9
        )
        found = genetic_search(MOBILE, sample(MOBILE, 10), creeping, anywhere, settings, rng=RNG())
        assert len(found.history) == 1 + generations


def test_no_more_generations_and_no_more_alive_than_asked_for() -> None:
    settings = GeneticSettings(best=6, random=2, children=3, generations=4, patience=4)
    watched = Watched(errors)
    found = genetic_search(MOBILE, sample(MOBILE, 8), watched, anywhere, settings, rng=RNG())
    assert len(watched.generations) == 5
    assert len(found.members) == 8
    assert all(len(generation) <= 24 for generation in watched.generations[1:])


def RNG(seed: int = 0) -> np.random.Generator:  # noqa: N802
    return np.random.default_rng(seed)


@pytest.mark.parametrize("space", [MOBILE, TOY, get_space("nasbench201")])
def test_every_child_differs_from_its_parents_and_from_all_that_were_there(space: Space) -> None:
    watched = Watched(lambda members: np.array([int(m.id, 16) % 1000 for m in members], float))
    genetic_search(space, sample(space, 20), watched, anywhere, SMALL, RNG())
    names = [member.id for member in watched.everybody]
    assert len(names) > 200
    assert len(set(names)) == len(names)


def test_the_better_is_changed_less() -> None:
    """Children of the best differ from it in one choice, those of the mean in more."""
    settings = GeneticSettings(
        best=2, random=0, children=300, generations=1, mutation=3.0, crossover=0.0
    )
    best, worse = sorted(sample(MOBILE, 2), key=lambda m: float(errors([m])[0]))
    watched = Watched(errors)
    genetic_search(MOBILE, [worse, best], watched, anywhere, settings, RNG())

    def apart(first: Architecture, second: Architecture) -> int:
        return sum(first.choices[name] != second.choices[name] for name in first.choices)

    assert apart(best, worse) > 12
    changed: dict[str, list[int]] = {"best": [], "worse": []}
    for child in watched.generations[1]:
        name, parent = min(("best", best), ("worse", worse), key=lambda p: apart(p[1], child))
        changed[name].append(apart(parent, child))
    assert set(changed["best"]) == {1}
    assert np.mean(changed["worse"]) == pytest.approx(1 + 3.0, abs=0.8)


def test_a_whole_space_and_one_of_one_member_end() -> None:
    settings = GeneticSettings(best=400, random=400, children=5, generations=100, patience=50)
    found = genetic_search(TOY, sample(TOY, 50), toy_costs, anywhere, settings, RNG())
    assert found.scored == len(found.members) == TOY.size == 512
    assert toy_costs(found.members[:1])[0] == toy_costs(list(TOY.enumerate())).min()
    one = get_space("nasbench201:resnet+recipe")
    lone = genetic_search(one, sample(one, 5), lambda m: np.zeros(len(m)), anywhere, SMALL, RNG())
    assert lone.members


def test_it_is_a_function_of_its_arguments() -> None:
    def once(seed: int) -> list[str]:
        found = genetic_search(MOBILE, sample(MOBILE, 20), errors, anywhere, SMALL, RNG(seed))
        return [member.id for member in found.members]

    assert once(4) == once(4)
    assert once(4) != once(5)


# -- what it finds ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gp", pytest.param("nars", marks=pytest.mark.slow)])
def test_it_finds_what_a_predictor_expects_most_of_where_all_can_be_asked(kind: str) -> None:
    """NAS-Bench-201's 15,625 cells; the predictor has learnt from 60 of them."""
    space = get_space("nasbench201")
    every = list(space.distinct.values())
    codes = encoder(space, "onehot")(every)
    hits, asked = 0, []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        alone = rng.normal(0, 1, codes.shape[1])
        pairs = rng.normal(0, 0.3, (codes.shape[1],) * 2)
        costs = codes @ alone + np.einsum("ni,ij,nj->n", codes, pairs, codes)
        told = rng.permutation(len(every))[:60]
        settings = {"encoding": "onehot"} if kind == "gp" else {"pretraining": 0, "steps": 50}
        predictor = get_predictor(kind)(space, settings, seed)
        predictor.fit([every[int(row)] for row in told], costs[told])
        order = told[np.argsort(costs[told])]
        first = [every[int(row)] for row in order[:40]] + [space.sample(rng) for _ in range(40)]
        found = genetic_search(space, first, predictor.rank, anywhere, GeneticSettings(), rng)
        hits += int(found.scores[0] <= predictor.rank(every).min() + 1e-9)
        asked.append(found.scored)
    assert hits >= 9
    assert np.mean(asked) < len(every) / 2


@pytest.mark.slow
def test_it_finds_more_than_as_many_random_members() -> None:
    distance = Within("4.4e8<=macs<=4.6e8")
    first = feasible_pool(MOBILE, 30, distance, 0)
    found = genetic_search(MOBILE, first, errors, distance, SMALL, RNG())
    drawn = feasible_pool(MOBILE, 200, distance, 100)
    assert found.scores[0] < errors(drawn).min() - 0.2


def test_a_front_covers_what_a_search_for_each_end_would() -> None:
    def costs(members: Sequence[Architecture]) -> Array:
        return np.stack([errors(members), np.log([MOBILE.cost(m).macs for m in members])], axis=1)

    first = sample(MOBILE, 30)
    settings = GeneticSettings(best=30, random=10, children=4, patience=10)
    found = genetic_front(MOBILE, first, costs, anywhere, settings, RNG())
    assert len(found) == 40
    fronts = ranks(costs(found))
    assert fronts.tolist() == sorted(fronts.tolist())
    before, after = costs(first), costs(found)
    assert (after.min(axis=0) < before.min(axis=0)).all()
    beaten = [(row >= other).all() and (row > other).any() for row in before for other in after]
    assert np.array(beaten).reshape(len(before), len(after)).any(axis=1).mean() > 0.9


@pytest.mark.slow
def test_ten_thousand_scored_members_take_less_than_a_minute() -> None:
    import time

    distance = Within("4.4e8<=macs<=4.6e8")
    predictor = get_predictor("gp")(MOBILE, {"encoding": "onehot"})
    known = sample(MOBILE, 80)
    predictor.fit(known, errors(known))
    start = time.process_time()
    first = feasible_pool(MOBILE, 80, distance, 0)
    settings = GeneticSettings(patience=100, generations=25, tolerance=0.0)
    scored = 0
    for turn in range(30):
        scored += genetic_search(
            MOBILE, first, predictor.rank, distance, settings, RNG(turn)
        ).scored
        if scored >= 10_000:
            break
    assert scored >= 10_000
    assert time.process_time() - start < 60


@pytest.mark.parametrize(
    "settings", [{"best": 0}, {"children": 0}, {"crossover": 1.5}, {"patience": 0}, {"unknown": 1}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    from nas.core.config import build_settings

    with pytest.raises(ConfigError, match=next(iter(settings))):
        build_settings(GeneticSettings, settings, "setting")
