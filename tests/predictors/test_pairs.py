"""The pair rule: which of two readings is better."""

from __future__ import annotations

from graphlib import TopologicalSorter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.labels import Labels
from predictors.pairs import make_pairs

READINGS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, float("nan")])),
    max_size=14,
)


def labels(readings: list[tuple[int, float]], reliability: np.ndarray | None = None) -> Labels:
    return Labels(
        np.array([value for _, value in readings], dtype=float),
        np.array([level for level, _ in readings], dtype=int),
        reliability,
    )


def as_set(found: Labels, **how: object) -> set[tuple[int, int]]:
    pairs = make_pairs(found, **how)  # type: ignore[arg-type]
    listed = list(zip(pairs.better.tolist(), pairs.worse.tolist(), strict=True))
    assert len(set(listed)) == len(listed)
    return set(listed)


def by_hand(readings: list[tuple[int, float]]) -> set[tuple[int, int]]:
    found = set()
    for i, (level, value) in enumerate(readings):
        for j, (other_level, other) in enumerate(readings):
            if np.isnan(value) or np.isnan(other):
                continue
            if level > other_level or (level == other_level and value < other):
                found.add((i, j))
    return found


@given(READINGS)
def test_pairs_are_those_of_the_rule(readings: list[tuple[int, float]]) -> None:
    assert as_set(labels(readings)) == by_hand(readings)


@given(READINGS)
def test_number_of_pairs_is_all_but_ties(readings: list[tuple[int, float]]) -> None:
    finite = [r for r in readings if not np.isnan(r[1])]
    n = len(finite)
    ties = sum(finite[i] == finite[j] for i in range(n) for j in range(i))
    assert len(make_pairs(labels(readings))) == n * (n - 1) // 2 - ties


@given(READINGS)
def test_pairs_are_antisymmetric_and_acyclic(readings: list[tuple[int, float]]) -> None:
    found = as_set(labels(readings))
    assert not found & {(worse, better) for better, worse in found}
    sorter = TopologicalSorter[int]()
    for better, worse in found:
        sorter.add(worse, better)
    list(sorter.static_order())  # raises CycleError


@given(READINGS, st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_another_increasing_map_on_each_level_changes_nothing(
    readings: list[tuple[int, float]], maps: list[int]
) -> None:
    increasing = (lambda v: v, np.exp, lambda v: v**3 - 7, lambda v: -1 / v)
    mapped = [(level, float(increasing[maps[level]](value))) for level, value in readings]
    assert as_set(labels(mapped)) == as_set(labels(readings))


def test_infinite_readings_are_in_no_pair() -> None:
    assert as_set(labels([(0, 0.5), (1, np.inf), (1, -np.inf), (0, 0.4)])) == {(3, 0)}


def test_within_keeps_pairs_of_one_level() -> None:
    readings = [(0, 0.5), (0, 0.4), (1, 0.3), (1, 0.2), (2, 0.1)]
    assert as_set(labels(readings), mode="within") == {(1, 0), (3, 2)}


def test_weight_is_the_squared_reliability_of_the_lower_level() -> None:
    readings = [(0, 0.5), (0, 0.4), (1, 0.3), (2, 0.1), (2, 0.2)]
    told = labels(readings, np.array([0.5, 0.25, 1.0]))
    pairs = make_pairs(told)
    levels = np.minimum(told.levels[pairs.better], told.levels[pairs.worse])
    assert pairs.weight.tolist() == np.array([0.25, 0.0625, 1.0])[levels].tolist()
    assert set(make_pairs(told, "levels").weight) == {1.0}
    assert set(make_pairs(told, "within").weight) == {1.0}


def test_a_level_of_no_reliability_is_in_no_pair_as_the_lower() -> None:
    readings = [(0, 0.5), (0, 0.4), (1, 0.3), (1, 0.1)]
    assert as_set(labels(readings, np.array([0.0, 1.0]))) == {(3, 2)}


def test_a_part_is_drawn_by_the_seed() -> None:
    told = labels([(0, float(value)) for value in range(60)])
    parts = [as_set(told, limit=100, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert all(len(part) == 100 for part in parts)
    assert parts[0] == parts[1] != parts[2]
    assert parts[0] < by_hand([(0, float(value)) for value in range(60)])
    assert len(as_set(told, limit=60 * 59 // 2)) == 60 * 59 // 2


def test_matrix_holds_the_weights_once() -> None:
    told = labels([(0, 0.5), (0, 0.4), (1, 0.3)], np.array([0.5, 1.0]))
    matrix = make_pairs(told).matrix(3)
    assert matrix[1, 0] == matrix[2, 0] == matrix[2, 1] == pytest.approx(1 / 3)
    assert matrix.sum() == pytest.approx(1)
    assert not make_pairs(labels([(0, 0.5)])).matrix(1).any()


def test_ranks_follow_the_same_order() -> None:
    readings = [(0, 0.5), (0, 0.4), (1, 0.9), (2, 0.1), (0, 0.4), (1, np.nan)]
    ranks = labels(readings).ranks()
    assert (ranks[3], ranks[0]) == (0, 1)
    assert np.isnan(ranks[5])
    assert ranks[1] == ranks[4]
    told = labels(readings)
    for better, worse in as_set(told):
        assert ranks[better] < ranks[worse]


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": np.zeros((2, 2))},
        {"values": np.zeros(2), "levels": np.zeros(3)},
        {"values": np.zeros(2), "levels": np.array([0, -1])},
        {"values": np.zeros(2), "levels": np.array([0, 0.5])},
        {"values": np.zeros(2), "levels": np.array([0, 1]), "reliability": np.array([0.5])},
        {"values": np.zeros(2), "reliability": np.array([1.5])},
        {"values": np.zeros(2), "reliability": np.array([np.nan])},
        {"values": np.zeros(2), "readings": np.zeros((3, 1))},
        {"values": np.zeros(2), "levels": np.array([0, 1]), "readings": np.zeros((2, 1))},
    ],
)
def test_labels_that_cannot_be_are_refused(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"level|reliab|readings"):
        Labels(**wrong)


# -- compared on the highest level that both were read on --------------------------------------

TABLE = st.lists(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, float("nan")]), min_size=3, max_size=3),
    min_size=1,
    max_size=10,
)


def climbed(table: list[list[float]], reliability: np.ndarray | None = None) -> Labels:
    """Labels of readings by level; the last one of each is its value."""
    readings = np.array(table)
    levels = [max((n for n, v in enumerate(row) if not np.isnan(v)), default=0) for row in table]
    return Labels(readings[range(len(table)), levels], np.array(levels), reliability, readings)


@given(TABLE)
def test_the_highest_common_level_decides(table: list[list[float]]) -> None:
    expected = set()
    for i, mine in enumerate(table):
        for j, other in enumerate(table):
            shared = [n for n in range(3) if not np.isnan(mine[n]) and not np.isnan(other[n])]
            if shared and mine[shared[-1]] < other[shared[-1]]:
                expected.add((i, j))
    assert as_set(climbed(table), mode="common") == expected


def test_who_was_sent_higher_does_not_win_by_that() -> None:
    nan = float("nan")
    told = climbed([[0.5, 0.4], [0.2, nan], [nan, 0.3]])
    assert as_set(told, mode="common") == {(1, 0), (2, 0)}
    assert as_set(told, mode="levels") == {(0, 1), (2, 1), (2, 0)}


@given(TABLE, st.integers(0, 2**32))
def test_a_scale_of_its_own_for_each_level_changes_nothing(
    table: list[list[float]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    maps = np.sort(rng.normal(size=(3, 4)), axis=1)
    places = {0.1: 0, 0.2: 1, 0.3: 2, 0.4: 3}
    moved = [
        [maps[n][places[v]] if not np.isnan(v) else v for n, v in enumerate(row)] for row in table
    ]
    assert as_set(climbed(moved), mode="common") == as_set(climbed(table), mode="common")


def test_n_readings_weigh_as_n() -> None:
    """Sixty short readings and ten long ones: sixty and ten halves, times the reliabilities."""
    rng = np.random.default_rng(0)
    table = rng.random((60, 2))
    table[10:, 1] = np.nan
    pairs = make_pairs(climbed(table.tolist(), np.array([0.5, 1.0])), "common")
    long = (pairs.better < 10) & (pairs.worse < 10)
    assert pairs.weight[long].sum() == pytest.approx(10 / 2)
    share = 1 - 10 * 9 / (60 * 59)  # pairs that the upper level decides are not the lower one's
    assert pairs.weight[~long].sum() == pytest.approx(0.5**2 * share * 60 / 2)


def test_without_a_history_only_equals_are_compared() -> None:
    told = labels([(0, 0.5), (0, 0.4), (1, 0.3), (1, 0.2)])
    assert as_set(told, mode="common") == as_set(told, mode="within") == {(1, 0), (3, 2)}
