from __future__ import annotations

import itertools
from collections.abc import Callable
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest

from nas.core.architecture import Architecture
from nas.export.canvas import Circle, Path, Picture, Rect, Text, text_on, to_png, to_svg
from nas.export.drawing import Arc, Cell, cells_of, draw_cell, draw_cells
from nas.export.layered import Block, Link, lay_out
from nas.export.palette import colour, label
from nas.export.picture_files import architecture_picture
from search_spaces import get_space, list_spaces

SVG = "{http://www.w3.org/2000/svg}"
BUILT_IN = ["darts", "darts-s1", "darts-s2", "darts-s3", "darts-s4", "nasbench201"]


def pills(picture: Picture) -> list[Rect]:
    return [shape for shape in picture.shapes if isinstance(shape, Rect) and shape.title]


@pytest.mark.parametrize("space", BUILT_IN)
@pytest.mark.parametrize("seed", range(4))
def test_every_operation_is_written(
    space: str, seed: int, member: Callable[..., Architecture]
) -> None:
    architecture = member(space, seed)
    graph = get_space(space).graph(architecture)
    wanted = sorted(
        data["op"]
        for _, target, data in graph.edges(data=True)
        if graph.nodes[target]["op"] != "concat"
    )
    root = ElementTree.fromstring(to_svg(architecture_picture(architecture)))
    titles = [node.text or "" for node in root.iter(f"{SVG}title")]
    drawn = sorted(title.split(":")[0] for title in titles if ": " in title)
    assert drawn == wanted
    texts = {node.text for node in root.iter(f"{SVG}text")}
    assert {label(operation) for operation in wanted} <= texts


@pytest.mark.parametrize("space", BUILT_IN)
def test_nothing_overlaps_and_everything_is_inside(
    space: str, member: Callable[..., Architecture]
) -> None:
    for seed in range(25):
        picture = architecture_picture(member(space, seed))
        boxes = [(p.x, p.y, p.x + p.width, p.y + p.height) for p in pills(picture)]
        for a, b in itertools.combinations(boxes, 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        for shape in picture.shapes:
            points = shape.points if isinstance(shape, Path) else [(shape.x, shape.y)]
            for x, y in points:
                assert 0 <= x <= picture.width
                assert 0 <= y <= picture.height


def test_lines_do_not_cross_cards(member: Callable[..., Architecture]) -> None:
    """A line may touch the card it leaves and the card it enters, no other."""
    for seed in range(25):
        picture = architecture_picture(member("darts", seed))
        cards = [s for s in picture.shapes if isinstance(s, Rect) and s.stroke == "hair"]
        lines = [s for s in picture.shapes if isinstance(s, Path) and s.curved and s.line != 1.4]
        for line in lines:
            ends = (line.points[0], line.points[-1])
            for card in cards:
                inside = [
                    (x, y)
                    for x, y in _along(line.points)
                    if card.x + 1 < x < card.x + card.width - 1
                    and card.y + 1 < y < card.y + card.height - 1
                ]
                near = any(
                    card.x - 1 <= x <= card.x + card.width + 1
                    and card.y <= y <= card.y + card.height
                    for x, y in ends
                )
                assert near or not inside


def _along(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Points on a chain of cubic Bezier pieces."""
    found = []
    for start in range(0, len(points) - 1, 3):
        corners = np.array(points[start : start + 4])
        for t in np.linspace(0, 1, 21):
            weights = np.array([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
            x, y = weights @ corners
            found.append((float(x), float(y)))
    return found


def test_registered_spaces_can_all_be_drawn(member: Callable[..., Architecture]) -> None:
    for name in list_spaces():
        assert architecture_picture(member(name)).width > 0


def test_cells_are_told_apart_and_named(member: Callable[..., Architecture]) -> None:
    space = get_space("darts")
    normal, reduction = cells_of(space.graph(member("darts")))
    assert (normal.title, reduction.title) == ("Normal cell", "Reduction cell")
    assert list(normal.nodes.values())[:2] == ["c\u2096\u208b\u2082", "c\u2096\u208b\u2081"]
    assert sum(not arc.operation for arc in normal.arcs) == 4


def test_a_graph_with_operations_on_nodes_is_drawn() -> None:
    graph = nx.DiGraph()
    graph.add_node("in", op="input")
    graph.add_node("a", op="conv")
    graph.add_node("b", op="relu")
    graph.add_edges_from([("in", "a"), ("a", "b"), ("in", "b")])
    (cell,) = cells_of(graph)
    assert sorted(arc.operation for arc in cell.arcs) == ["conv", "relu", "relu"]
    assert len(pills(draw_cell(cell))) == 3


def test_names_are_escaped() -> None:
    cell = Cell("<b>&", {"a": "<", "b": "&"}, (Arc("a", "b", "<script>"),))
    text = to_svg(draw_cells([cell], "<t>"))
    ElementTree.fromstring(text)
    assert "<script>" not in text


def test_same_input_same_bytes(member: Callable[..., Architecture]) -> None:
    picture = architecture_picture(member("darts"))
    assert to_svg(picture) == to_svg(architecture_picture(member("darts")))
    assert to_png(picture) == to_png(picture)


def test_png_has_the_size_asked_for() -> None:
    picture = Picture(120, 50, (Circle(10, 10, 5, "accent"), Text(5, 5, "a $ b", 12)))
    content = to_png(picture, scale=2)
    assert content.startswith(b"\x89PNG")
    assert [int.from_bytes(content[at : at + 4], "big") for at in (16, 20)] == [240, 100]


def test_a_circle_is_refused() -> None:
    blocks = [Block("a", 10, 10), Block("b", 10, 10)]
    with pytest.raises(ValueError, match="circle"):
        lay_out(blocks, [Link("a", "b"), Link("b", "a")])


def test_text_on_colours_is_legible() -> None:
    from nas.export.canvas import luminance

    for operation in ("sep_conv_3x3", "dil_conv_5x5", "skip_connect", "max_pool_3x3", "new_one"):
        fill = colour(operation)
        light, dark = sorted((luminance(fill), luminance(text_on(fill))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5
