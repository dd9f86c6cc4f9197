"""Networks of FBNetV3's spaces: layers, training, exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.export import ExportRequest, export
from nas.training import TrainingRecipe, fit, load_data
from search_spaces.fbnetv3.blocks import InvertedResidual

from .fbnets import blocks, changed, settled, space_of, width_of

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


def test_a_small_network_learns_digits() -> None:
    space, data = space_of(), load_data("digits", 0)
    member = changed(space.sample(np.random.default_rng(9)), space, stage4_blocks=1)
    recipe = TrainingRecipe(learning_rate=0.1, drop_path=0.1)
    torch.manual_seed(0)
    network = space.network(member, data.input_shape, data.num_classes, dropout=0.1)
    result = fit(network, data, recipe, epochs=3, seed=0)
    assert result.figures["error"] < 0.15
    assert blocks(network)[-1].drop_path.p == pytest.approx(0.1 * 2 / 3)


# -- exports ---------------------------------------------------------------------------------------


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
