"""NAS-Bench-101: hash, isomorphism, counting, parameters against the published table, networks."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import permutations
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from nas.core.architecture import Architecture
from nas.core.errors import SpaceError
from nas.measure import count_macs, count_parameters
from search_spaces import get_space
from search_spaces.nasbench101.cell import (
    EDGES,
    OPERATIONS,
    Cell,
    connects,
    mask_of,
    matrix_of,
    neighbor_codes,
)
from search_spaces.nasbench101.channels import vertex_channels
from search_spaces.nasbench101.space import NasBench101Space

SHAPE, CLASSES = (3, 32, 32), 10


@pytest.fixture(scope="module")
def space() -> NasBench101Space:
    space = get_space("nasbench101")
    assert isinstance(space, NasBench101Space)
    return space


@lru_cache(maxsize=1)
def read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def table(shared_data: Callable[..., Path]) -> Sequence[dict[str, str]]:
    return read(shared_data("nasbench101_sample", "nb101_20k.csv.gz"))


def of_row(space: NasBench101Space, row: dict[str, str]) -> Architecture:
    return space.parse(f"{row['adjacency']}:{row['ops']}")


def relabelled(cell: Cell, rng: np.random.Generator) -> Cell:
    """The same cell under another numbering in which edges go upwards."""
    orders = list(cell._orders())
    return cell._renumbered(orders[rng.integers(len(orders))])


# -- against the table -------------------------------------------------------------------------


def test_hash_and_parameters_of_a_sample_of_the_table(
    space: NasBench101Space, table: Sequence[dict[str, str]]
) -> None:
    for row in table[::100]:
        architecture = of_row(space, row)
        assert space.hash(architecture) == row["hash"]
        assert space.cost(architecture).params == int(row["params"])


@pytest.mark.slow
def test_hash_parameters_and_keys_of_the_whole_table(
    space: NasBench101Space, table: Sequence[dict[str, str]]
) -> None:
    assert len(table) == 20_001
    members = [of_row(space, row) for row in table]
    assert [space.hash(member) for member in members] == [row["hash"] for row in table]
    params = [space.cost(member).params for member in members]
    assert params == [int(row["params"]) for row in table]
    assert (min(params), max(params)) == (227_274, 49_979_274)  # the published extremes
    assert len(set(space.keys(members))) == len(table)
    assert len({space.cell(member) for member in members}) == len(table)


def test_built_networks_have_the_parameters_of_the_table(
    space: NasBench101Space, table: Sequence[dict[str, str]]
) -> None:
    small = [row for row in table if int(row["params"]) < 3_000_000]
    uneven = [row for row in small if row["adjacency"][6::7].count("1") in (3, 5)]
    for row in (*small[:2], *uneven[:2]):
        network = space.network(of_row(space, row))
        assert count_parameters(network) == int(row["params"])


# -- members -----------------------------------------------------------------------------------


def test_published_members(space: NasBench101Space) -> None:
    params = {name: space.cost(member).params for name, member in space.members.items()}
    # 2,694,282: the benchmark's documentation of this cell; the others: its published extremes.
    assert params == {"inception": 2_694_282, "smallest": 227_274, "largest": 49_979_274}


def test_size_counts_the_assignments_that_join_input_and_output(space: NasBench101Space) -> None:
    assert space.size == 139_359_042
    # Counted here by inclusion: on four vertices all 2^6 sets can be tried by hand.
    edges = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    joined = 0
    for mask in range(64):
        graph = nx.DiGraph([edge for bit, edge in enumerate(edges) if mask >> bit & 1])
        graph.add_nodes_from(range(4))
        joined += nx.has_path(graph, 0, 3)
    ours = 0
    inner = {(0, 1): (0, 1), (0, 2): (0, 2), (0, 3): (0, 6), (1, 2): (1, 2), (1, 3): (1, 6)}
    inner[2, 3] = (2, 6)
    for mask in range(64):
        chosen = [inner[edge] for bit, edge in enumerate(edges) if mask >> bit & 1]
        ours += connects(sum(1 << EDGES.index(edge) for edge in chosen))
    assert ours == joined


def test_operations_of_a_space_give_members_only(space: NasBench101Space) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        a, b = space.sample(rng), space.sample(rng)
        for member in (a, space.mutate(a, rng), space.crossover(a, b, rng)):
            assert space.from_dict(member.to_dict()) == member
            assert 1 <= len(member.choices["edges"]) <= 9
            assert space.cell(member).size >= 2
    near = list(space.neighbors(a))
    assert len(near) > 50
    assert all(not space.refusal(member.choices) for member in near)


def test_cells_that_do_not_join_are_refused(space: NasBench101Space) -> None:
    choices = {**dict(space.members["inception"].choices), "edges": ("0-1", "2-6")}
    with pytest.raises(SpaceError, match="do not join"):
        space.architecture(choices)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a cell"),
        ("0100:0", "not a cell"),
        ("0000:", "join"),
        ("010001000:3", "not a cell"),
        ("0101:", "upwards"),
        ("0" + "1" * 48 + ":00000", "upwards"),
        (
            "".join("0" * (row + 1) + "1" * (6 - row) for row in range(7)) + ":00000",
            "at most 9",
        ),
    ],
)
def test_bad_notation(space: NasBench101Space, text: str, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        space.parse(text)


def test_notation_of_small_cells(space: NasBench101Space) -> None:
    direct = space.parse("0100:")
    assert direct.choices["edges"] == ("0-6",)
    assert space.cell(direct) == Cell(((0, 1), (0, 0)), ())
    assert space.parse(space.format(direct)) == direct


# -- equality ----------------------------------------------------------------------------------


def test_isomorphic_cells_are_one(space: NasBench101Space) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        cell = space.cell(space.sample(rng))
        other = relabelled(cell, rng)
        a, b = (space.from_cell(c.matrix, c.ops) for c in (cell, other))
        assert other.hash == cell.hash
        assert space.canonical(a) == space.canonical(b)
        assert space.keys([a]) == space.keys([b])
        assert space.cost(a) == space.cost(b)


def test_canonical_forms_agree_with_an_independent_isomorphism(space: NasBench101Space) -> None:
    rng = np.random.default_rng(2)
    # Few operations and edges, so that isomorphic pairs are met often.
    members = [space.sample(rng) for _ in range(220)]
    cells = [space.cell(member) for member in members if space.cell(member).size <= 5]
    keys = space.keys([space.from_cell(cell.matrix, cell.ops) for cell in cells])
    equal = 0
    for i in range(len(cells)):
        for j in range(i):
            same = _isomorphic(cells[i], cells[j])
            equal += same
            assert (cells[i] == cells[j]) == same
            assert (cells[i].hash == cells[j].hash) == same
            assert (keys[i] == keys[j]) == same
    assert equal > 0


def _isomorphic(a: Cell, b: Cell) -> bool:
    if a.size != b.size or sorted(a.ops) != sorted(b.ops):
        return False
    inner = range(1, a.size - 1)
    for order in permutations(inner):
        full = (0, *order, a.size - 1)
        if tuple(a.ops[v - 1] for v in order) == b.ops and all(
            a.matrix[full[u]][full[v]] == b.matrix[u][v]
            for u in range(a.size)
            for v in range(a.size)
        ):
            return True
    return False


def test_vertices_on_no_path_do_not_count(space: NasBench101Space) -> None:
    plain = space.parse("010001000:1")
    extra = space.architecture({**plain.choices, "edges": (*plain.choices["edges"], "2-3", "0-4")})
    assert extra != plain
    assert space.canonical(extra) == space.canonical(plain)
    assert space.keys([extra]) == space.keys([plain])
    assert Cell.pruned(((0, 0), (0, 0)), ()) is None


def test_keys_of_what_is_near_are_those_of_the_neighbors(space: NasBench101Space) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        member = space.sample(rng)
        near = space.keys(list(space.neighbors(member)))
        assert sorted(key for key in space.keys_near(member) if key) == sorted(near)


def test_masks_and_matrices() -> None:
    rng = np.random.default_rng(4)
    for mask in rng.integers(1, 1 << 21, 20).tolist():
        assert mask_of(matrix_of(mask)) == mask
    codes = neighbor_codes(1, [0, 0, 0, 0, 0])
    assert (codes[:, 0] > 0).all()  # a cell keeps one edge at least
    assert len({tuple(row) for row in codes.tolist()}) == len(codes) == 20 + 20 + 10


# -- channels and networks ---------------------------------------------------------------------


def test_channels_are_shared_as_the_benchmark_does() -> None:
    # Three vertices share 128 channels: 43, 43, 42; vertex 1 feeds 2 and takes as many as it has.
    matrix = (
        (0, 1, 0, 1, 1, 0),
        (0, 0, 1, 0, 0, 0),
        (0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 0),
    )
    assert vertex_channels(matrix, 64, 128) == [64, 43, 43, 43, 42, 128]
    assert vertex_channels(((0, 1), (0, 0)), 3, 8) == [3, 8]


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 9, 7)])
def test_costs_are_those_of_built_networks(
    space: NasBench101Space, shape: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(5)
    for _ in range(6):
        member = space.sample(rng)
        network = space.network(member, shape, 4, channels=6, layers=2)
        cost = space.cost(member, shape, 4, channels=6, layers=2)
        assert count_parameters(network) == cost.params
        assert count_macs(network, shape) == cost.macs


def test_a_cell_computed_by_hand(space: NasBench101Space) -> None:
    # Input to two vertices, one cut down for the other, both to the output with a projection.
    member = space.parse("".join(["01101", "00110", "00001", "00001", "00000"]) + ":112")
    torch.manual_seed(0)
    network = space.network(member, (3, 8, 8), 2, channels=5, layers=1).eval()
    cell = network.blocks[0]
    x = torch.randn(2, 5, 8, 8)
    ours = space.cell(member)
    states = [x]
    for v in range(1, ours.size - 1):
        width = vertex_channels(ours.matrix, 5, 5)[v]
        total = torch.zeros(2, width, 8, 8)
        for u in range(v):
            if ours.matrix[u][v]:
                total = total + (cell.projections[str(v)](x) if u == 0 else states[u][:, :width])
        states.append(cell.operations[str(v)](total))
    last = ours.size - 1
    parts = [states[v] for v in range(1, last) if ours.matrix[v][last]]
    expected = torch.cat(parts, 1) + cell.projections[str(last)](x)
    torch.testing.assert_close(cell(x), expected)


def test_a_gradient_reaches_every_parameter(space: NasBench101Space) -> None:
    torch.manual_seed(0)
    network = space.network(space.members["inception"], (3, 8, 8), 3, channels=8, layers=1)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_too_few_channels_are_one_line(space: NasBench101Space) -> None:
    with pytest.raises(SpaceError, match="channels is 4; expected 5"):
        space.network(space.members["inception"], channels=4)
    with pytest.raises(SpaceError, match="channels"):
        space.cost(space.members["inception"], channels=4)


def test_the_graph_has_operations_on_vertices(space: NasBench101Space) -> None:
    graph = space.graph(space.members["inception"])
    ops = [op for _, op in sorted(graph.nodes(data="op"))]
    assert (ops[0], ops[-1]) == ("input", "output")
    assert set(ops[1:-1]) == set(OPERATIONS)
    assert nx.is_directed_acyclic_graph(graph)
