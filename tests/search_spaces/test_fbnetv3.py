"""The spaces of FBNetV3: choices, equalities, networks, exports."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.cli.describe import cells
from nas.core.architecture import Architecture
from nas.core.choices import Categorical
from nas.core.errors import ConfigError, SpaceError
from nas.engine.resolve import resolve
from nas.export import ExportRequest, export
from nas.export.drawing import cells_of
from nas.training import TrainingRecipe, fit, load_data
from search_spaces import get_space
from search_spaces.fbnetv3.blocks import InvertedResidual
from search_spaces.fbnetv3.plan import lay_out, round8
from search_spaces.fbnetv3.space import FBNetV3Space
from search_spaces.pool import PooledSpace

NAMES = ("fbnetv3", "fbnetv3-small")


def space_of(name: str = "fbnetv3-small") -> FBNetV3Space:
    space = get_space(name)
    assert isinstance(space, FBNetV3Space)
    return space


def changed(member: Architecture, space: FBNetV3Space, **choices: Any) -> Architecture:
    """The member with other choices: ``stage2_channels`` is ``stage2/channels``."""
    named = {name.replace("_", "/"): value for name, value in choices.items()}
    return space.architecture({**member.choices, **named})


def blocks(network: nn.Module) -> list[InvertedResidual]:
    return [module for module in network.modules() if isinstance(module, InvertedResidual)]


def width_of(block: InvertedResidual) -> int:
    """Channels that a block reads."""
    first = block.depthwise if isinstance(block.expand, nn.Identity) else block.expand
    return first.conv.in_channels


def settled(network: nn.Module) -> nn.Module:
    """With scales and statistics that let every layer matter, as after a training."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.momentum = None  # the mean over all batches
    network.train()
    with torch.no_grad():
        for _ in range(3):
            shape = network.arguments["input_shape"]  # type: ignore[index]
            network(torch.randn(8, *shape, generator=generator))
    return network.eval()


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


# -- networks -------------------------------------------------------------------------------------


def test_a_released_network_runs() -> None:
    space = space_of("fbnetv3")
    network = space.network(space.members["A"], (3, 224, 224), 1000)
    zero = [block for block in blocks(network) if not block.project.norm.weight.any()]
    assert len(zero) == 23
    assert all(block.residual for block in zero)
    network.train()
    logits = network(torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 1000)
    assert logits.isfinite().all()


def test_layers_are_as_published() -> None:
    space = space_of("fbnetv3")
    with torch.device("meta"):
        network = space.network(space.members["A0"], (3, 224, 224), 1000)
    assert network.stem.conv.bias is not None
    first = blocks(network)[0]  # expansion 1 of 12 channels: 16 by rounding
    assert first.expand.conv.out_channels == 16
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    gates = [m for b in blocks(network) for m in b.gate.modules() if isinstance(m, nn.Conv2d)]
    biased = {module for module in convolutions if module.bias is not None}
    assert biased == {network.stem.conv, *gates}
    squeezing = [any(isinstance(m, nn.Conv2d) for m in b.gate.modules()) for b in blocks(network)]
    assert squeezing == [False] * 4 + [True] * 3 + [False] * 3 + [True] * 9
    assert network.features.bias is None
    with torch.device("meta"):
        wide = space.network(space.members["A"], (3, 224, 224), 1000)
    assert isinstance(blocks(wide)[0].expand, nn.Identity)


def reference_block(block: InvertedResidual, x: Tensor) -> Tensor:
    """A block written out."""

    def normalise(y: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3), unbiased=False)
        y = (y - mean[:, None, None]) / (variance[:, None, None] + norm.eps).sqrt()
        return y * norm.weight[:, None, None] + norm.bias[:, None, None]

    def swish(y: Tensor) -> Tensor:
        return y * (y + 3).clamp(0, 6) / 6

    y = x
    if not isinstance(block.expand, nn.Identity):
        y = torch.einsum("bihw,oi->bohw", y, block.expand.conv.weight[:, :, 0, 0])
        y = swish(normalise(y, block.expand.norm))
    kernel, stride = block.depthwise.conv.weight, block.depthwise.conv.stride[0]
    side = kernel.shape[-1]
    y = functional.pad(y, [side // 2] * 4)
    patches = y.unfold(2, side, stride).unfold(3, side, stride)
    y = torch.einsum("bchwij,cij->bchw", patches, kernel[:, 0])
    y = swish(normalise(y, block.depthwise.norm))
    if not isinstance(block.gate, nn.Identity):
        squeeze, excite = block.gate.squeeze, block.gate.excite
        inner = swish(y.mean((2, 3)) @ squeeze.weight[:, :, 0, 0].T + squeeze.bias)
        gate = inner @ excite.weight[:, :, 0, 0].T + excite.bias
        y = y * ((gate + 3).clamp(0, 6) / 6)[:, :, None, None]
    y = torch.einsum("bihw,oi->bohw", y, block.project.conv.weight[:, :, 0, 0])
    y = normalise(y, block.project.norm)
    return x + y if block.residual else y


def test_blocks_against_their_definition() -> None:
    space = space_of()
    member = changed(space.sample(np.random.default_rng(4)), space, stage3_blocks=2)
    network = settled(space.network(member, (3, 16, 16), 4)).double().train()
    found = [block for stage in ("stage2", "stage3") for block in network.stages[stage]]
    assert any(block.residual for block in found)
    assert any(not block.residual for block in found)
    for block in found:
        x = torch.randn(4, width_of(block), 9, 7, dtype=torch.float64)
        assert torch.allclose(block(x), reference_block(block, x), rtol=1e-10, atol=1e-10)


def test_residual_blocks_begin_as_identities() -> None:
    network = space_of().network(space_of().sample(np.random.default_rng(5)), (1, 8, 8), 4)
    for block in blocks(network):
        if block.residual:
            x = torch.randn(3, width_of(block), 4, 4)
            assert torch.equal(block(x), x)


def test_images_are_resized_to_the_resolution() -> None:
    space = space_of("fbnetv3")
    member = changed(space.members["A0"], space, resolution=232)
    torch.manual_seed(0)
    network = settled(space.network(member, (3, 40, 60), 3))
    generator = torch.Generator().manual_seed(2)
    for shape in ((40, 60), (300, 280)):
        images = torch.randn(1, 3, *shape, generator=generator)
        square = functional.interpolate(images, (232, 232), mode="bilinear", antialias=True)
        assert torch.equal(network(images), network(square))
        assert network.stem(square).shape[-2:] == (116, 116)
    small, large = (space.cost(member, (3, side, side), 3) for side in (8, 500))
    assert small == large
    assert space.default_input(member) == ((3, 232, 232), 1000)
    assert space_of().default_input(space_of().sample(np.random.default_rng(0)))[0] == (3, 32, 32)


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


# -- what training may do -------------------------------------------------------------------------


def test_stochastic_depth_grows_with_depth_and_is_off_at_first() -> None:
    space = space_of()
    network = space.network(space.sample(np.random.default_rng(6)), (1, 8, 8), 4)
    every = blocks(network)
    assert all(block.drop_path.p == 0 for block in every)
    network.set_drop_path(0.3)
    expected = [0.3 * number / len(every) for number in range(1, len(every) + 1)]
    assert [block.drop_path.p for block in every] == pytest.approx(expected)
    for p in (-0.1, 1.0):
        with pytest.raises(ValueError, match="drop-path"):
            network.set_drop_path(p)


def test_stochastic_depth_drops_residual_branches_only() -> None:
    space = space_of()
    member = changed(space.sample(np.random.default_rng(7)), space, stage2_blocks=3)
    network = settled(space.network(member, (1, 8, 8), 4)).train()
    for p, kept in ((0.0, False), (0.9, True)):
        network.set_drop_path(p)
        for block in network.stages["stage2"]:
            block.drop_path.p = p
            x = torch.randn(64, width_of(block), 4, 4)
            y = block(x)
            same = (y == x).flatten(1).all(1) if block.residual else torch.zeros(64, dtype=bool)
            assert bool(same.any()) == (kept and block.residual)


def test_dropout_is_off_unless_asked_for() -> None:
    space = space_of()
    member = space.sample(np.random.default_rng(8))
    images = torch.randn(16, 1, 8, 8)
    logits = {}
    for dropout in (0.0, 0.5):
        torch.manual_seed(0)
        network = space.network(member, (1, 8, 8), 4, dropout=dropout)
        assert torch.equal(network.eval()(images), network(images))
        network.train()
        logits[dropout] = [network(images), network(images)]
    assert torch.equal(*logits[0.0])
    assert not torch.equal(*logits[0.5])


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


def test_a_small_network_learns_digits() -> None:
    space, data = space_of(), load_data("digits", 0)
    member = changed(space.sample(np.random.default_rng(9)), space, stage4_blocks=1)
    recipe = TrainingRecipe(learning_rate=0.1, drop_path=0.1)
    torch.manual_seed(0)
    network = space.network(member, data.input_shape, data.num_classes, dropout=0.1)
    result = fit(network, data, recipe, epochs=3, seed=0)
    assert result.figures["error"] < 0.15
    assert blocks(network)[-1].drop_path.p == pytest.approx(0.1 * 2 / 3)


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


@pytest.mark.slow
@pytest.mark.parametrize("form", ["python", "onnx", "pt2"])
@pytest.mark.parametrize("side", [224, 100])
def test_exports_of_a_released_network(tmp_path: Path, form: str, side: int) -> None:
    space = space_of("fbnetv3")
    torch.manual_seed(0)
    shape = (3, side, side)
    network = settled(space.network(space.members["A"], shape, 20))
    images = torch.randn(3, *shape)
    assert network(images).std(0).mean() > 1e-3  # else a comparison would say nothing
    request = ExportRequest(
        space.members["A"],
        tmp_path / ("model.py" if form == "python" else f"model.{form}"),
        input_shape=shape,
        num_classes=20,
        network=network,
        images=images,
    )
    result = export(form, request)
    assert result.difference is not None
    assert result.difference < 1e-4


def test_files_of_a_small_network(tmp_path: Path) -> None:
    member = space_of().sample(np.random.default_rng(11))
    picture, module = tmp_path / "cells.svg", tmp_path / "model.py"
    export("svg", ExportRequest(member, picture))
    assert "Stage 4: " in picture.read_text()
    export("python", ExportRequest(member, module, input_shape=(1, 8, 8)))
    text = module.read_text()
    assert "cell" not in text
    assert max(map(len, text.splitlines())) <= 110
