"""The front: an antichain whatever the order, hypervolumes against two references, its files."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from typing import Any

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.architecture import Architecture, Candidate, Recipe
from nas.core.front import Front, Point, dominates
from nas.core.objective import Objective

from .trees import rng

ERROR, PARAMS, SCORE = Objective("error"), Objective("params"), Objective("score", "max")
coarse = st.integers(0, 6).map(float)
clouds2 = st.lists(st.tuples(coarse, coarse), min_size=1, max_size=14)
clouds3 = st.lists(st.tuples(coarse, coarse, coarse), min_size=1, max_size=12)


def point(index: int, **figures: float) -> Point:
    return Point(Candidate(Architecture("toy", {"n": index})), figures)


def front_of(cloud: list[tuple[float, ...]], order: Any = None) -> Front:
    objectives = (ERROR, PARAMS, SCORE)[: len(cloud[0])]
    points = [
        point(i, **dict(zip(("error", "params", "score"), figures, strict=False)))
        for i, figures in enumerate(cloud)
    ]
    return Front(objectives, points if order is None else [points[i] for i in order])


def brute_force(costs: list[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Area of the union of rectangles: the cells of the grid through all coordinates."""
    xs = sorted({x for x, _ in costs} | {reference[0]})
    ys = sorted({y for _, y in costs} | {reference[1]})
    area = 0.0
    for (x0, x1), (y0, y1) in itertools.product(itertools.pairwise(xs), itertools.pairwise(ys)):
        inside = x1 <= reference[0] and y1 <= reference[1]
        if inside and any(x <= x0 and y <= y0 for x, y in costs):
            area += (x1 - x0) * (y1 - y0)
    return area


@given(clouds3)
def test_it_is_the_antichain_that_covers_everything(cloud: list[tuple[float, ...]]) -> None:
    front = front_of(cloud)
    kept = [front.costs(p.figures) for p in front.points]
    assert not any(dominates(a, b) or a == b for a, b in itertools.permutations(kept, 2))
    for error, params, score in cloud:
        costs = (error, params, -score)
        assert costs in kept or any(dominates(other, costs) for other in kept)
    assert (
        len(front)
        == len(kept)
        == len(
            moocore.filter_dominated(np.unique(np.array([(e, p, -s) for e, p, s in cloud]), axis=0))
        )
    )


@given(clouds3, st.integers(0, 2**32))
def test_it_does_not_depend_on_the_order(cloud: list[tuple[float, ...]], seed: int) -> None:
    first, second = front_of(cloud), front_of(cloud, rng(seed).permutation(len(cloud)))
    assert first.to_dict() == second.to_dict()
    assert first.to_csv() == second.to_csv()


@given(clouds2)
def test_hypervolume_equals_the_union_of_rectangles(cloud: list[tuple[float, ...]]) -> None:
    for reference in ((7.0, 8.0), (3.0, 3.0)):
        area = brute_force([(a, b) for a, b in cloud], reference)
        assert math.isclose(front_of(cloud).hypervolume(reference), area, abs_tol=1e-9)


@given(clouds3)
def test_hypervolume_equals_moocore(cloud: list[tuple[float, ...]]) -> None:
    reference = np.array([7.0, 7.0, 1.0])
    costs = np.array([(e, p, -s) for e, p, s in cloud])
    expected = moocore.hypervolume(costs, ref=reference)
    assert math.isclose(front_of(cloud).hypervolume(reference), expected, abs_tol=1e-9)


@given(clouds2)
def test_hypervolume_never_shrinks(cloud: list[tuple[float, ...]]) -> None:
    front, volumes = Front((ERROR, PARAMS)), [0.0]
    for i, (error, params) in enumerate(cloud):
        taken = front.add(point(i, error=error, params=params))
        volumes.append(front.hypervolume((10.0, 10.0)))
        assert volumes[-1] >= volumes[-2] - 1e-12
        assert taken or volumes[-1] == volumes[-2]


def test_limits_and_maxima() -> None:
    front = Front((Objective("error", limit=0.5), Objective("score", "max", limit=1)))
    assert not front.add(point(0, error=0.6, score=2))
    assert not front.add(point(1, error=0.1, score=0.9))
    assert not front.add(point(2, error=0.1))
    assert not front.add(point(3, error=math.nan, score=2))
    assert (len(front), front.points, front.hypervolume()) == (0, [], 0.0)
    assert front.add(point(4, error=0.5, score=1))
    assert front.add(point(5, error=0.4, score=3))
    assert not front.add(point(6, error=0.4, score=2.5))
    assert [p.figures["score"] for p in front.points] == [3]
    # Seen costs: error 0.4 to 0.5, score 1 to 3, so the point lies a tenth of each beyond.
    assert front.reference_point() == pytest.approx((0.51, -0.8))
    assert front.to_dict()["reference_point"] == pytest.approx([0.51, 0.8])
    assert front.hypervolume() == pytest.approx(0.11 * 2.2)


def test_of_equal_points_the_one_with_the_smallest_id_stays() -> None:
    points = sorted((point(i, error=0.1) for i in range(5)), key=lambda p: p.candidate.id)
    for order in itertools.permutations(points):
        assert Front((ERROR,), order).points == [points[0]]
    front = Front((ERROR,), points)
    assert not front.add(Point(points[0].candidate, {"error": 0.1}, {"again": True}))
    assert front.points[0].tags == {}


def test_a_single_point_has_a_reference_point_and_a_volume() -> None:
    front = Front((ERROR, PARAMS), [point(0, error=0.0, params=100.0)])
    assert front.reference_point() == pytest.approx((0.1, 110.0))
    assert front.hypervolume() == pytest.approx(0.1 * 10)


def test_files_hold_what_the_contract_says() -> None:
    best = Candidate(
        Architecture("toy", {"n": 1}), Recipe({"lr": 0.1}), {"layers": 8, "wide": True}
    )
    other = Candidate(Architecture("toy", {"n": 2}))
    front = Front((ERROR, SCORE))
    figures = {"error": np.float64(0.25), "score": np.float32(2), "params": 7, "loss": math.nan}
    front.add(Point(best, figures, {"seed": np.int64(3)}))
    front.add(Point(other, {"error": 0.1, "score": 0.0, "macs": 10**9}))

    data = json.loads(json.dumps(front.to_dict(), allow_nan=False))
    assert data["format"] == 1
    assert data["objectives"] == [
        {"name": "error", "direction": "min"},
        {"name": "score", "direction": "max"},
    ]
    assert data["reference_point"] == pytest.approx([0.265, -0.2])
    assert data["hypervolume"] == pytest.approx(front.hypervolume())
    assert [p["id"] for p in data["points"]] == [other.id, best.id]
    first, second = data["points"]
    assert first["architecture"] == other.architecture.to_dict()
    assert (first["recipe"], first["scale"]) == (None, {})
    assert first["figures"] == {"error": 0.1, "score": 0.0, "macs": 10**9}
    assert second["recipe"] == {"lr": 0.1}
    assert second["figures"] == {"error": 0.25, "score": 2.0, "params": 7}
    assert second["tags"] == {"seed": 3}
    assert all(Candidate.from_dict(p).id == p["id"] for p in data["points"])

    rows = list(csv.DictReader(io.StringIO(front.to_csv())))
    assert rows == [
        {
            "id": other.id, "architecture": other.architecture.id, "layers": "", "wide": "",
            "recipe.lr": "", "error": "0.1", "macs": "1000000000", "params": "", "score": "0.0",
        },
        {
            "id": best.id, "architecture": best.architecture.id, "layers": "8", "wide": "True",
            "recipe.lr": "0.1", "error": "0.25", "macs": "", "params": "7", "score": "2.0",
        },
    ]  # fmt: skip


def test_recipes_are_columns_only_where_there_are_recipes() -> None:
    plain = Front((ERROR,), [point(0, error=0.1)])
    assert plain.to_csv().startswith("id,architecture,error\n")
    recipe = Recipe({"optimizer": {"name": "sgd", "betas": [0.5, 0.9]}, "lr": 0.1})
    own = Candidate(Architecture("toy", {"n": 1}), recipe)
    (row,) = csv.DictReader(io.StringIO(Front((ERROR,), [Point(own, {"error": 0.1})]).to_csv()))
    assert {key: value for key, value in row.items() if key.startswith("recipe.")} == {
        "recipe.lr": "0.1",
        "recipe.optimizer.betas": "[0.5, 0.9]",
        "recipe.optimizer.name": "sgd",
    }


def test_an_empty_front_has_files_too() -> None:
    front = Front((ERROR,))
    assert front.to_dict()["points"] == []
    assert json.dumps(front.to_dict(), allow_nan=False)
    assert front.to_csv() == "id,architecture\n"


def test_ten_thousand_points_are_added_in_no_time() -> None:
    import time

    front, cloud = Front((ERROR, PARAMS)), rng(0).random((10_000, 2))
    began = time.process_time()
    for i, (error, params) in enumerate(cloud):
        front.add(point(i, error=error, params=params))
    line = Front((ERROR, PARAMS), (point(i, error=i, params=-i) for i in range(400)))
    assert time.process_time() - began < 10
    assert len(line) == 400
