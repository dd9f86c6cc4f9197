"""The front as a picture: the goal against cost, one panel per cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nas.export.axes import Scale, drawable, fit, metric_name, short, x_axis, y_axis
from nas.export.canvas import (
    Circle,
    Path,
    Picture,
    Rect,
    Shape,
    Text,
    arranged,
    text_width,
)

SEARCH: Final = "search"
RANDOM: Final = "random"
PANEL: Final = (560.0, 420.0)


@dataclass(frozen=True)
class Dot:
    """One evaluated candidate: where it came from and what it scored.

    Args:
        figures: Metric name to number.
        arm: "search", "random", or the name of another source.
        label: Printed beside the point when there is room; may be empty.
        front: Whether it is on the front of the run.
    """

    figures: Mapping[str, float]
    arm: str = SEARCH
    label: str = ""
    front: bool = False


def staircase(
    pairs: Sequence[tuple[float, float]], directions: tuple[str, str] = ("min", "min")
) -> list[tuple[float, float]]:
    """The non-dominated of (cost, target) pairs, the best cost first.

    Args:
        pairs: The points.
        directions: Where cost and target go, "min" or "max".
    """
    x, y = (-1.0 if direction == "max" else 1.0 for direction in directions)
    kept: list[tuple[float, float]] = []
    for cost, target in sorted(set(pairs), key=lambda pair: (x * pair[0], y * pair[1])):
        if not kept or y * target < y * kept[-1][1]:
            kept.append((cost, target))
    return kept


def draw_front(
    dots: Sequence[Dot],
    *,
    target: str = "error",
    costs: Sequence[str] = ("params", "macs"),
    directions: Mapping[str, str] | None = None,
    title: str = "",
) -> Picture:
    """Panels of `target` against each of `costs` that the dots have; one message if none.

    A dot without one of a panel's two figures (or with one that is not finite) is left out of
    that panel.

    Args:
        dots: The candidates.
        target: Metric of the vertical axes.
        costs: Metrics of the horizontal axes.
        directions: Metric to "min" or "max"; what is absent is minimised. `test_NAME` goes where
            NAME does.
        title: Of the picture, for readers that cannot see it.
    """
    known = directions or {}
    up = known.get(target, known.get(target.removeprefix("test_"), "min"))
    panels = []
    for cost in costs:
        usable = [dot for dot in dots if _has(dot, target) and _has(dot, cost)]
        if usable:
            panels.append(_panel(usable, target, cost, (known.get(cost, "min"), up)))
    if not panels:
        return Picture(320, 60, (Text(20, 30, "no figures to draw yet", 13, "muted"),), title)
    picture = arranged(panels, gap=20)
    return Picture(picture.width, picture.height, picture.shapes, title or "front")


def _has(dot: Dot, metric: str) -> bool:
    return drawable(dot.figures.get(metric))


def _panel(dots: Sequence[Dot], target: str, cost: str, directions: tuple[str, str]) -> Picture:
    width, height = PANEL
    left, right, top, bottom = 76.0, width - 24, 62.0, height - 54
    across = fit([dot.figures[cost] for dot in dots], left, right)
    up = fit([dot.figures[target] for dot in dots], bottom, top)
    scaled = " (log scale)" if across.log else ""
    shapes: list[Shape] = y_axis(up, left, right, "", target)
    shapes += x_axis(across, bottom, top, metric_name(cost) + scaled, cost)
    shapes.append(Text(12, 16, f"{metric_name(target)} against {metric_name(cost)}", 14, bold=True))
    arms = list(dict.fromkeys(dot.arm for dot in dots))
    shapes += _key(dots, arms, 14, 40)
    pairs = [(d.figures[cost], d.figures[target]) for d in dots if d.arm != RANDOM]
    end = left if directions[0] == "max" else right
    shapes += _front_line(staircase(pairs, directions), across, up, end)
    order = {SEARCH: 2, RANDOM: 1}
    for dot in sorted(dots, key=lambda dot: (dot.front, order.get(dot.arm, 0))):
        shapes += _mark(dot, across(dot.figures[cost]), up(dot.figures[target]), target, cost)
    shapes += _labels(dots, across, up, target, cost)
    return Picture(width, height, tuple(shapes), f"{target} against {cost}")


def _front_line(
    stairs: Sequence[tuple[float, float]], across: Scale, up: Scale, end: float
) -> list[Shape]:
    """Steps from the best cost to the worst, and on to `end`, a pixel of the horizontal axis."""
    if len(stairs) < 2:
        return []
    points: list[tuple[float, float]] = []
    for cost, target in stairs:
        x, y = across(cost), up(target)
        if points:
            points.append((x, points[-1][1]))
        points.append((x, y))
    points.append((end, points[-1][1]))
    return [Path(tuple(points), "accent", line=1.8, opacity=0.55)]


def _diamond(x: float, y: float, radius: float, fill: str, tip: str, faint: bool) -> Path:
    r = radius * 1.2
    points = ((x, y - r), (x + r, y), (x, y + r), (x - r, y), (x, y - r))
    return Path(points, "second", fill, 1.6, opacity=0.55 if faint else 1.0, title=tip)


def _mark(dot: Dot, x: float, y: float, target: str, cost: str) -> list[Shape]:
    numbers = (
        f"{metric_name(target)} {short(dot.figures[target], target)}, "
        f"{metric_name(cost)} {short(dot.figures[cost], cost)}"
    )
    tip = f"{dot.label}: {numbers}" if dot.label else numbers
    if dot.arm == RANDOM:
        return [_diamond(x, y, 4.2, "paper", tip, faint=not dot.front)]
    if dot.front:
        return [Circle(x, y, 6, "accent", "paper", 1.5, title=tip)]
    return [Circle(x, y, 4.2, "accent", opacity=0.28, title=tip)]


def _key(dots: Sequence[Dot], arms: Sequence[str], x: float, y: float) -> list[Shape]:
    shapes: list[Shape] = []
    rows: list[tuple[Shape, str]] = []
    if any(dot.front and dot.arm != RANDOM for dot in dots):
        rows.append((Circle(x, y, 5.5, "accent"), "on the front"))
    if any(not dot.front and dot.arm != RANDOM for dot in dots):
        rows.append((Circle(x, y, 4.2, "accent", opacity=0.28), "dominated"))
    if RANDOM in arms:
        rows.append((_diamond(x, y, 4.2, "paper", "", False), "random arm"))
    at = 0.0
    for sign, text in rows:
        shifted = (
            Circle(x + at, y, sign.radius, sign.fill, opacity=sign.opacity)
            if isinstance(sign, Circle)
            else _diamond(x + at, y, 4.2, "paper", "", False)
        )
        shapes += [shifted, Text(x + at + 12, y, text, 11.5, "muted")]
        at += 34 + text_width(text, 11.5)
    return shapes


def _labels(dots: Sequence[Dot], across: Scale, up: Scale, target: str, cost: str) -> list[Shape]:
    """Names of front points, each where it hides no point and no other name, or not at all."""
    places = [(across(d.figures[cost]), up(d.figures[target])) for d in dots]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    shapes: list[Shape] = []
    for dot, (x, y) in sorted(zip(dots, places, strict=True), key=lambda pair: pair[1][1]):
        if not (dot.front and dot.label):
            continue
        wide = text_width(dot.label, 11)
        for at_x, at_y in ((x + 10, y - 11), (x + 10, y + 12), (x - wide - 10, y + 12)):
            box = (at_x, at_y - 7, at_x + wide, at_y + 7)
            inside = box[0] >= across.start and box[2] <= PANEL[0] and box[3] <= up.start
            if inside and not any(_overlap(box, other) for other in taken):
                shapes.append(Rect(box[0] - 2, box[1], wide, 14, "paper", opacity=0.75, radius=3))
                shapes.append(Text(at_x, at_y, dot.label, 11, "ink"))
                taken.append(box)
                break
    return shapes


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
