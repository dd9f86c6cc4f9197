"""Charts on the vector canvas: curves, heat maps, bars with intervals, arms side by side."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from nas.export.axes import drawable, fit, metric_name, tick_text, x_axis, y_axis
from nas.export.canvas import Circle, Path, Picture, Rect, Shape, Text, text_on, text_width
from nas.export.palette import label

LINES: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a93a5")
# light to dark, even steps in lightness, legible under colour blindness
RAMP: Final = ("#f3f6fb", "#d3e3f3", "#a6c9e6", "#6faad6", "#3a87c0", "#12649f", "#084574")


def draw_curves(
    series: Mapping[str, Sequence[Sequence[float]]],
    *,
    title: str,
    x_name: str = "epoch",
    metric: str = "",
    size: tuple[float, float] = (440.0, 260.0),
    marks: Sequence[float] = (),
    bands: Mapping[str, Sequence[Sequence[float]]] | None = None,
    log: bool | None = None,
) -> Picture:
    """Lines of (x, y) pairs by name.

    Points that are not finite are left out; names stand above the plot if there are several.

    Args:
        series: The lines.
        title: Printed above.
        x_name: Name of the horizontal axis.
        metric: What the vertical axis is, for its ticks.
        size: Of the picture.
        marks: Positions on the horizontal axis drawn as dashed verticals.
        bands: By a line's name, triples (x, low, high) drawn as a shade around it.
        log: Force or forbid a logarithmic vertical axis.
    """
    width, height = size
    clean = {
        name: [(float(x), float(y)) for x, y in pairs if drawable(x) and drawable(y)]
        for name, pairs in series.items()
    }
    xs = [x for pairs in clean.values() for x, _ in pairs] + list(marks)
    ys = [y for pairs in clean.values() for _, y in pairs]
    left, top, bottom = 62.0, 66.0 if len(clean) > 1 else 44.0, height - 46.0
    across = fit(xs, left, width - 14, log=False, margin=0.02)
    shades = {
        name: [
            (x, low, high) for x, low, high in (bands or {}).get(name, ()) if drawable(low + high)
        ]
        for name in clean
    }
    ys += [y for triples in shades.values() for _, low, high in triples for y in (low, high)]
    up = fit(ys, bottom, top, log=log)
    shapes: list[Shape] = [Text(10, 16, title, 14, bold=True)]
    if len(clean) > 1:
        shapes += _legend(list(clean), 10, 40)
    shapes += y_axis(up, left, width - 14, "", metric)
    shapes += x_axis(across, bottom, top, x_name)
    for mark in marks:
        at = across(mark)
        shapes.append(Path(((at, top), (at, bottom)), "second", line=1.2, dash=True))
    for index, triples in enumerate(shades.values()):
        if len(triples) > 1:
            edge = [(across(x), up(high)) for x, _, high in triples]
            edge += [(across(x), up(low)) for x, low, _ in reversed(triples)]
            shapes.append(Path(tuple(edge), fill=LINES[index % len(LINES)], opacity=0.16))
    for index, (name, pairs) in enumerate(clean.items()):
        colour = LINES[index % len(LINES)]
        points = tuple((across(x), up(y)) for x, y in pairs)
        if len(points) > 1:
            shapes.append(Path(points, colour, line=1.8))
        if len(points) <= 40:
            shapes += [Circle(x, y, 2.2, colour) for x, y in points]
        shapes += [Circle(x, y, 3.2, colour, "paper", 1, title=name) for x, y in points[-1:]]
    return Picture(width, height, tuple(shapes), title)


def _legend(names: Sequence[str], x: float, y: float) -> list[Shape]:
    shapes: list[Shape] = []
    for index, name in enumerate(names):
        shapes.append(Rect(x, y - 4, 14, 8, LINES[index % len(LINES)], radius=4))
        shapes.append(Text(x + 20, y, name, 11.5, "muted"))
        x += 34 + text_width(name, 11.5)
    return shapes


def ramp(share: float) -> str:
    """'#rrggbb' for a share of 0 to 1, between the stops of `RAMP`."""
    place = min(max(share, 0.0), 1.0) * (len(RAMP) - 1)
    index = min(int(place), len(RAMP) - 2)
    rest = place - index
    pair = (RAMP[index], RAMP[index + 1])
    mixed = [
        round(int(pair[0][at : at + 2], 16) * (1 - rest) + int(pair[1][at : at + 2], 16) * rest)
        for at in (1, 3, 5)
    ]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def draw_heatmap(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    title: str,
    chosen: Mapping[str, str] | None = None,
) -> Picture:
    """Numbers from 0 to 1 as a table of shades, with the numbers written in.

    Args:
        rows: Names of the rows (edges).
        columns: Names of the columns (operations).
        values: One list per row; None is an operation the row does not have.
        title: Printed above.
        chosen: Row name to the column that is framed.
    """
    cell_width, cell_height = 64.0, 24.0
    left = max((text_width(row, 11.5) for row in rows), default=0.0) + 22
    heads = [label(column) for column in columns]
    lean = max((text_width(head, 11.5) for head in heads), default=0.0) * 0.62
    top = 40 + lean
    width = left + cell_width * len(columns) + 14 + lean * 0.9
    height = top + cell_height * len(rows) + 14
    shapes: list[Shape] = [Text(10, 16, title, 14, bold=True)]
    for index, head in enumerate(heads):
        at = left + cell_width * (index + 0.5)
        shapes.append(Text(at - 6, top - 10, head, 11.5, "muted", rotate=-36))
    for line, (row, numbers) in enumerate(zip(rows, values, strict=True)):
        y = top + cell_height * line
        shapes.append(Text(left - 10, y + cell_height / 2, row, 11.5, "ink", "end"))
        for index, number in enumerate(numbers):
            if number is None or not math.isfinite(number):
                continue
            x = left + cell_width * index
            fill = ramp(number)
            shapes.append(Rect(x + 1, y + 1, cell_width - 2, cell_height - 2, fill, radius=3))
            middle = (x + cell_width / 2, y + cell_height / 2)
            shapes.append(Text(*middle, f"{number:.2f}", 11, text_on(fill), "middle"))
    for line, row in enumerate(rows):
        if chosen and chosen.get(row) in columns:
            x = left + cell_width * columns.index(chosen[row])
            y = top + cell_height * line
            box = (x + 1, y + 1, cell_width - 2, cell_height - 2)
            shapes.append(Rect(*box, "none", "second", 3, 2.2))
    return Picture(width, height, tuple(shapes), title)


def draw_bars(
    bars: Sequence[tuple[str, float, float]],
    *,
    title: str,
    note: str = "",
    chosen: Collection[str] = (),
    metric: str = "",
    name: str = "",
) -> Picture:
    """Horizontal bars (name, value, half width of its interval), the chosen in colour."""
    row, top = 28.0, 58.0 if note else 40.0
    left = max((text_width(label(bar), 12) for bar, _, _ in bars), default=0.0) + 28
    width = left + 430
    bottom = top + row * len(bars) + 4
    ends = [value + sign * half for _, value, half in bars for sign in (-1, 1)]
    across = fit(ends, left, width - 96, log=False, zero=True, margin=0.03)
    shapes: list[Shape] = [Text(10, 16, title, 14, bold=True)]
    if note:
        shapes.append(Text(10, 38, note, 11.5, "muted"))
    shapes += x_axis(across, bottom, top, name, metric)
    for index, (bar, value, half) in enumerate(bars):
        middle = top + row * (index + 0.5)
        fill = "accent" if bar in chosen else "faint"
        start, end = sorted((across(0.0), across(value)))
        shapes.append(Text(left - 12, middle, label(bar), 12, "ink", "end", bold=bar in chosen))
        shapes.append(
            Rect(start, middle - 8, max(end - start, 1.0), 16, fill, radius=3, opacity=0.85)
        )
        reach = max(across(value), across(0.0))
        if half > 0:
            low, high = across(value - half), across(value + half)
            shapes.append(Path(((low, middle), (high, middle)), "ink", line=1.4))
            shapes += [
                Path(((at, middle - 4), (at, middle + 4)), "ink", line=1.4) for at in (low, high)
            ]
            reach = max(reach, high)
        shapes.append(Text(reach + 8, middle, tick_text(value, metric), 11, "muted"))
    shapes.append(Path(((across(0.0), top), (across(0.0), bottom)), "ink", line=1.2))
    return Picture(width, bottom + 46, tuple(shapes), title)


def draw_arms(
    arms: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float, float]],
    *,
    metric: str = "test_error",
    title: str = "",
) -> Picture:
    """Every seed's figure as a dot, one row per arm, with mean and interval below the dots.

    Args:
        arms: Arm name to its figures.
        intervals: Arm name to (mean, low, high).
        metric: What the figures are.
        title: Printed above.
    """
    row, top = 62.0, 44.0 if title else 14.0
    left = max(text_width(arm, 13) for arm in arms) + 30
    width, bottom = left + 520, top + row * len(arms)
    values = [v for figures in arms.values() for v in figures]
    values += [v for triple in intervals.values() for v in triple]
    across = fit(values, left, width - 20, log=False)
    shapes: list[Shape] = [Text(10, 16, title, 14, bold=True)] if title else []
    shapes += x_axis(across, bottom, top, metric_name(metric), metric)
    for index, (arm, figures) in enumerate(arms.items()):
        fill = "accent" if index == 0 else "second"
        middle = top + row * (index + 0.5)
        shapes.append(Text(left - 14, middle, arm, 13, "ink", "end", bold=index == 0))
        for value in figures:
            tip = tick_text(value, metric)
            shapes.append(Circle(across(value), middle - 10, 4.5, fill, opacity=0.75, title=tip))
        if arm in intervals:
            mean, low, high = intervals[arm]
            y = middle + 10
            shapes.append(Path(((across(low), y), (across(high), y)), fill, line=4))
            shapes.append(Circle(across(mean), y, 5.5, "paper", fill, 2.5))
    return Picture(width, bottom + 46, tuple(shapes), title)
