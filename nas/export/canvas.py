"""A tiny vector canvas: shapes as plain data, written as SVG by us or as PNG by matplotlib.

Colours are either hexadecimal or the name of a role (`ROLES`). A role has a
light and a dark value, so one SVG is legible on a white and on a dark page.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Final, TypeAlias

Point: TypeAlias = tuple[float, float]

ROLES: Final[dict[str, tuple[str, str]]] = {
    "ink": ("#1b2230", "#e9ecf3"),
    "muted": ("#5d6677", "#a3acbd"),
    "faint": ("#98a1b2", "#6d7689"),
    "hair": ("#dfe3ea", "#323a48"),
    "panel": ("#f5f7fa", "#1d2430"),
    "paper": ("#ffffff", "#141922"),
    "accent": ("#0072b2", "#56b4e9"),
    "second": ("#d55e00", "#f0894a"),
}
FONT: Final = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Rect:
    """A rectangle, rounded when `radius` is positive; `title` is its tooltip."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "none"
    stroke: str = "none"
    radius: float = 0.0
    line: float = 1.0
    dash: bool = False
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Circle:
    """A circle around (x, y); `title` is its tooltip."""

    x: float
    y: float
    radius: float
    fill: str = "none"
    stroke: str = "none"
    line: float = 1.0
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Path:
    """A polyline, or with `curved` a chain of cubic Bezier pieces (1 + 3n points)."""

    points: tuple[Point, ...]
    stroke: str = "none"
    fill: str = "none"
    line: float = 1.5
    curved: bool = False
    dash: bool = False
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Text:
    """One line of text; `anchor` is start, middle or end; y is the middle of the line."""

    x: float
    y: float
    text: str
    size: float = 12.0
    fill: str = "ink"
    anchor: str = "start"
    bold: bool = False
    rotate: float = 0.0


Shape: TypeAlias = Rect | Circle | Path | Text


@dataclass(frozen=True)
class Picture:
    """Shapes on a canvas of `width` by `height` pixels, y downwards, drawn in order."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    title: str = ""


def text_width(text: str, size: float) -> float:
    """An upper estimate of a line's width in pixels, good enough to keep labels apart."""
    narrow = sum(character in "iljtfrI.,:;|!()[]' " for character in text)
    return size * (0.64 * (len(text) - narrow) + 0.38 * narrow)


def moved(shape: Shape, dx: float, dy: float) -> Shape:
    """The shape, shifted."""
    if isinstance(shape, Path):
        return replace(shape, points=tuple((x + dx, y + dy) for x, y in shape.points))
    return replace(shape, x=shape.x + dx, y=shape.y + dy)


def arranged(pictures: Sequence[Picture], widest: float = 1500.0, gap: float = 36.0) -> Picture:
    """Several pictures as one: side by side if that is not wider than `widest`, else stacked."""
    total = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    beside = total <= widest
    shapes: list[Shape] = []
    at = 0.0
    height = max(picture.height for picture in pictures)
    for picture in pictures:
        dx, dy = (at, (height - picture.height) / 2) if beside else (0.0, at)
        shapes.extend(moved(shape, dx, dy) for shape in picture.shapes)
        at += (picture.width if beside else picture.height) + gap
    end = at - gap
    title = ", ".join(picture.title for picture in pictures if picture.title)
    if beside:
        return Picture(end, height, tuple(shapes), title)
    return Picture(max(picture.width for picture in pictures), end, tuple(shapes), title)


def luminance(colour: str) -> float:
    """Relative luminance of '#rrggbb' as in WCAG 2, from 0 (black) to 1 (white)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_on(colour: str) -> str:
    """Near-black or white, whichever stands out more on '#rrggbb'."""
    light = luminance(colour)
    return "#ffffff" if 1.05 / (light + 0.05) > (light + 0.05) / 0.062 else "#11151d"


def _number(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _colour(kind: str, value: str) -> tuple[str, str]:
    """The attribute and the class for a fill or stroke."""
    if value in ROLES:
        return f'{kind}="{ROLES[value][0]}"', f"nas-{kind[0]}-{value}"
    return f'{kind}="{escape(value)}"', ""


def _style(shape: Rect | Circle | Path) -> str:
    fill, fill_class = _colour("fill", shape.fill)
    stroke, stroke_class = _colour("stroke", shape.stroke)
    parts = [fill]
    if shape.stroke != "none":
        parts += [stroke, f'stroke-width="{_number(shape.line)}"']
    if not isinstance(shape, Circle) and shape.dash:
        parts.append('stroke-dasharray="5 4"')
    if shape.opacity < 1.0:
        parts.append(f'opacity="{_number(shape.opacity)}"')
    names = " ".join(name for name in (fill_class, stroke_class) if name)
    if names:
        parts.append(f'class="{names}"')
    return " ".join(parts)


def _path_data(path: Path) -> str:
    pairs = [f"{_number(x)} {_number(y)}" for x, y in path.points]
    start = f"M{pairs[0]}"
    if not path.curved:
        return start + "".join(f"L{pair}" for pair in pairs[1:])
    return start + "".join(f"C{' '.join(pairs[i : i + 3])}" for i in range(1, len(pairs), 3))


def _element(shape: Shape) -> str:
    if isinstance(shape, Text):
        fill, name = _colour("fill", shape.fill)
        turn = (
            f' transform="rotate({_number(shape.rotate)} {_number(shape.x)} {_number(shape.y)})"'
            if shape.rotate
            else ""
        )
        weight = ' font-weight="600"' if shape.bold else ""
        # dy instead of dominant-baseline, which several viewers ignore
        return (
            f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" dy="0.35em" '
            f'font-size="{_number(shape.size)}" text-anchor="{shape.anchor}" {fill}'
            f"{f' class={chr(34)}{name}{chr(34)}' if name else ''}{weight}{turn}>"
            f"{escape(shape.text)}</text>"
        )
    if isinstance(shape, Rect):
        radius = f' rx="{_number(shape.radius)}"' if shape.radius else ""
        opening = (
            f'rect x="{_number(shape.x)}" y="{_number(shape.y)}" width="{_number(shape.width)}" '
            f'height="{_number(shape.height)}"{radius}'
        )
    elif isinstance(shape, Circle):
        opening = (
            f'circle cx="{_number(shape.x)}" cy="{_number(shape.y)}" r="{_number(shape.radius)}"'
        )
    else:
        opening = f'path d="{_path_data(shape)}" stroke-linejoin="round"'
    tag = opening.split(" ", 1)[0]
    if shape.title:
        return f"<{opening} {_style(shape)}><title>{escape(shape.title)}</title></{tag}>"
    return f"<{opening} {_style(shape)}/>"


def dark_rules() -> str:
    """CSS that gives every role its dark value."""
    return "".join(
        f".nas-f-{name}{{fill:{dark}}}.nas-s-{name}{{stroke:{dark}}}"
        for name, (_, dark) in ROLES.items()
    )


def to_svg(picture: Picture, *, inline: bool = False) -> str:
    """The picture as SVG text; `inline` leaves out the style that a host page supplies."""
    width, height = _number(picture.width), _number(picture.height)
    style = (
        ""
        if inline
        else f"<style>@media (prefers-color-scheme: dark){{{dark_rules()}}}</style>\n"
        f'<rect width="{width}" height="{height}" fill="{ROLES["paper"][0]}" '
        'class="nas-f-paper"/>\n'
    )
    body = "\n".join(_element(shape) for shape in picture.shapes)
    title = f"<title>{escape(picture.title)}</title>\n" if picture.title else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" font-family="{FONT}">\n'
        f"{title}{style}{body}\n</svg>\n"
    )


def _plain_colour(value: str) -> str:
    return ROLES[value][0] if value in ROLES else value


def to_png(picture: Picture, scale: float = 2.0) -> bytes:
    """The picture as PNG bytes, `scale` device pixels to a picture pixel, on white."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = 72.0  # one point is one pixel, so font sizes are the SVG's
    figure = Figure(figsize=(picture.width / dpi, picture.height / dpi), dpi=dpi * scale)
    figure.patch.set_facecolor(ROLES["paper"][0])
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.axis("off")
    for order, shape in enumerate(picture.shapes):
        if isinstance(shape, Text):
            _place_text(axes, shape, order)
        else:
            axes.add_artist(_patch(shape, order))
    buffer = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _place_text(axes: Any, shape: Text, order: int) -> None:
    axes.text(
        shape.x,
        shape.y,
        shape.text.replace("$", r"\$"),
        fontsize=shape.size * 0.94,  # DejaVu Sans, matplotlib's own, is wider than the web's
        color=_plain_colour(shape.fill),
        ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
        va="center_baseline",
        weight="bold" if shape.bold else "normal",
        rotation=-shape.rotate,
        rotation_mode="anchor",
        zorder=order,
    )


def _patch(shape: Rect | Circle | Path, order: int) -> Any:
    from matplotlib import patches
    from matplotlib.path import Path as Outline

    dashed = not isinstance(shape, Circle) and shape.dash
    style: dict[str, Any] = {
        "facecolor": _plain_colour(shape.fill),
        "edgecolor": _plain_colour(shape.stroke),
        "linewidth": shape.line if shape.stroke != "none" else 0.0,
        "linestyle": (0, (5, 4)) if dashed else "-",
        "alpha": shape.opacity,
        "zorder": order,
    }
    if isinstance(shape, Circle):
        return patches.Circle((shape.x, shape.y), shape.radius, **style)
    if isinstance(shape, Rect):
        box = f"round,pad=0,rounding_size={shape.radius}" if shape.radius else "square,pad=0"
        return patches.FancyBboxPatch(
            (shape.x, shape.y), shape.width, shape.height, boxstyle=box, **style
        )
    pieces = len(shape.points) - 1
    code = Outline.CURVE4 if shape.curved else Outline.LINETO
    outline = Outline(list(shape.points), [Outline.MOVETO, *itertools.repeat(code, pieces)])
    return patches.PathPatch(outline, **style)


def arrow(tip: Point, stroke: str, size: float = 6.0) -> Path:
    """A small filled arrow head that points right at `tip`."""
    x, y = tip
    points = ((x, y), (x - size, y - size * 0.55), (x - size, y + size * 0.55), (x, y))
    return Path(points, fill=stroke)


def smooth(points: Iterable[Point]) -> tuple[Point, ...]:
    """A chain of Bezier pieces through `points` with horizontal tangents."""
    stops = list(points)
    chain: list[Point] = [stops[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(stops):
        half = (x1 - x0) / 2
        chain += [(x0 + half, y0), (x1 - half, y1), (x1, y1)]
    return tuple(chain)
