"""Layered layout of a small directed acyclic graph, left to right.

The four steps of Sugiyama, Tagawa and Toda (1981): layers by longest path,
place-holders where an edge crosses a layer (so that its curve has a lane of
its own), order within a layer by barycentres with swaps that lessen crossings,
then positions that keep the order and the gaps.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LANE = 10.0
SWEEPS = 12


@dataclass(frozen=True)
class Block:
    """A box to be placed: size in pixels."""

    name: str
    width: float
    height: float


@dataclass(frozen=True)
class Link:
    """An edge; `port` tells several links between the same two blocks apart."""

    source: str
    target: str
    port: int = 0


@dataclass
class Layout:
    """Where things go: block name to its top left corner, link to the lanes on its way."""

    width: float = 0.0
    height: float = 0.0
    corners: dict[str, tuple[float, float]] = field(default_factory=dict)
    lanes: dict[Link, list[tuple[float, float, float]]] = field(default_factory=dict)


def depths(names: Sequence[str], links: Sequence[Link]) -> dict[str, int]:
    """The layer of every block: the longest path that leads to it.

    Raises:
        ValueError: The links form a circle.
    """
    depth = dict.fromkeys(names, 0)
    for _ in range(len(names) + 1):
        changed = False
        for link in links:
            if depth[link.target] <= depth[link.source]:
                depth[link.target] = depth[link.source] + 1
                changed = True
        if not changed:
            return depth
    raise ValueError("the graph has a circle")


@dataclass
class _Item:
    """A block or a place-holder within a layer."""

    name: str
    height: float
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def _build(
    blocks: Sequence[Block], links: Sequence[Link], depth: Mapping[str, int]
) -> tuple[list[list[str]], dict[str, _Item], dict[Link, list[str]]]:
    items = {block.name: _Item(block.name, block.height) for block in blocks}
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for block in blocks:
        layers[depth[block.name]].append(block.name)
    ways: dict[Link, list[str]] = {}
    for number, link in enumerate(links):
        stops = [link.source]
        for layer in range(depth[link.source] + 1, depth[link.target]):
            name = f"lane {number} {layer}"
            items[name] = _Item(name, LANE)
            layers[layer].append(name)
            stops.append(name)
        stops.append(link.target)
        for left, right in itertools.pairwise(stops):
            items[left].after.append(right)
            items[right].before.append(left)
        ways[link] = stops[1:-1]
    return layers, items, ways


def _crossings(upper: Sequence[str], lower: Sequence[str], items: Mapping[str, _Item]) -> int:
    place = {name: index for index, name in enumerate(lower)}
    ends = [place[after] for name in upper for after in sorted(items[name].after, key=place.get)]  # type: ignore[arg-type]
    return sum(a > b for a, b in itertools.combinations(ends, 2))


def _total(layers: Sequence[Sequence[str]], items: Mapping[str, _Item]) -> int:
    return sum(_crossings(a, b, items) for a, b in itertools.pairwise(layers))


def _sweep(layers: list[list[str]], items: Mapping[str, _Item], forward: bool) -> None:
    order = range(1, len(layers)) if forward else range(len(layers) - 2, 0, -1)
    for index in order:
        fixed = layers[index - 1 if forward else index + 1]
        place = {name: position for position, name in enumerate(fixed)}
        now = {name: position for position, name in enumerate(layers[index])}

        def barycentre(
            name: str, place: Mapping[str, int] = place, now: Mapping[str, int] = now
        ) -> float:
            near = items[name].before if forward else items[name].after
            return sum(place[other] for other in near) / len(near) if near else now[name]

        layers[index].sort(key=barycentre)


def _swap(layers: list[list[str]], items: Mapping[str, _Item]) -> None:
    best = _total(layers, items)
    for layer in layers[1:]:
        for left in range(len(layer) - 1):
            layer[left], layer[left + 1] = layer[left + 1], layer[left]
            now = _total(layers, items)
            if now < best:
                best = now
            else:
                layer[left], layer[left + 1] = layer[left + 1], layer[left]


def _ordered(layers: list[list[str]], items: Mapping[str, _Item]) -> list[list[str]]:
    best = [list(layer) for layer in layers]
    fewest = _total(best, items)
    for sweep in range(SWEEPS):
        _sweep(layers, items, forward=sweep % 2 == 0)
        _swap(layers, items)
        now = _total(layers, items)
        if now < fewest:
            fewest, best = now, [list(layer) for layer in layers]
    return best


def _spread(wanted: Sequence[float], heights: Sequence[float], gap: float) -> list[float]:
    """Centres nearest to `wanted` (least squares) in the same order and `gap` apart.

    Pool-adjacent-violators on the wishes less the room that must lie above them.
    """
    room = [0.0]
    for above, below in itertools.pairwise(heights):
        room.append(room[-1] + (above + below) / 2 + gap)
    pools: list[tuple[float, int]] = []
    for wish, offset in zip(wanted, room, strict=True):
        pools.append((wish - offset, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n)]
    flat = [value for value, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(flat, room, strict=True)]


def _heights(
    layers: Sequence[Sequence[str]], items: Mapping[str, _Item], gap: float
) -> dict[str, float]:
    y: dict[str, float] = {}
    for layer in layers:
        tall = [items[name].height for name in layer]
        y.update(zip(layer, _spread([0.0] * len(layer), tall, gap), strict=True))
    for sweep in range(2 * SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wishes = []
            for name in layer:
                near = items[name].before + items[name].after
                wishes.append(sum(y[other] for other in near) / len(near) if near else y[name])
            tall = [items[name].height for name in layer]
            y.update(zip(layer, _spread(wishes, tall, gap), strict=True))
    return y


def lay_out(
    blocks: Sequence[Block],
    links: Sequence[Link],
    *,
    column_gap: float = 56.0,
    row_gap: float = 16.0,
) -> Layout:
    """Place the blocks; the first layer keeps the order of `blocks`.

    Raises:
        ValueError: The links form a circle.
    """
    depth = depths([block.name for block in blocks], links)
    layers, items, ways = _build(blocks, links, depth)
    layers = _ordered(layers, items)
    y = _heights(layers, items, row_gap)
    sizes = {block.name: block for block in blocks}
    widths = [max((sizes[n].width for n in layer if n in sizes), default=0.0) for layer in layers]
    left = [sum(widths[:index]) + column_gap * index for index in range(len(layers))]
    top = min(y[name] - items[name].height / 2 for name in y)
    layout = Layout(width=left[-1] + widths[-1])
    for index, layer in enumerate(layers):
        for name in layer:
            if name in sizes:
                x = left[index] + (widths[index] - sizes[name].width) / 2
                layout.corners[name] = (x, y[name] - sizes[name].height / 2 - top)
    for link, stops in ways.items():
        layout.lanes[link] = [
            (left[depth[link.source] + step], widths[depth[link.source] + step], y[name] - top)
            for step, name in enumerate(stops, start=1)
        ]
    layout.height = max(y[name] + items[name].height / 2 for name in y) - top
    return layout
