"""EAGAN: variation and selection of a population."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evolution.member import Member
from nas.core.problem import Problem
from nas.strategies.eagan.population import Population
from nas.strategies.eagan.settings import EaganSettings

from .eagan_task import GENERATORS, Engine

# -- variation ------------------------------------------------------------------------------------


def population(
    part: str = "generator", most: int = 8, seed: int = 0, **given: Any
) -> tuple[Population, Problem]:
    engine = Engine(space=f"gan-{part}", objectives=given.pop("objectives", ("fd_x", "params")))
    problem = engine.problem()
    made = EaganSettings(**given).resolved
    return Population(problem, made, np.random.default_rng(seed), most), problem


def members(found: Population, values: Any, sizes: Any = None) -> list[Member]:
    rows = [
        None if v is None else {"fd_x": v, "params": 1000.0 if sizes is None else sizes[i]}
        for i, v in enumerate(values)
    ]
    return found.members(rows)


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_nobody_comes_twice_and_children_are_near_their_parents(part: str) -> None:
    found, problem = population(part, 10)
    found.begin()
    identity = problem.space.identity
    seen = {identity(problem.member(c)) for c in found.alive}
    assert len(seen) == 10
    near = 0
    for _ in range(15):
        before = found.alive
        kept = found.next_round(members(found, range(10)))
        assert kept == before[:5] == found.alive[:5]
        children = found.alive[5:]
        assert len(children) == 5
        for child in children:
            assert identity(problem.member(child)) not in seen
            seen.add(identity(problem.member(child)))
            space: Any = problem.space
            mine = sum(space.paths(problem.member(child))[part], ())
            others = (sum(space.paths(problem.member(p))[part], ()) for p in kept)
            near += min(sum(a != b for a, b in zip(mine, o, strict=True)) for o in others) <= 4
    assert near > 0.9 * 75


def test_one_parent_alone_has_children_too() -> None:
    """Crossover of equal parents gives the parent; that must not be asked for for ever."""
    found, _ = population(most=6, mutation=0.0, crossover=1.0)
    found.begin()
    first = found.alive[0]
    found.alive = [first] * 6
    found.next_round([*members(found, [1.0] * 6)])
    assert len(set(found.alive[3:])) == 3
    assert first not in found.alive[3:]


def test_crossover_and_mutation_are_as_frequent_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"crossover": 0, "mutate": 0, "draws": 0}
    for name in ("crossover", "mutate"):
        plain = getattr(Problem, name)

        def counted(self: Problem, *given: Any, name: str = name, plain: Any = plain) -> Any:
            counts[name] += 1
            return plain(self, *given)

        monkeypatch.setattr(Problem, name, counted)
    found, _ = population(most=400)
    monkeypatch.setattr(
        type(found._variation), "propose", lambda self, draw: (count(counts), draw())[1]
    )
    found.alive = [found.problem.candidate(GENERATORS.members["EAGAN"])] * 400
    for _ in range(5):
        found.next_round(members(found, [1.0] * 400))
    assert counts["draws"] == 1000
    assert abs(counts["crossover"] / 1000 - 0.3) < 0.06
    assert abs(counts["mutate"] / 1000 - 0.5) < 0.06


def count(counts: dict[str, int]) -> None:
    counts["draws"] += 1


# -- selection (A9) -------------------------------------------------------------------------------


def test_the_smallest_network_is_not_kept_whatever_its_distance() -> None:
    values = [10.0, 11, 12, 13, 14, 15, 16, 40]
    sizes = [800.0, 700, 600, 500, 900, 900, 900, 100]
    for given, survives in (({}, False), ({"cap": 0.0}, True), ({"mode": "paper"}, True)):
        found, _ = population(**given)  # type: ignore[arg-type]
        found.begin()
        small = found.alive[-1]
        kept = found.next_round(members(found, values, sizes))
        assert (small in kept) == survives, given


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_no_later_front_survives_before_an_earlier_one_is_exhausted(mode: str) -> None:
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    rng = np.random.default_rng(0)
    found, _ = population(most=12, mode=mode, cap=0.0, confidence=0.0)
    found.begin()
    for _ in range(60):
        costs = rng.integers(1, 6, (12, 2)).astype(float)
        every = members(found, costs[:, 0], costs[:, 1])
        before = list(found.alive)
        fronts = np.empty(12, dtype=int)
        for number, places in enumerate(NonDominatedSorting().do(costs)):
            fronts[places] = number
        kept = found.next_round(every)
        found.alive = before
        mine = [fronts[before.index(c)] for c in kept]
        others = [fronts[before.index(c)] for c in before if c not in kept]
        assert len(kept) == 6
        assert max(mine) <= min(others)


def test_what_failed_never_survives_and_equal_figures_do_not_hide_errors() -> None:
    found, _ = population(most=8)
    found.begin()
    failed = found.alive[0]
    kept = found.next_round(members(found, [None, None, None, None, None, None, 8.0, 9.0]))
    assert failed not in kept
    assert len(kept) == 2
    # With one objective, members within a standard error of the best are of its front.
    found, _ = population(most=4, objectives=("fd_x",))
    found.begin()
    rows = [{"fd_x": v, "fd_x_se": 1.0} for v in (10.0, 10.5, 20.0, 25.0)]
    fronts = [front for _, front in found.graded(found.members(rows))]
    assert fronts[:2] == [0, 0]
    assert fronts[2] > 0
