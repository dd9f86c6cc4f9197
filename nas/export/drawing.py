"""Cells as pictures: every node is a card that holds the operations which feed it.

An operation sits right before the node it leads to, so its label always has
room of its own and a line only says where the operation's input comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nas.export.canvas import (
    Circle,
    Path,
    Picture,
    Point,
    Rect,
    Shape,
    Text,
    arranged,
    arrow,
    moved,
    smooth,
    text_on,
    text_width,
)
from nas.export.layered import Block, Layout, Link, lay_out
from nas.export.palette import colour, label

PILL_HEIGHT: Final = 25.0
PILL_GAP: Final = 7.0
PADDING: Final = 9.0
NODE: Final = 12.0  # radius of a node's circle
MARGIN: Final = 20.0
TITLE: Final = 34.0
SIZE: Final = 12.5


@dataclass(frozen=True)
class Arc:
    """One edge of a cell; an empty `operation` is a plain connection (concatenation)."""

    source: str
    target: str
    operation: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell to draw: `nodes` maps every node to its printed name, in topological order."""

    title: str
    nodes: Mapping[str, str]
    arcs: tuple[Arc, ...]


def draw_cells(cells: Sequence[Cell], title: str = "") -> Picture:
    """All cells in one figure, side by side when there is room.

    Raises:
        ValueError: A cell has a circle, or there is no cell.
    """
    if not cells:
        raise ValueError("there is no cell to draw")
    return replace(arranged([draw_cell(cell) for cell in cells]), title=title)


def draw_cell(cell: Cell) -> Picture:
    """One cell, left to right."""
    feeds: dict[str, list[Arc]] = {name: [] for name in cell.nodes}
    for arc in cell.arcs:
        feeds[arc.target].append(arc)
    pill = _pill_width(cell.arcs)
    blocks = [_block(name, cell.nodes[name], feeds[name], pill) for name in cell.nodes]
    links = {arc: Link(arc.source, arc.target, port) for port, arc in enumerate(cell.arcs)}
    layout = lay_out(blocks, list(links.values()))
    sizes = {block.name: block for block in blocks}
    backs: list[Shape] = []
    lines: list[Shape] = []
    cards: list[Shape] = []
    for name, printed in cell.nodes.items():
        ordered = sorted(feeds[name], key=lambda arc: _origin(links[arc], layout, sizes))
        corner = layout.corners[name]
        if any(arc.operation for arc in ordered):
            backs.append(_card(corner, sizes[name]))
            ports = _draw_node(cards, corner, sizes[name], printed, ordered, pill)
        else:
            ports = _draw_end(cards, corner, sizes[name], printed, len(ordered))
        for arc, port in zip(ordered, ports, strict=True):
            lines += _connection(arc, links[arc], port, layout, sizes)
    shapes = tuple(moved(shape, MARGIN, MARGIN + TITLE) for shape in (*backs, *lines, *cards))
    heading = Text(MARGIN, MARGIN + 6, cell.title, size=15, bold=True)
    width = max(layout.width, text_width(cell.title, 15)) + 2 * MARGIN
    return Picture(width, layout.height + 2 * MARGIN + TITLE, (heading, *shapes), cell.title)


def _pill_width(arcs: Iterable[Arc]) -> float:
    labels = [label(arc.operation) for arc in arcs if arc.operation]
    return max((text_width(text, SIZE) for text in labels), default=40.0) + 20


def _block(name: str, printed: str, feeds: Sequence[Arc], pill: float) -> Block:
    operations = sum(bool(arc.operation) for arc in feeds)
    if operations:
        height = operations * (PILL_HEIGHT + PILL_GAP) - PILL_GAP + 2 * PADDING
        return Block(name, pill + 2 * PADDING + 2 * NODE + 12, max(height, 2 * NODE + 2 * PADDING))
    height = max(34.0, 22.0 * len(feeds))
    return Block(name, text_width(printed, 14) + 24, height)


def _origin(link: Link, layout: Layout, sizes: Mapping[str, Block]) -> tuple[float, int]:
    """Where a link comes from just before its target: its height, then its number."""
    lanes = layout.lanes[link]
    if lanes:
        return lanes[-1][2], link.port
    return layout.corners[link.source][1] + sizes[link.source].height / 2, link.port


def _card(corner: Point, block: Block) -> Rect:
    return Rect(*corner, block.width, block.height, "panel", "hair", 12, 1.2)


def _draw_end(
    shapes: list[Shape], corner: Point, block: Block, printed: str, feeds: int
) -> list[Point]:
    """Add an input, or an output that only gathers; returns where its lines end."""
    x, y = corner
    fill = "panel" if feeds else "paper"
    shapes.append(Rect(x, y, block.width, block.height, fill, "faint", 8, 1.3))
    middle = y + block.height / 2
    shapes.append(Text(x + block.width / 2, middle, printed, 14, anchor="middle", bold=True))
    step = block.height / (feeds + 1)
    return [(x, y + step * (index + 1)) for index in range(feeds)]


def _draw_node(
    shapes: list[Shape],
    corner: Point,
    block: Block,
    printed: str,
    feeds: Sequence[Arc],
    pill: float,
) -> list[Point]:
    """Add a node's operations and its circle; returns where their lines end."""
    x, y = corner
    centre = (x + block.width - PADDING - NODE, y + block.height / 2)
    tall = len(feeds) * (PILL_HEIGHT + PILL_GAP) - PILL_GAP
    top = y + (block.height - tall) / 2
    ports: list[Point] = []
    for index, arc in enumerate(feeds):
        middle = top + index * (PILL_HEIGHT + PILL_GAP) + PILL_HEIGHT / 2
        start = (x + PADDING + pill, middle)
        end = (centre[0] - NODE, centre[1])
        shapes.append(Path(smooth([start, end]), "faint", line=1.4, curved=True))
        shapes += _pill(x + PADDING, middle, pill, arc)
        ports.append((x + PADDING, middle))
    size = 12.5 if len(printed) < 3 else 9.5
    shapes.append(Circle(*centre, NODE + (len(printed) >= 3), "paper", "ink", 1.4))
    shapes.append(Text(*centre, printed, size, anchor="middle", bold=True))
    return ports


def _pill(x: float, middle: float, width: float, arc: Arc) -> list[Shape]:
    absent = arc.operation == "none"
    fill = "paper" if absent else colour(arc.operation)
    ink = "muted" if absent else text_on(fill)
    box = Rect(
        x,
        middle - PILL_HEIGHT / 2,
        width,
        PILL_HEIGHT,
        fill,
        "faint" if absent else "none",
        PILL_HEIGHT / 2,
        1.2,
        dash=absent,
        title=f"{arc.operation}: {arc.source} to {arc.target}",
    )
    return [box, Text(x + width / 2, middle, label(arc.operation), SIZE, ink, "middle")]


def _connection(
    arc: Arc, link: Link, port: Point, layout: Layout, sizes: Mapping[str, Block]
) -> list[Shape]:
    """The line from a node to the operation it feeds, through the lanes it was given."""
    x, y = layout.corners[arc.source]
    block = sizes[arc.source]
    absent = arc.operation == "none"
    stroke = colour(arc.operation) if arc.operation and not absent else "faint"
    points: list[Point] = [(x + block.width, y + block.height / 2)]
    for left, width, lane in layout.lanes[link]:
        points += smooth([points[-1], (left, lane), (left + width, lane)])[1:]
    last = (port[0] - PADDING, port[1])
    points += smooth([points[-1], last, (port[0] - 5, port[1])])[1:]
    weight = 1.9 if arc.operation else 1.4
    line = Path(tuple(points), stroke, line=weight, curved=True, dash=absent)
    return [line] if absent else [line, arrow(port, stroke, 6.5)]


def cells_of(graph: Any) -> list[Cell]:
    """The cells of a space's graph.

    Args:
        graph: A `networkx.DiGraph`. Edges carry the operation as "op"; where they carry none,
            nodes do, and an edge shows the operation of the node it leads to. Nodes may carry
            "cell", the cell they belong to, else their names up to the last slash tell. Edges
            into a node whose "op" is "concat" are drawn as plain lines. The graph's own "titles"
            say what to write over cells.
    """
    nodes: dict[str, dict[str, str]] = {}
    arcs: dict[str, list[Arc]] = {}
    for node, data in graph.nodes(data=True):
        group, short = _split(node, data)
        ends = graph.out_degree(node) == 0
        nodes.setdefault(group, {})[str(node)] = _printed(short, data.get("op"), ends)
    for source, target, data in graph.edges(data=True):
        at = graph.nodes[target]
        group, _ = _split(target, at)
        gathers = at.get("op") == "concat"
        operation = "" if gathers else str(data.get("op") or at.get("op") or "")
        arcs.setdefault(group, []).append(Arc(str(source), str(target), operation))
    titles = graph.graph.get("titles", {})
    return [
        Cell(titles.get(group) or _title(group), names, tuple(arcs.get(group, ())))
        for group, names in nodes.items()
    ]


def _split(node: object, data: Mapping[str, Any]) -> tuple[str, str]:
    group, slash, short = str(node).rpartition("/")
    if "cell" in data:
        return str(data["cell"]), short
    return (group, short) if slash else ("", str(node))


_INPUTS: Final = {"input0": "c\u2096\u208b\u2082", "input1": "c\u2096\u208b\u2081"}


def _printed(short: str, op: str | None, ends: bool) -> str:
    if short in _INPUTS:
        return _INPUTS[short]
    if op == "concat" and ends:
        return "c\u2096"
    if op == "input":
        return "in"
    return "out" if op == "output" else short


def _title(group: str) -> str:
    names = {"normal": "Normal cell", "reduce": "Reduction cell", "": "Cell", "cell": "Cell"}
    return names.get(group, group)
