"""Which candidates are trained next: hypervolumes by definition, and each acquisition."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from evolution.batch import SHORTLIST, Acquisition, choose_batch, gains
from evolution.quality import hypervolume, non_dominated

Array = np.ndarray[Any, Any]
NONE = np.empty((0, 1))


def volume(costs: Array, corner: Array) -> float:
    """Hypervolume by definition: cells of the grid through all points that somebody dominates."""
    costs = costs[(costs < corner).all(axis=1)]
    if not len(costs):
        return 0.0
    edges = [np.unique(np.append(costs[:, i], corner[i])) for i in range(len(corner))]
    total = 0.0
    for cell in product(*(range(len(edge) - 1) for edge in edges)):
        low = np.array([edge[i] for edge, i in zip(edges, cell, strict=True)])
        if (costs <= low).all(axis=1).any():
            high = np.array([edge[i + 1] for edge, i in zip(edges, cell, strict=True)])
            total += float(np.prod(high - low))
    return total


def random_set(seed: int, objectives: int) -> tuple[Array, Array, Array]:
    """Points, points that are held, and a corner that some of both are beyond; some are equal."""
    rng = np.random.default_rng(seed)
    points, held = rng.random((2, 8, objectives))
    points, held = points[: rng.integers(1, 9)], held[: rng.integers(0, 9)]
    if seed % 3 == 0:
        points, held = np.round(points, 1), np.round(held, 1)
    if seed % 4 == 0 and len(held):
        points = np.vstack([points, held[:1]])
    return points, held, rng.uniform(0.6, 1.1, objectives)


@pytest.mark.parametrize("objectives", [2, 3])
def test_hypervolume_and_gains_are_those_of_the_definition_and_of_pymoo(objectives: int) -> None:
    from pymoo.indicators.hv import HV

    some, zero = 0, 0
    for seed in range(100):
        points, held, corner = random_set(seed, objectives)
        base = volume(held, corner)
        assert hypervolume(held, corner) == pytest.approx(base, rel=1e-9, abs=1e-15)
        found = gains(points, held, corner)
        assert found.shape == (len(points),)
        whole = HV(ref_point=corner)
        for point, gain in zip(points, found, strict=True):
            both = np.vstack([held, point])
            # A gain is a difference: nine digits of the volumes that it lies between.
            near = {"rel": 1e-9, "abs": 1e-9 * max(base, 1e-6)}
            assert gain == pytest.approx(volume(both, corner) - base, **near)
            theirs = float(whole(both)) - (float(whole(held)) if len(held) else 0.0)
            assert gain == pytest.approx(theirs, **near)
            some, zero = some + (gain > 1e-6), zero + (gain == 0)
    assert some > 100
    assert zero > 50


@pytest.mark.parametrize("objectives", [2, 3])
def test_who_is_dominated_equal_or_beyond_the_corner_adds_nothing(objectives: int) -> None:
    held = np.full((1, objectives), 0.5)
    corner = np.ones(objectives)
    points = np.stack(
        [
            held[0],
            held[0] + 0.1,
            np.full(objectives, 1.0),
            np.append([1.2], np.zeros(objectives - 1)),
        ]
    )
    assert gains(points, held, corner).tolist() == [0.0] * 4
    assert gains(held - 0.1, held, corner) == pytest.approx([0.6**objectives - 0.5**objectives])
    assert gains(held, np.empty((0, objectives)), corner) == pytest.approx([0.5**objectives])


# -- one objective ------------------------------------------------------------------------------


def column(*values: float) -> Array:
    return np.array(values)[:, None]


def chosen(
    means: Array, stds: Array, count: int, acquisition: Acquisition, seed: int = 0
) -> list[int]:
    return choose_batch(means, stds, NONE, count, acquisition, np.random.default_rng(seed))


def test_greedy_takes_the_least_means_and_lcb_what_can_be_hoped() -> None:
    means, stds = column(5, 1, 3, 2, 4), column(4.5, 0, 0, 1.5, 0)
    assert chosen(means, stds, 3, "greedy") == [1, 3, 2]
    assert chosen(means, stds, 3, "lcb") == [0, 3, 1]


def test_thompson_takes_whoever_may_be_best_as_often_as_it_may() -> None:
    means, stds = column(0, 0, 1, 9), column(1, 1, 0, 0.1)
    first = [chosen(means, stds, 1, "thompson", seed)[0] for seed in range(2000)]
    shares = np.bincount(first, minlength=4) / 2000
    # The third is 1 for certain: it wins where both normal draws are above 1.
    assert shares[2] == pytest.approx(0.1587**2, abs=0.012)
    assert shares[0] == pytest.approx(shares[1], abs=0.06)
    assert shares[3] == 0
    assert chosen(means, 0 * stds, 4, "thompson") == [0, 1, 2, 3]


@pytest.mark.parametrize("acquisition", ["greedy", "lcb", "thompson"])
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_nobody_twice_and_no_more_than_there_are(objectives: int, acquisition: Acquisition) -> None:
    rng = np.random.default_rng(0)
    means, stds = rng.random((7, objectives)), 0.3 * rng.random((7, objectives))
    held = rng.random((4, objectives))
    for count in (1, 4, 7, 20):
        found = choose_batch(means, stds, held, count, acquisition, np.random.default_rng(1))
        assert len(found) == len(set(found)) == min(count, 7)
        assert set(found) <= set(range(7))


@pytest.mark.parametrize("objectives", [1, 2])
def test_thompson_alone_depends_on_chance(objectives: int) -> None:
    rng = np.random.default_rng(0)
    means, stds = rng.random((30, objectives)), np.full((30, objectives), 0.5)
    held = np.ones((2, objectives))

    def batches(acquisition: Acquisition) -> set[tuple[int, ...]]:
        return {
            tuple(choose_batch(means, stds, held, 5, acquisition, np.random.default_rng(seed)))
            for seed in range(4)
        }

    assert len(batches("greedy")) == len(batches("lcb")) == 1
    assert len(batches("thompson")) == 4


# -- several objectives -------------------------------------------------------------------------


def test_each_place_goes_to_whoever_adds_most_to_what_is_there() -> None:
    """Against all batches, one place at a time, by the definition."""
    rng = np.random.default_rng(3)
    means, held = rng.random((12, 2)), rng.random((3, 2))
    found = choose_batch(means, np.zeros((12, 2)), held, 4, "greedy", rng)
    both = np.concatenate([held, means])
    corner = both.max(axis=0) + 0.1 * (both.max(axis=0) - both.min(axis=0))
    taken = held
    for row in found:
        rest = [i for i in range(12) if i not in found[: found.index(row)]]
        best = max(rest, key=lambda i: volume(np.vstack([taken, means[i]]), corner))
        assert row == best
        taken = np.vstack([taken, means[row]])


def test_a_batch_is_spread_over_the_front_beside_what_is_held() -> None:
    """Who is trained covers the left of the front: the batch goes to the right of it first."""
    x = np.linspace(0.05, 0.95, 19)
    front = np.stack([x, (1 - x) ** 2], axis=1)
    held = front[:9] - 1e-3
    found = choose_batch(front, np.zeros_like(front), held, 3, "greedy", np.random.default_rng(0))
    assert min(found) >= 9
    assert np.diff(sorted(found)).min() >= 2


def test_a_dominated_candidate_is_hoped_for_if_it_is_uncertain_enough() -> None:
    held = np.array([[0.5, 0.5], [1.0, 1.0]])
    means, stds = np.array([[0.8, 0.5], [0.55, 0.45]]), np.array([[0.6, 0.0], [0.0, 0.0]])
    rng = np.random.default_rng(0)
    assert choose_batch(means, stds, held, 1, "lcb", rng) == [0]
    assert choose_batch(means, stds, held, 1, "greedy", rng) == [1]


def test_of_very_many_only_those_who_can_be_hoped_for_are_looked_at() -> None:
    rng = np.random.default_rng(0)
    means = rng.random((5 * SHORTLIST, 2))
    held = np.array([[0.9, 0.9]])
    found = choose_batch(means, np.zeros_like(means), held, 10, "greedy", rng)
    (front,) = np.nonzero(non_dominated(means))
    assert set(found[:3]) <= set(front.tolist())
    whole = choose_batch(means, np.zeros_like(means), held, SHORTLIST + 50, "greedy", rng)
    assert len(set(whole)) == SHORTLIST + 50
