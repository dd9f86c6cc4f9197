"""The spaces of FBNetV3: choices, equalities, settings, graphs."""

from __future__ import annotations

import math
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
import torch

from nas.cli.describe import cells
from nas.core.architecture import Architecture
from nas.core.choices import Categorical
from nas.core.errors import ConfigError, SpaceError
from nas.engine.resolve import resolve
from nas.export.drawing import cells_of
from search_spaces.fbnetv3.plan import lay_out, round8
from search_spaces.fbnetv3.space import FBNetV3Space
from search_spaces.pool import PooledSpace

from .fbnets import NAMES, changed, space_of

# -- choices --------------------------------------------------------------------------------------


def test_sizes_of_spaces_and_encodings() -> None:
    large, small = space_of("fbnetv3"), space_of()
    assert large.size == 3_027_845_330_084_768_514_048_000
    assert large.tree.encoding_size == 52
    assert small.size == 424_673_280_000
    assert small.tree.encoding_size == 30
    assert "resolution" not in small.sample(np.random.default_rng(0)).choices


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_encoding(name: str, count: int) -> None:
    space, rng = space_of(name), np.random.default_rng(0)
    members = [*space.members.values(), *(space.sample(rng) for _ in range(count))]
    codes: dict[bytes, Architecture] = {}
    for member in members:
        code = space.encode(member)
        assert space.decode(code) == member
        assert ((code >= 0) & (code <= 1)).all()
        place = 0
        for choice, conditional in space.tree.slots:
            width = choice.width(conditional)
            if isinstance(choice, Categorical):
                assert code[place : place + width].sum() == 1
            else:
                assert width == 1
            place += width
        assert codes.setdefault(code.tobytes(), member) == member
    assert len(codes) == len({member.id for member in members})


def test_two_released_networks_differ_in_resolution_only() -> None:
    members = space_of("fbnetv3").members
    a, b = dict(members["A"].choices), dict(members["B"].choices)
    assert (a.pop("resolution"), b.pop("resolution")) == (224, 248)
    assert a == b


def test_members_are_their_own_representatives() -> None:
    space = space_of("fbnetv3")
    assert list(space.members) == ["A0", "A", "B", "C", "D", "E", "F", "G"]
    assert all(space.canonical(member) == member for member in space.members.values())


def test_widths_are_rounded_as_published() -> None:
    for width in range(1, 2500):
        nearest = max(8, 8 * math.floor(width / 8 + 0.5))
        assert round8(width) == nearest + 8 * (nearest < 0.95 * width)
    assert [round8(width) for width in (1, 12, 17, 20, 84, 180)] == [8, 16, 24, 24, 88, 184]


@pytest.mark.parametrize("name", NAMES)
def test_squeezed_widths(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(2)
    for member in (space.sample(rng) for _ in range(100)):
        stages = space.stages(member)
        rows = lay_out(int(member.choices["stem/channels"]), stages.values())
        for stage, row in zip(stages.values(), rows, strict=True):
            for index, block in enumerate(row):
                expansion = stage.expansions[index > 0]
                inner = round8(int(block.hidden * 0.25 / expansion)) if stage.squeeze else 0
                assert block.squeezed == inner


# -- equalities -----------------------------------------------------------------------------------


def test_channels_that_round_alike_are_one_network() -> None:
    space = space_of("fbnetv3")
    a = space.members["A"]
    for choices in ({"stage2_channels": 20}, {"stage6_channels": 180, "stage7_channels": 220}):
        other = changed(a, space, **choices)
        assert other.id != a.id
        assert space.identity(other) == space.identity(a)
        assert space.account(other, (3, 9, 9), 5) == space.account(a, (3, 9, 9), 5)
        assert built_from(space, other) == built_from(space, a)
    for choices in ({"stem_channels": 20}, {"stage1_channels": 20}, {"stage2_channels": 28}):
        assert space.identity(changed(a, space, **choices)) != space.identity(a)


def test_choices_for_blocks_that_are_not_there_do_not_count() -> None:
    space = space_of()
    member = changed(space.sample(np.random.default_rng(0)), space, stage3_blocks=1)
    other = changed(member, space, stage3_others_kernel=5, stage3_others_expansion=4)
    again = changed(member, space, stage3_others_kernel=3, stage3_others_expansion=2)
    assert space.identity(other) == space.identity(again)
    networks = []
    for each in (other, again):
        torch.manual_seed(0)
        networks.append(space.network(each, (1, 8, 8), 4).eval())
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(networks[0](images), networks[1](images))
    two = [changed(each, space, stage3_blocks=2) for each in (other, again)]
    assert space.identity(two[0]) != space.identity(two[1])


@pytest.mark.parametrize("name", NAMES)
def test_representatives_are_equal_where_networks_are(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(3)
    by_network: dict[str, str] = {}
    moved = 0
    for _ in range(300):
        member = space.sample(rng)
        # Neighbours too, of which some are the same network.
        for each in (member, space.mutate(member, rng)):
            canonical = space.canonical(each)
            assert space.canonical(canonical) == canonical
            moved += canonical != each
            assert by_network.setdefault(built_from(space, each), canonical.id) == canonical.id
    assert moved > 10
    assert len(set(by_network.values())) == len(by_network)


def built_from(space: FBNetV3Space, member: Architecture) -> str:
    """All widths, kernels, strides and so on of a network."""
    rows = lay_out(int(member.choices["stem/channels"]), space.stages(member).values())
    ends = [member.choices.get(name) for name in ("resolution", "stem/channels", "head/expansion")]
    return repr((rows, ends))


# -- settings --------------------------------------------------------------------------------------


def test_released_padding_goes_with_the_choices_and_can_be_left_out() -> None:
    space = space_of("fbnetv3")
    a = space.members["A"]
    odd = {"stage4": 1, "stage6": 0}

    def padding(member: Architecture, kind: str) -> dict[str, int]:
        stages = space.stages(member, kind).items()
        return {name: stage.padding for name, stage in stages if stage.padding is not None}

    assert padding(a, "published") == odd
    assert padding(changed(a, space, resolution=320), "published") == odd
    assert padding(changed(a, space, stage6_channels=180), "published") == odd
    assert padding(changed(a, space, stage6_channels=192), "published") == {}
    assert padding(a, "same") == padding(space.members["G"], "published") == {}


def test_bad_settings_are_refused_before_any_work() -> None:
    large, small = space_of("fbnetv3"), space_of()
    for space, scale in (
        (small, {"dropout": 1.0}),
        (small, {"dropout": -0.1}),
        (small, {"padding": "same"}),
        (small, {"channels": 8}),
        (large, {"padding": "sane"}),
        (large, {"padding": 1}),
    ):
        member = space.sample(np.random.default_rng(0))
        for method in (space.network, space.cost, space.account):
            with pytest.raises(SpaceError) as error:
                method(member, **scale)
            assert "\n" not in str(error.value)
        with pytest.raises(ConfigError, match=next(iter(scale))):
            resolve({"space": space.name, "strategy": "random", "settings": {"network": scale}})
    with pytest.raises(SpaceError):
        small.cost(small.sample(np.random.default_rng(0)), (3, 0, 8))


def test_a_pool_has_the_settings_of_its_space() -> None:
    space = space_of("fbnetv3")
    pool = PooledSpace(space, [space.members["A"], space.members["G"]])
    assert pool.default_input(space.members["G"]) == ((3, 320, 320), 1000)
    with pytest.raises(SpaceError, match="padding"):
        pool.check_scale({"dropout": 0.0, "padding": "none"})


# -- words and pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_graph_has_every_block(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(10)
    for member in (space.sample(rng) for _ in range(4)):
        graph = space.graph(member)
        assert nx.is_directed_acyclic_graph(graph)
        with torch.device("meta"):
            network = space.network(member)
        wanted = []
        for stage, row in zip(space.stages(member).values(), network.stages.values(), strict=True):
            for index, block in enumerate(row):
                side, expansion = block.depthwise.conv.kernel_size[0], stage.expansions[index > 0]
                skip = "_skip" if block.residual else ""
                wanted.append(f"mbconv_{side}x{side}_e{expansion}{skip}")
        ops = [data["op"] for _, data in graph.nodes(data=True)]
        assert [op for op in ops if op.startswith("mbconv")] == wanted


def test_words_and_pictures_say_stages_in_order() -> None:
    space = space_of("fbnetv3")
    lines = cells(space, space.members["A"])
    titles = [line for line in lines if not line.startswith(" ")]
    assert titles[0] == "Stem: images resized to 224x224, 16 channels, stride 2"
    assert titles[4] == "Stage 4: 72 channels, stride 2"
    assert titles[5] == "Stage 5: 120 channels, squeeze-and-excitation"
    assert titles[8] == "Head: 1344 channels pooled, 1984 features"
    assert "  1 = mbconv_5x5_e4(0)" in lines
    drawn = cells_of(space.graph(space.members["A"]))
    assert [cell.title for cell in drawn] == titles


def test_nothing_here_imports_torch_before_a_network_is_built() -> None:
    code = (
        "import sys; from search_spaces import get_space\n"
        "for name in ('fbnetv3', 'fbnetv3-small'):\n"
        "    space = get_space(name)\n"
        "    for member in space.members.values():\n"
        "        space.account(member), space.graph(member), space.identity(member)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
