"""An architecture in words: its cells, its notation, what it costs at a stated scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nas.core.architecture import Architecture
from nas.core.config import parse_assignments
from nas.core.errors import ConfigError, NasError, SpaceError, UnsupportedError
from nas.core.space import Costed, Space
from search_spaces.scale import read_scale

InputShape = tuple[int, int, int]

PLAIN = frozenset({"", "input", "sum", "output"})
"""What a node may be that only adds up what enters it."""


@dataclass(frozen=True)
class Size:
    """What a network costs, and what it was counted for.

    Attributes:
        params: Trainable parameters, auxiliary head excluded.
        macs: Multiply-accumulates of one image.
        scale: Macro settings.
        input_shape: Channels, height, width.
        num_classes: Length of the logits.
    """

    params: int
    macs: int
    scale: Mapping[str, Any]
    input_shape: InputShape
    num_classes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "params": self.params,
            "macs": self.macs,
            "scale": dict(self.scale),
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
        }


def measure(
    space: Space,
    architecture: Architecture,
    scale: Mapping[str, Any],
    input_shape: InputShape = (3, 32, 32),
    num_classes: int = 10,
) -> Size:
    """Count parameters and multiply-accumulates; torch is imported only if the space cannot.

    Raises:
        SpaceError: A setting of the scale is unknown or out of range, or the network cannot be
            built for such inputs or does not take them.
    """
    full = read_scale(space.scale, scale, {})
    if isinstance(space, Costed):
        cost = space.cost(architecture, input_shape, num_classes, **scale)
        return Size(cost.params, cost.macs, full, input_shape, num_classes)
    from nas.measure import count_macs, count_parameters

    try:
        network = space.network(architecture, input_shape, num_classes, **scale)
        shapes = space.shapes(input_shape, num_classes, **scale)
        macs = count_macs(network, input_shape if shapes is None else shapes[0])
    except NasError:
        raise
    except Exception as error:  # whatever a network raises is about that network
        line = " ".join(str(error).split())[:200]
        raise SpaceError(
            f"this network of {space.name} has no size at {'x'.join(map(str, input_shape))} input:"
            f" {type(error).__name__}: {line}",
            "say what it takes with --input and --classes",
        ) from error
    return Size(count_parameters(network), macs, full, input_shape, num_classes)


def cells(space: Space, architecture: Architecture) -> list[str]:
    """The graph as lines of text: each node as the sum of what enters it, `none` left out."""
    import networkx as nx

    graph = space.graph(architecture)
    titles = graph.graph.get("titles", {})
    groups: dict[str, list[str]] = {str(node).rpartition("/")[0]: [] for node in graph}
    for node in nx.lexicographical_topological_sort(graph, key=_order):
        group, _, name = str(node).rpartition("/")
        entering = [
            (str(start), data.get("op", "identity"))
            for start, _, data in graph.in_edges(node, data=True)
        ]
        terms = [_term(start, op) for start, op in sorted(entering, key=lambda e: _order(e[0]))]
        terms = [term for term in terms if term]
        lines = groups[group]
        op = str(graph.nodes[node].get("op", ""))
        if op == "concat":
            lines.append(f"{name} = concatenation of {', '.join(terms)}")
        elif entering:
            text = " + ".join(terms) or "nothing"
            lines.append(f"{name} = {text if op in PLAIN else f'{op}({text})'}")
    result: list[str] = []
    for group, lines in groups.items():
        named = {"": "graph", "cell": "cell", **titles}
        result.append(named.get(group, f"{group} cell"))
        result.extend(f"  {line}" for line in lines)
    return result


def notation(space: Space, architecture: Architecture) -> str:
    """The field's own notation; empty if the space has none."""
    try:
        return space.format(architecture)
    except UnsupportedError:
        return ""


def parse_scale(texts: Iterable[str]) -> dict[str, Any]:
    """Macro settings from texts `channels=36`, or `network.channels=36` as for a search.

    Raises:
        ConfigError: A text has another form.
    """
    values = parse_assignments(texts)
    network = values.pop("network", {})
    if not isinstance(network, Mapping):
        raise ConfigError("--set network is a section", "expected network.KEY=VALUE")
    return {**values, **network}


def read_shape(text: str) -> InputShape:
    """Read `3x32x32`.

    Raises:
        ConfigError: It has another form.
    """
    try:
        channels, height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ConfigError(f"input shape {text!r}", "expected CHANNELSxHEIGHTxWIDTH") from None
    if min(channels, height, width) < 1:
        raise ConfigError(f"input shape {text!r} has a part below 1", "expected such as 3x32x32")
    return channels, height, width


def _term(start: str, op: str) -> str:
    name = start.rpartition("/")[2]
    if op == "none":
        return ""
    return name if op == "identity" else f"{op}({name})"


def _order(node: object) -> tuple[str, bool, str]:
    group, _, name = str(node).rpartition("/")
    return group, not name.startswith("input"), name.zfill(9) if name.isdigit() else name
