"""Choice trees, registry, JSON, graphs and functional equality of the cell spaces."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from itertools import permutations, product

import networkx as nx
import numpy as np
import pytest
import torch

from nas.core.errors import NasError, PluginError, SpaceError
from nas.testing.spaces import check_space
from search_spaces import get_space, list_spaces
from search_spaces.choose import Fixed
from search_spaces.darts.space import DartsSpace
from search_spaces.edges import split_edge
from search_spaces.nasbench201.space import NasBench201Space
from search_spaces.scale import read_scale

NAMES = (
    "darts",
    *(f"darts-s{i}" for i in range(1, 6)),
    "darts-extended",
    "nasbench201",
)
CELL = 180 * 7**8


@pytest.fixture
def darts() -> DartsSpace:
    space = get_space("darts")
    assert isinstance(space, DartsSpace)
    return space


@pytest.fixture(scope="module")
def bench() -> NasBench201Space:
    space = get_space("nasbench201")
    assert isinstance(space, NasBench201Space)
    return space


def test_listing() -> None:
    assert set(NAMES) <= set(list_spaces())


@pytest.mark.parametrize("name", list_spaces())
def test_it_does_what_every_space_must(name: str) -> None:
    check_space(get_space(name), samples=5)


def test_unknown_name_lists_close_ones() -> None:
    with pytest.raises(PluginError, match="darts"):
        get_space("dart")


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from search_spaces import get_space, list_spaces; "
        "[get_space(n).members for n in list_spaces()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("darts", 1_076_746_950_455_072_400),
        ("darts-s5", CELL**2),
        ("darts-extended", (180 * 10**8) ** 2),
        *((f"darts-s{i}", 2_123_366_400) for i in (1, 2, 3, 4)),
        ("nasbench201", 15_625),
    ],
)
def test_size(name: str, size: int) -> None:
    assert get_space(name).size == size


@pytest.mark.parametrize("name", NAMES)
def test_samples_and_members_round_trip(name: str) -> None:
    space, rng = get_space(name), np.random.default_rng(0)
    assert space.members
    for arch in [*space.members.values(), *(space.sample(rng) for _ in range(20))]:
        assert space.from_dict(json.loads(json.dumps(arch.to_dict()))) == arch
        assert space.from_operations(space.operations(arch)) == arch
        assert space.parse(space.format(arch)) == arch
        assert space.decode(space.encode(arch)) == arch
        assert space.mutate(arch, rng) != arch


@pytest.mark.parametrize("name", NAMES[:-1])
def test_darts_cells_have_two_distinct_inputs_per_node(name: str) -> None:
    space, rng = get_space(name), np.random.default_rng(1)
    for arch in [space.sample(rng) for _ in range(50)]:
        edges = [split_edge(edge) for edge in space.operations(arch)]
        assert len(edges) == len(set(edges)) == 16
        for group, node in product(("normal", "reduce"), range(4)):
            sources = [s for g, n, s in edges if (g, n) == (group, node)]
            assert len(sources) == 2
            assert max(sources) < node + 2
        assert "none" not in space.operations(arch).values()


def test_published_members_of_restricted_spaces_are_members_of_theirs_only() -> None:
    space = get_space("darts-s1")
    arch = space.members["darts_pt_s1_1"]
    with pytest.raises(SpaceError):
        get_space("darts-s2").from_operations(space.operations(arch))
    with pytest.raises(SpaceError, match="darts-s1"):
        get_space("darts").from_dict(arch.to_dict())


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_edited_json_is_refused(name: str) -> None:
    space = get_space(name)
    data = space.sample(np.random.default_rng(0)).to_dict()
    del data["id"]
    for key in list(data["choices"]):
        for value in ("conv_7x7", None, 3.5, [], [0, 0], [0, 1, 0], {"a": 1}, [9, 10]):
            edited = copy.deepcopy(data)
            edited["choices"][key] = value
            with pytest.raises(SpaceError) as error:
                space.from_dict(edited)
            assert "\n" not in str(error.value)
        edited = copy.deepcopy(data)
        del edited["choices"][key]
        with pytest.raises(SpaceError):
            space.from_dict(edited)
    edited = copy.deepcopy(data)
    edited["choices"]["more"] = 1
    with pytest.raises(SpaceError):
        space.from_dict(edited)


@pytest.mark.parametrize("name", NAMES)
def test_graph(name: str) -> None:
    space = get_space(name)
    arch = space.sample(np.random.default_rng(0))
    graph = space.graph(arch)
    assert nx.is_directed_acyclic_graph(graph)
    assert all("op" in data and "cell" in data for _, data in graph.nodes(data=True))
    assert all("op" in data and "cell" in data for _, _, data in graph.edges(data=True))
    ops = [data["op"] for _, _, data in graph.edges(data=True) if data["op"] != "identity"]
    assert sorted(ops) == sorted(space.operations(arch).values())


class TestStrongest:
    def test_darts_keeps_the_two_strongest_edges(self, darts: DartsSpace) -> None:
        rng = np.random.default_rng(0)
        mixture = {group: rng.random((14, 8)) for group in ("normal", "reduce")}
        for table in mixture.values():
            table[:, 0] = 9.0  # "none" dominates and must not matter
        kept = darts.operations(darts.strongest({g: t.tolist() for g, t in mixture.items()}))
        for edge in darts.edges:
            row = mixture[edge.group][edge.row, 1:]
            rivals = [
                mixture[e.group][e.row, 1:].max()
                for e in darts.edges
                if (e.group, e.node) == (edge.group, edge.node)
            ]
            if row.max() >= sorted(rivals)[-2]:
                assert kept[edge.name] == edge.operations[1 + int(row.argmax())]
            else:
                assert edge.name not in kept

    def test_ties_go_to_the_first(self, darts: DartsSpace) -> None:
        flat = {group: [[0.125] * 8] * 14 for group in ("normal", "reduce")}
        kept = darts.operations(darts.strongest(flat))
        assert set(kept.values()) == {"max_pool_3x3"}
        assert {split_edge(edge)[2] for edge in kept} == {0, 1}

    def test_edge_weights_count(self, darts: DartsSpace) -> None:
        flat = {group: [[0.125] * 8] * 14 for group in ("normal", "reduce")}
        rising = {group: [row / 14 for row in range(14)] for group in ("normal", "reduce")}
        kept = darts.operations(darts.strongest(flat, rising))
        assert all(source in (node, node + 1) for _, node, source in map(split_edge, kept))

    def test_nasbench_lets_none_win(self, bench: NasBench201Space) -> None:
        table = [[0.9, 0.1, 0.0, 0.0, 0.0]] * 6
        assert set(bench.operations(bench.strongest({"cell": table})).values()) == {"none"}


class TestFromDecided:
    def decided(self, darts: DartsSpace) -> dict[str, str | None]:
        kept = darts.operations(darts.members["DARTS_V2"])
        return {edge.name: kept.get(edge.name) for edge in darts.edges}

    def test_complete(self, darts: DartsSpace) -> None:
        assert darts.from_decided(self.decided(darts)) == darts.members["DARTS_V2"]

    def test_undecided_edge(self, darts: DartsSpace) -> None:
        decided = self.decided(darts)
        del decided["normal/3<-4"]
        with pytest.raises(SpaceError, match="normal/3<-4"):
            darts.from_decided(decided)

    def test_wrong_number_of_inputs(self, darts: DartsSpace) -> None:
        decided = self.decided(darts)
        decided["normal/3<-4"] = "skip_connect"
        with pytest.raises(SpaceError):
            darts.from_decided(decided)

    def test_none_becomes_the_first_real_operation(self) -> None:
        space = get_space("darts-s3")
        kept = space.operations(space.members["darts_pt_s3_1"])
        decided = {edge.name: kept.get(edge.name) for edge in space.edges}
        edge = next(name for name, op in kept.items() if op == "sep_conv_3x3")
        decided[edge] = "none"
        assert space.operations(space.from_decided(decided))[edge] == "skip_connect"

    def test_nasbench_removed_is_none(self, bench: NasBench201Space) -> None:
        decided: dict[str, str | None] = {e.name: "skip_connect" for e in bench.edges}
        decided["cell/1<-0"] = None
        assert bench.operations(bench.from_decided(decided))["cell/1<-0"] == "none"


class TestCanonical:
    def test_nasbench_has_6466_classes(self, bench: NasBench201Space) -> None:
        representatives = {bench.canonical(arch).id for arch in bench.enumerate()}
        assert len(representatives) == 6_466

    def test_nasbench_examples(self, bench: NasBench201Space) -> None:
        detour = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
        direct = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
        assert bench.canonical(bench.parse(detour)) == bench.canonical(bench.parse(direct))

    @pytest.mark.parametrize("name", NAMES)
    def test_is_idempotent(self, name: str) -> None:
        space, rng = get_space(name), np.random.default_rng(3)
        for arch in [space.sample(rng) for _ in range(20)]:
            canonical = space.canonical(arch)
            assert space.canonical(canonical) == canonical
            assert space.cost(canonical).params >= 0

    @pytest.mark.parametrize("name", ["darts", "darts-s1"])
    def test_darts_renumbering_computes_the_same(self, name: str) -> None:
        space, rng = get_space(name), np.random.default_rng(4)
        moved = 0
        for _ in range(200):
            arch = space.sample(rng)
            other = space.canonical(arch)
            if other != arch:
                check_same_function(space, arch, other)
                moved += 1
            if moved == 3:
                break
        assert moved

    def test_darts_orders_of_independent_nodes_are_one_class(self, darts: DartsSpace) -> None:
        cell = {0: "sep_conv_3x3", 1: "sep_conv_5x5", 2: "dil_conv_3x3", 3: "dil_conv_5x5"}
        found = set()
        for order in permutations(range(4)):
            operations = {
                f"{group}/{node}<-{source}": cell[order[node]]
                for group in ("normal", "reduce")
                for node in range(4)
                for source in range(2)
            }
            found.add(darts.canonical(darts.from_operations(operations)))
        assert len(found) == 1


def renumbering(space, arch, other, group: str) -> tuple[int, ...]:
    """Find where the nodes of one architecture's cell are in the other's."""
    cells = [
        {split_edge(k)[1:]: op for k, op in space.operations(a).items() if k.startswith(group)}
        for a in (arch, other)
    ]
    for order in permutations(range(4)):
        state = (0, 1, *(place + 2 for place in order))
        if {(order[n], state[s]): op for (n, s), op in cells[0].items()} == cells[1]:
            return order
    raise AssertionError("no renumbering")


def check_same_function(space, arch, other) -> None:
    """Carry the weights over, nodes and channels renumbered, and compare the logits."""
    scale = {"channels": 2, "layers": 4}
    networks = []
    for member in (arch, other):
        choose = Fixed(space.operations(member), search=True)
        networks.append(space.build(choose, (3, 8, 8), 5, **scale).double())
    orders = {group: renumbering(space, arch, other, group) for group in ("normal", "reduce")}
    groups = ["normal" if cell_index not in (1, 2) else "reduce" for cell_index in range(4)]
    state = networks[0].state_dict()
    result = {}
    for key, tensor in state.items():
        name = key
        parts = key.split(".")
        if parts[0] == "cells":
            index = int(parts[1])
            order = orders[groups[index]]
            if parts[2] == "inner":
                node, source = map(int, parts[4].split("_"))
                place = (0, 1, *(p + 2 for p in order))[source]
                parts[4] = f"{order[node]}_{place}"
                name = ".".join(parts)
            else:
                read = index - 2 if parts[2] == "preprocess0" else index - 1
                if read >= 0 and tensor.ndim == 4:
                    tensor = permuted(tensor, orders[groups[read]])
        elif name == "classifier.weight":
            tensor = permuted(tensor, orders[groups[-1]])
        result[name] = tensor
    networks[1].load_state_dict(result)
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert (networks[0](x) - networks[1](x)).abs().max() < 1e-12


def permuted(weight: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    blocks = weight.chunk(4, dim=1)
    return torch.cat([blocks[order.index(place)] for place in range(4)], dim=1)


@pytest.mark.parametrize(
    "scale",
    [
        {"chanels": 4},
        {"channels": 4.0},
        {"channels": True},
        {"layers": 0},
        {"channels": 0},
        {"channels": 10**9},
        {"layers": "3"},
    ],
)
@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_bad_scale(name: str, scale: dict[str, object]) -> None:
    space = get_space(name)
    arch = space.sample(np.random.default_rng(0))
    with pytest.raises(SpaceError):
        space.network(arch, **scale)
    with pytest.raises(SpaceError):
        space.cost(arch, **scale)
    with pytest.raises(SpaceError):
        space.supernet(**scale)


SETTINGS = {"channels": 8, "dropout": 0.1, "norm": "batch", "wide": False}


@pytest.mark.parametrize(
    "given",
    [
        {"dropout": 0.2},
        {"dropout": 0},
        {"dropout": -1.5},
        {"norm": "layer"},
        {"wide": True},
        {"channels": 4},
    ],
)
def test_settings_have_the_types_of_their_defaults(given: dict[str, object]) -> None:
    assert read_scale(SETTINGS, given, {"channels": 4}) == {**SETTINGS, **given}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dropout": "0.2"}, "a number"),
        ({"dropout": True}, "a number"),
        ({"dropout": float("nan")}, "a finite number"),
        ({"dropout": float("inf")}, "a finite number"),
        ({"dropout": 10**400}, "a finite number"),
        ({"norm": 3}, "a text"),
        ({"norm": None}, "a text"),
        ({"wide": 1}, "true or false"),
        ({"channels": 8.0}, "a whole number"),
        ({"channels": False}, "a whole number"),
        ({"channels": 3}, "4 to 4096"),
    ],
)
def test_settings_of_other_types_are_refused(given: dict[str, object], expected: str) -> None:
    with pytest.raises(SpaceError) as refused:
        read_scale(SETTINGS, given, {"channels": 4})
    assert refused.value.hint == f"expected {expected}"


def test_bad_inputs(darts: DartsSpace) -> None:
    arch = darts.members["DARTS_V1"]
    for shape, classes in (((3, 0, 32), 10), ((3, 32), 10), ((3, 32, 32), 0)):
        with pytest.raises(SpaceError):
            darts.network(arch, shape, classes)
    with pytest.raises(NasError):
        darts.supernet(variant="gdas")
    with pytest.raises(SpaceError, match="multiple of 3"):
        darts.supernet(variant="pc-darts", partial=3, channels=4, layers=1, fast=False)
