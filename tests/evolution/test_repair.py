"""Walks that bring members within limits."""

from __future__ import annotations

import numpy as np
import pytest

from evolution.bands import parse_bands
from evolution.repair import repaired
from nas.core.architecture import Architecture
from nas.testing.mobile import MobileSpace

SPACE = MobileSpace()
BAND = parse_bands("4.4e8<=macs<=4.6e8")[0]


def distance(member: Architecture) -> float:
    return BAND.distance({"macs": float(SPACE.cost(member).macs)})


def test_members_are_brought_into_a_narrow_band() -> None:
    rng = np.random.default_rng(0)
    starts = [SPACE.sample(rng) for _ in range(60)]
    assert sum(distance(member) == 0 for member in starts) < 10
    found = [repaired(SPACE, member, distance, rng) for member in starts]
    inside = [member for member in found if member is not None]
    assert len(inside) >= 57
    assert all(distance(member) == 0 for member in inside)
    assert len({member.id for member in inside}) > 50  # not everybody to one place


def test_every_step_taken_comes_nearer() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        seen: list[float] = []

        def watched(member: Architecture) -> float:
            seen.append(distance(member))  # noqa: B023
            return seen[-1]  # noqa: B023

        start = SPACE.sample(rng)
        end = repaired(SPACE, start, watched, rng)
        best = np.minimum.accumulate(seen)
        assert end is None or best[-1] == distance(end) == 0
        assert len(seen) <= 201
        # It never goes on from a worse place: whoever is looked at is one change from the best.
        assert seen[0] == distance(start)


def test_who_is_inside_stays_and_costs_one_look() -> None:
    rng = np.random.default_rng(0)
    start = SPACE.sample(rng)
    looks: list[Architecture] = []

    def inside(member: Architecture) -> float:
        looks.append(member)
        return 0.0

    assert repaired(SPACE, start, inside, rng) is start
    assert looks == [start]


@pytest.mark.parametrize("tries", [0, 1, 40])
def test_it_gives_up(tries: int) -> None:
    rng = np.random.default_rng(0)
    looks: list[Architecture] = []

    def outside(member: Architecture) -> float:
        looks.append(member)
        return 1.0

    assert repaired(SPACE, SPACE.sample(rng), outside, rng, tries) is None
    assert len(looks) == tries + 1


def test_the_last_change_counts() -> None:
    """Of two looks, the first one at the start: the change that was tried last is not lost."""
    rng = np.random.default_rng(0)
    answers = iter([1.0, 0.0])
    assert repaired(SPACE, SPACE.sample(rng), lambda _: next(answers), rng, 1) is not None
