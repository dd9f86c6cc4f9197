from __future__ import annotations

import itertools
import math
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.export.axes import fit, linear_ticks, short
from nas.export.canvas import Path, Picture, Rect, Text, arranged, to_png, to_svg
from nas.export.charts import draw_arms, draw_bars, draw_curves, draw_heatmap, ramp
from nas.export.front_picture import Dot, draw_front, staircase
from nas.export.paint import decision_picture, dots_of, front_picture, painters
from nas.export.picture_files import write_front_png

finite = st.floats(-1e9, 1e9)


def texts(picture: Picture) -> set[str]:
    return {shape.text for shape in picture.shapes if isinstance(shape, Text)}


@given(st.lists(finite, min_size=1, max_size=20))
def test_a_scale_keeps_its_data_inside(values: list[float]) -> None:
    scale = fit(values, 10, 200)
    for value in values:
        assert 10 - 1e-6 <= scale(value) <= 200 + 1e-6
    assert all(10 - 1e-3 <= scale(tick) <= 200 + 1e-3 for tick in scale.ticks())


@given(finite, st.floats(1e-6, 1e9))
def test_ticks_are_few_and_even(low: float, width: float) -> None:
    ticks = linear_ticks(low, low + width)
    assert len(ticks) <= 7
    room = 1e-6 * width + 1e-12 * abs(low)
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    assert all(math.isclose(a, steps[0], rel_tol=1e-6, abs_tol=room) for a in steps)


def test_wide_positive_ranges_are_logarithmic() -> None:
    assert fit([1e4, 1e6], 0, 1).log
    assert not fit([1e4, 2e4], 0, 1).log
    assert not fit([-1.0, 1e6], 0, 1).log
    assert not fit([0.0, 1e6], 0, 1).log


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.0123, "error", "1.23\u00a0%"),
        (312345, "params", "312\u00a0k"),
        (14.2e6, "macs", "14.2\u00a0M"),
        (float("nan"), "error", "\u2013"),
        (3.0, "loss", "3"),
        (0.12345, "loss", "0.123"),
    ],
)
def test_figures_as_text(value: float, metric: str, text: str) -> None:
    assert short(value, metric) == text


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=30))
def test_the_staircase_is_what_nothing_dominates(pairs: list[tuple[float, float]]) -> None:
    def beaten(a: tuple[float, float]) -> bool:
        return any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in pairs)

    assert staircase(pairs) == sorted({pair for pair in pairs if not beaten(pair)})


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=30),
    st.tuples(st.sampled_from(["min", "max"]), st.sampled_from(["min", "max"])),
)
def test_the_staircase_of_what_is_maximised(
    pairs: list[tuple[float, float]], directions: tuple[str, str]
) -> None:
    signs = [-1.0 if direction == "max" else 1.0 for direction in directions]

    def turned(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(signs[0] * x, signs[1] * y) for x, y in pairs]

    assert turned(staircase(pairs, directions)) == staircase(turned(pairs))


def test_the_line_of_a_front_goes_the_way_of_its_objectives() -> None:
    """Of images a second more are better: slow networks must be the better ones."""
    rows = [(1.0, 10.0), (2.0, 50.0), (3.0, 20.0), (4.0, 90.0)]
    points = [{"figures": {"fid": fid, "speed": speed}, "front": True} for fid, speed in rows]
    objectives = [{"name": "fid", "direction": "min"}, {"name": "speed", "direction": "max"}]
    front = {"points": points, "objectives": objectives, "goal": "fid"}

    def line(front: dict[str, Any]) -> Path:
        shapes = front_picture(front).shapes
        (found,) = [s for s in shapes if isinstance(s, Path) and s.opacity == 0.55]
        return found

    steps = line(front).points
    assert len({y for _, y in steps}) == 3  # all but the third, which is slower than the second
    assert steps[0][0] > steps[-1][0]  # from fast to slow, and on to the edge
    assert steps[0][1] < steps[-1][1]
    silent = {**front, "objectives": [{"name": "fid"}, {"name": "speed"}]}
    with pytest.raises(ValueError, match="not enough"):
        line(silent)  # minimised: the first one is better than all others


def test_front_has_a_panel_per_cost_and_names(points: list[dict[str, Any]]) -> None:
    picture = front_picture({"points": points})
    assert "validation error against parameters" in texts(picture)
    assert "validation error against multiply-adds" in texts(picture)
    assert {"on the front", "random arm"} <= texts(picture)
    assert "C0" in texts(picture)
    assert "parameters (log scale)" in texts(picture)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "error": st.floats(allow_nan=True, allow_infinity=True),
                "params": st.floats(allow_nan=True, allow_infinity=True),
            }
        ),
        max_size=12,
    )
)
def test_a_front_of_anything_can_be_drawn(rows: list[dict[str, float]]) -> None:
    dots = [Dot(row, label="<&>", front=True) for row in rows]
    ElementTree.fromstring(to_svg(draw_front(dots)))


def test_front_png_is_written_whole(tmp_path: Any, points: list[dict[str, Any]]) -> None:
    dots = [Dot(point["figures"], point["arm"], point["label"]) for point in points]
    write_front_png(tmp_path / "front.png", dots)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["front.png"]


def test_an_empty_front_says_so() -> None:
    assert texts(draw_front([])) == {"no figures to draw yet"}


def test_curves_leave_out_what_is_not_finite() -> None:
    series = {"a": [(0, 1.0), (1, math.nan), (2, 2.0)], "b": [(0, 3.0)]}
    picture = draw_curves(series, title="Loss", marks=[1.5])
    assert {"Loss", "a", "b"} <= texts(picture)
    lines = [shape for shape in picture.shapes if isinstance(shape, Path) and shape.line == 1.8]
    assert [len(line.points) for line in lines] == [2]


def test_heat_map_writes_numbers_and_frames_choices() -> None:
    picture = draw_heatmap(
        ["e0", "e1"], ["none", "skip"], [[0.25, 0.75], [None, 1.0]], "t", {"e0": "skip"}
    )
    assert {"0.25", "0.75", "1.00", "e0", "e1"} <= texts(picture)
    assert sum(isinstance(s, Rect) and s.stroke == "second" for s in picture.shapes) == 1


def test_bars_show_the_choice_and_intervals() -> None:
    bars = [("skip_connect", -0.5, 0.1), ("sep_conv_3x3", 1.0, 0.2)]
    picture = draw_bars(bars, title="edge", chosen=["sep_conv_3x3"])
    (chosen,) = [s for s in picture.shapes if isinstance(s, Rect) and s.fill == "accent"]
    (other,) = [s for s in picture.shapes if isinstance(s, Rect) and s.fill == "faint"]
    assert chosen.width == pytest.approx(2 * other.width, rel=0.01)


def test_ramp_darkens_evenly() -> None:
    from nas.export.canvas import luminance

    shades = [luminance(ramp(step / 10)) for step in range(11)]
    assert shades == sorted(shades, reverse=True)
    assert ramp(-1) == ramp(0)
    assert ramp(2) == ramp(1)


def test_pictures_stand_side_by_side_if_there_is_room() -> None:
    one = Picture(100, 40, ())
    assert (arranged([one, one], widest=300).width, arranged([one, one], widest=300).height) == (
        236,
        40,
    )
    assert arranged([one, one], widest=200).height == 116


def test_painters_give_png(points: list[dict[str, Any]], decision: dict[str, Any]) -> None:
    paint = painters()
    table = {"group": "normal", "rows": ["a"], "columns": ["none"], "values": [[1.0]], "step": 2}
    for name, payload in (
        ("front", {"points": points}),
        ("decision", decision),
        ("alphas", table),
    ):
        assert paint[name](payload).startswith(b"\x89PNG")


def test_arms_show_every_figure() -> None:
    arms = {"search": [0.1, 0.2], "random": [0.3]}
    picture = draw_arms(arms, {"search": (0.15, 0.1, 0.2)}, title="t")
    assert {"search", "random", "test error", "t"} <= texts(picture)
    assert to_png(picture).startswith(b"\x89PNG")


def test_decisions_without_differences_show_what_is_above_the_least() -> None:
    rows = {"a": {"error": 0.5, "loss": 1.0}, "b": {"error": 0.4, "loss": 2.0}}
    picture = decision_picture({"edge": "e", "operation": "a", "measurements": rows})
    assert {"10\u00a0%", "0\u00a0%", "error without it, above the least missed"} <= texts(picture)
    for row in rows.values():
        row["error"] = 0.3
    picture = decision_picture({"edge": "e", "operation": "b, x", "measurements": rows})
    assert "loss without it, above the least missed" in texts(picture)
    (chosen,) = [s for s in picture.shapes if isinstance(s, Rect) and s.fill == "accent"]
    assert chosen.width > 100
    assert texts(decision_picture({"edge": "e"})) >= {"e"}


def test_points_are_labelled_by_their_scale() -> None:
    scale = {"channels": 16, "layers": 8, "auxiliary": True}
    (dot,) = dots_of([{"figures": {}, "scale": scale}])
    assert (dot.label, dot.front, dot.arm) == ("C16 L8", True, "search")
