"""Encodings against enumeration of paths by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

from nas.core.architecture import Architecture
from nas.core.choices import Categorical, Integer
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from nas.testing.toys import ToySpace
from predictors.encodings import ENCODINGS, encoder
from predictors.encodings.base import Encoder
from predictors.encodings.graphs import Reader
from predictors.statistics import Sizes, sizes
from search_spaces import get_space

SPACES = ("nasbench201", "nasbench101", "darts")


def some(space: Space, count: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def paths(graph: nx.DiGraph, cell: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every way from an input of a cell to its output: the input, and the operations met."""
    nodes = {node: data for node, data in graph.nodes(data=True) if data.get("cell", cell) == cell}
    inputs = [node for node, data in nodes.items() if data["op"] == "input"]
    (output,) = (node for node, data in nodes.items() if data["op"] in ("output", "concat"))
    for start in inputs:
        for way in nx.all_simple_paths(graph, start, output):
            met: list[str] = []
            for source, target in pairwise(way):
                met.append(graph.edges[source, target].get("op", "identity"))
                met.append(nodes[target]["op"])
            if "none" not in met:
                plain = ("identity", "sum", "concat", "output")
                yield str(start), tuple(op for op in met if op not in plain)


@pytest.mark.parametrize("name", SPACES)
def test_path_encoding_lists_the_paths(name: str) -> None:
    space = get_space(name)
    read = Reader(space)
    code = encoder(space, "path")
    for member in some(space, 25):
        listed: list[tuple[int, ...]] = []
        ports: dict[tuple[str, str], int] = {}
        graph = space.graph(member)
        for node, data in graph.nodes(data=True):
            if data["op"] == "input":
                cell = data.get("cell", "cell")
                ports[cell, str(node)] = sum(key[0] == cell for key in ports)
        (row,) = code([member])
        width = len(row) // len(read.cells)
        for index, cell in enumerate(read.cells):
            names, inputs = len(read.operations), read.ports
            expected = np.zeros(width)
            for start, operations in paths(graph, cell):
                length = len(operations)
                offset = sum(inputs * names**k for k in range(length))
                number = ports[cell, start]
                for operation in operations:
                    number = number * names + read.operations.index(operation)
                if offset + number < width:
                    expected[offset + number] = 1
            listed.append(tuple(expected))
            assert row[index * width : (index + 1) * width].tolist() == expected.tolist()


@pytest.mark.parametrize("name", SPACES)
def test_features_of_paths(name: str) -> None:
    from predictors.encodings.features import _along_paths, _only, _paths

    space = get_space(name)
    read = Reader(space)
    members = some(space, 40)
    for cell, graphs in read(members).items():
        is_op = graphs.operations[:, :, None] == np.arange(len(read.operations))
        most, fewest = _along_paths(graphs, is_op)
        only = _only(graphs, is_op)
        number, through = _paths(graphs, is_op)
        for row, member in enumerate(members):
            ways = [operations for _, operations in paths(space.graph(member), cell)]
            assert number[row] == len(ways)
            for index, operation in enumerate(read.operations):
                counts = [way.count(operation) for way in ways]
                assert most[row, index] == max(counts, default=0)
                if ways:
                    assert fewest[row, index] == min(counts)
                assert through[row, index] == sum(counts)
                alone = [len(way) + 1 for way in ways if set(way) <= {operation}]
                assert only[row, index] == max(alone, default=0)


def test_counts_of_a_cell_worked_out_by_hand() -> None:
    space = get_space("nasbench201")
    text = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    graphs = Reader(space)([space.parse(text)])["cell"]
    assert (graphs.operations >= 0).sum() == 5
    assert graphs.edges.sum() == 10
    assert not np.tril(graphs.edges[0]).any()


@pytest.mark.parametrize("name", ["nasbench101", "darts"])
@pytest.mark.parametrize("encoding", ENCODINGS.names())
def test_the_numbering_of_vertices_does_not_show(name: str, encoding: str) -> None:
    space = get_space(name)
    first = some(space, 80)
    second = [space.canonical(member) for member in first]
    assert first != second
    code = encoder(space, encoding)
    assert code(first) == pytest.approx(code(second), abs=1e-12)


@pytest.mark.parametrize("encoding", [*ENCODINGS.names(), "onehot+features"])
def test_a_code_is_the_same_alone_and_in_company(encoding: str) -> None:
    space = get_space("nasbench201")
    members = some(space, 60)
    kinds = tuple(ENCODINGS.get(name) for name in encoding.split("+"))
    together = Encoder(space, kinds)(members)
    one_by_one = Encoder(space, kinds)
    alone = np.concatenate([one_by_one([member]) for member in members])
    assert alone.tolist() == together.tolist()
    assert one_by_one(members[::-1]).tolist() == together[::-1].tolist()
    assert one_by_one([]).shape == (0, together.shape[1])


def test_a_space_has_one_encoder() -> None:
    first, second = (encoder(get_space("nasbench201"), "onehot") for _ in "ab")
    assert first is second
    assert encoder(get_space("darts"), "onehot") is not first
    assert encoder(get_space("darts-s1"), "onehot") is not encoder(get_space("darts"), "onehot")


def test_a_full_memory_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictors.encodings.base.LIMIT", 10)
    space = get_space("nasbench201")
    code = Encoder(space, (ENCODINGS.get("onehot"),))
    members = some(space, 40)
    expected = np.array([space.encode(space.canonical(m)) for m in members])
    for start in range(0, 40, 8):
        assert code(members[start : start + 8]).tolist() == expected[start : start + 8].tolist()


def test_a_choice_that_no_graph_shows_is_not_lost() -> None:
    space = ToySpace()
    code = encoder(space, "features")
    (member,) = some(space, 1)
    other = space.architecture({**member.choices, "width": 1 + member.choices["width"] % 8})
    assert code([member]).tolist() != code([other]).tolist()


class Odd(Space):
    """Its graph is a circle, one without anything, or no graph at all."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(
            f"odd-{kind}", ChoiceTree((Categorical("a", ("x", "y")), Integer("b", 1, 4)))
        )

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        if self.kind == "circle":
            return nx.DiGraph([(0, 1), (1, 0)])
        if self.kind == "empty":
            return nx.DiGraph()
        raise RuntimeError("no graph")

    def network(self, *args: object, **scale: object) -> object:  # type: ignore[override]
        return None


@pytest.mark.parametrize("kind", ["circle", "empty", "none"])
def test_a_space_without_a_readable_graph_gets_its_choices(kind: str) -> None:
    space = Odd(kind)
    members = list(space.enumerate())
    codes = encoder(space, "features")(members)
    assert len(np.unique(codes, axis=0)) == len(members) == 8


@pytest.mark.parametrize("name", ["nasbench201", "darts", "nasbench101", "darts-s1"])
def test_sizes_are_exact(name: str) -> None:
    space = get_space(name)
    members = some(space, 12, seed=7)
    costs = [space.cost(member) for member in members]  # type: ignore[attr-defined]
    assert Sizes(space)(members).tolist() == [[c.params, c.macs] for c in costs]
    assert np.exp(sizes(space, members)[:, 0]) == pytest.approx([c.params for c in costs])


def test_a_space_without_costs_has_no_sizes() -> None:
    space = ToySpace()
    assert sizes(space, some(space, 3)).shape == (3, 0)
    assert np.isnan(Sizes(space)(some(space, 3))).all()
