"""The bars a ranker has to pass on published tables (few splits; the benchmark has more)."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors import get_predictor
from search_spaces import get_space

SharedData = Callable[..., Path]
Table = tuple[Space, list[Architecture], np.ndarray]
KEPT = 2000


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        found = list(csv.DictReader(file))
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:KEPT]]


@pytest.fixture(scope="module")
def nasbench201(shared_data: SharedData) -> Table:
    found = rows(shared_data("nasbench201", "nb201_cifar.csv.gz"))
    space = get_space("nasbench201")
    costs = 100 - np.array([float(row["c100_val_e200_1seed"]) for row in found])
    return space, [space.parse(row["arch_str"]) for row in found], costs


@pytest.fixture(scope="module")
def nasbench101(shared_data: SharedData) -> Table:
    found = rows(shared_data("nasbench101_sample", "nb101_20k.csv.gz"))
    space = get_space("nasbench101")
    costs = 100 * (1 - np.array([float(row["val_e108"]) for row in found]))
    return space, [space.parse(f"{row['adjacency']}:{row['ops']}") for row in found], costs


def measured(table: Table, name: str, size: int, splits: int) -> np.ndarray:
    """Tau and regret of each split ``(splits, 2)``."""
    space, members, costs = table
    found = []
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(members))
        known, rest = order[:size], order[size:]
        predictor = get_predictor(name)(space, seed=seed)
        predictor.fit([members[i] for i in known], costs[known])
        score = predictor.score([members[i] for i in rest], costs[rest])
        found.append((score["kendall"], score["top5_regret"]))
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("pairwise-linear", 0.62, 0.65),
        ("pairwise-mlp", 0.65, 0.69),
        ("gp", 0.62, 0.66),
        ("gradient-boosting", 0.60, 0.65),
        ("forest", 0.60, 0.64),
        ("ensemble", 0.66, 0.69),
    ],
)
def test_order_learnt_from_a_hundred(
    name: str, low: float, high: float, nasbench201: Table, nasbench101: Table
) -> None:
    assert measured(nasbench101, name, 100, 3)[:, 0].mean() > low
    assert measured(nasbench201, name, 100, 3)[:, 0].mean() > high


@pytest.mark.parametrize("size", [pytest.param(50, marks=pytest.mark.slow), 100])
def test_pairs_beat_values_on_the_same_networks(
    size: int, nasbench201: Table, nasbench101: Table
) -> None:
    for table in (nasbench201, nasbench101):
        pairs, values = (measured(table, name, size, 6)[:, 0] for name in ("pairwise-mlp", "mlp"))
        gain = pairs - values
        rng = np.random.default_rng(0)
        means = gain[rng.integers(len(gain), size=(2000, len(gain)))].mean(1)
        assert np.quantile(means, 0.025) > 0


def test_the_first_five_hold_a_good_one(nasbench201: Table, nasbench101: Table) -> None:
    assert measured(nasbench101, "pairwise-mlp", 100, 4)[:, 1].mean() < 0.35
    assert measured(nasbench201, "pairwise-mlp", 100, 4)[:, 1].mean() < 1.0
