"""Discrete networks: shapes, forms, drop-path, auxiliary head, devices and types."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import get_space
from search_spaces.choose import Fixed, channel_shuffle
from search_spaces.darts.operations import build_operation as build_darts
from search_spaces.darts.plan import auxiliary_cell, plan_cells
from search_spaces.layers import DropPath, FactorizedReduce, Noise, form_of
from search_spaces.nasbench201.operations import build_operation as build_bench

SCALES = {"darts": {"channels": 4, "layers": 3}, "nasbench201": {"channels": 4, "layers": 1}}
DARTS_NAMES = (
    "none",
    "noise",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


def small(name: str, shape=(3, 8, 8), classes=5, seed=0, **scale) -> nn.Module:
    space = get_space(name)
    arch = space.sample(np.random.default_rng(seed))
    torch.manual_seed(seed)
    return space.network(arch, shape, classes, **{**SCALES[name], **scale})


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 32, 32), (2, 5, 7), (3, 1, 1), (3, 127, 9), (5, 33, 64)]
)
def test_any_input_size(name: str, shape: tuple[int, int, int]) -> None:
    network = small(name, shape)
    assert network(torch.randn(4, *shape)).shape == (4, 5)


def test_large_inputs_get_the_large_stem() -> None:
    network = small("darts", (3, 128, 160), layers=2)
    sizes = []
    network.cells[0].register_forward_hook(lambda _, inputs, __: sizes.extend(inputs))
    assert network(torch.randn(2, 3, 128, 160)).shape == (2, 5)
    assert [tuple(x.shape[-2:]) for x in sizes] == [(32, 40), (16, 20)]
    assert not hasattr(small("darts", (3, 127, 160), layers=2).stem, "conv2")


@pytest.mark.parametrize("layers", [1, 2, 3, 8, 14, 20])
def test_plan(layers: int) -> None:
    plans = plan_cells(16, layers, large=False)
    reductions = sorted({layers // 3, 2 * layers // 3})
    assert [i for i, plan in enumerate(plans) if plan.group == "reduce"] == reductions
    assert plans[0].inputs == (48, 48)
    assert plans[-1].channels == 16 * 2 ** len(reductions)
    assert auxiliary_cell(layers) == reductions[-1]
    for before, plan in itertools.pairwise(plans):
        assert plan.inputs[1] == before.outputs == 4 * before.channels
        assert plan.halve_first == (before.group == "reduce")


@pytest.mark.parametrize("name", SCALES)
def test_float64_and_channels_last(name: str) -> None:
    network = small(name).double().eval()
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    y = network(x)
    last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert y.dtype == torch.float64
    torch.testing.assert_close(y, last, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCALES)
def test_arguments_rebuild_the_network(name: str) -> None:
    network = small(name)
    again = type(network)(**network.arguments)
    again.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(network.eval()(x), again.eval()(x))


@pytest.mark.parametrize("name", SCALES)
def test_same_seed_same_weights(name: str) -> None:
    first, second = small(name, seed=3).state_dict(), small(name, seed=3).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


class TestAuxiliaryHead:
    @pytest.mark.parametrize("size", [4, 8, 28, 32, 150, 224])
    def test_two_outputs_in_train_mode_only(self, size: int) -> None:
        network = small("darts", (3, size, size), auxiliary=True)
        x = torch.randn(2, 3, size, size)
        logits, auxiliary = network(x)
        assert logits.shape == auxiliary.shape == (2, 5)
        assert network.eval()(x).shape == (2, 5)

    def test_gradient_reaches_cells_up_to_the_head(self) -> None:
        network = small("darts", auxiliary=True, layers=6)
        network(torch.randn(4, 3, 8, 8))[1].sum().backward()
        reached = [any(p.grad is not None for p in cell.parameters()) for cell in network.cells]
        assert reached == [True] * 5 + [False]


class TestDropPath:
    def test_mean_and_granularity(self) -> None:
        torch.manual_seed(0)
        layer = DropPath()
        layer.p = 0.25
        y = layer(torch.ones(20_000, 2, 1, 3))
        assert torch.all((y == 0) | torch.isclose(y, torch.tensor(1 / 0.75)))
        assert torch.equal(y.amin((1, 2, 3)), y.amax((1, 2, 3)))
        assert abs(y.mean().item() - 1) < 0.02

    def test_off_in_eval_mode_and_at_zero(self) -> None:
        layer, x = DropPath(), torch.randn(4, 2, 3, 3)
        assert layer(x) is x
        layer.p = 0.9
        assert layer.eval()(x) is x

    @pytest.mark.parametrize("name", SCALES)
    def test_set_on_networks(self, name: str) -> None:
        network, x = small(name), torch.randn(64, 3, 8, 8)
        network.set_drop_path(0.5)
        torch.manual_seed(0)
        first = network(x)
        assert not torch.allclose(first, network(x))
        network.set_drop_path(0.0)
        assert torch.equal(network(x), network(x))
        for wrong in (-0.1, 1.0, float("nan")):
            with pytest.raises(ValueError, match="drop-path"):
                network.set_drop_path(wrong)

    def test_identities_are_never_dropped(self) -> None:
        space = get_space("nasbench201")
        network = space.network(space.members["all-skip"], (3, 8, 8), 5, channels=4, layers=2)
        x = torch.randn(8, 3, 8, 8)
        expected = network(x)
        network.set_drop_path(0.9)
        assert torch.equal(network(x), expected)

    def test_strided_skips_are_dropped(self) -> None:
        space = get_space("darts")
        names = dict.fromkeys(space.operations(space.members["DARTS_V2"]), "skip_connect")
        arch = space.from_operations(names)
        network = space.network(arch, (3, 8, 8), 5, channels=4, layers=3)
        x = torch.randn(64, 3, 8, 8)
        expected = network(x)
        network.set_drop_path(0.5)
        assert not torch.allclose(network(x), expected)


def test_structural_settings_reach_the_network() -> None:
    # A defect of several ports: the final model silently kept default depth and width.
    network = small("darts", (2, 16, 16), 7, channels=6, layers=5)
    assert len(network.cells) == 5
    assert all(len(cell.inner.edges) == 8 for cell in network.cells)
    assert network.cells[0].preprocess1.conv.out_channels == 6
    assert network.classifier.in_features == 4 * 6 * 4
    assert network.classifier.out_features == 7
    assert network.stem.conv.in_channels == 2
    bench = small("nasbench201", channels=6, layers=2)
    assert len(bench.blocks) == 8
    assert bench.classifier.in_features == 24


@pytest.mark.parametrize("name", SCALES)
def test_everything_follows_the_input_to_its_device(name: str) -> None:
    # Nothing may be made on a device of its own choice: meta tensors refuse to mix.
    network = small(name, auxiliary=True) if name == "darts" else small(name)
    network.set_drop_path(0.2)
    outputs = network.to("meta")(torch.empty(4, 3, 8, 8, device="meta"))
    assert all(y.device.type == "meta" for y in (outputs if name == "darts" else (outputs,)))
    supernet = get_space(name).supernet((3, 8, 8), 5, fast=False, **SCALES[name]).to("meta")
    assert supernet(torch.empty(4, 3, 8, 8, device="meta")).shape == (4, 5)


class TestForms:
    def norms(self, search: bool) -> list[nn.BatchNorm2d]:
        space = get_space("darts")
        choose = Fixed(space.operations(space.members["DARTS_V2"]), search=search)
        network = space.build(choose, (3, 8, 8), 5, channels=4, layers=3)
        return [m for m in network.cells.modules() if isinstance(m, nn.BatchNorm2d)]

    def test_evaluation_is_affine_with_running_statistics(self) -> None:
        assert all(m.affine and m.track_running_stats for m in self.norms(search=False))

    def test_search_is_neither_and_normalises_pools(self) -> None:
        assert not any(m.affine or m.track_running_stats for m in self.norms(search=True))
        assert len(self.norms(search=True)) > len(self.norms(search=False))


@pytest.mark.parametrize("name", DARTS_NAMES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("search", [False, True])
def test_shapes_of_operations(name: str, stride: int, search: bool) -> None:
    operation = build_darts(name, 6, stride, form_of(search))
    for height, width in ((8, 8), (7, 5), (1, 2)):
        y = operation(torch.randn(3, 6, height, width))
        assert y.shape == (3, 6, -(-height // stride), -(-width // stride))


def test_unknown_operations() -> None:
    for build in (build_darts, build_bench):
        with pytest.raises(ValueError, match="sep_conv_7x7"):
            build("sep_conv_7x7", 4, 1, form_of(False))
    with pytest.raises(ValueError, match="stride"):
        build_bench("skip_connect", 4, 2, form_of(False))


def test_factorized_reduce_reads_both_grids() -> None:
    layer = FactorizedReduce(1, 2, form_of(True))
    layer.norm = nn.Identity()
    with torch.no_grad():
        layer.even.weight.fill_(1)
        layer.odd.weight.fill_(1)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    y = layer(x)
    assert torch.equal(y[0, 0], x[0, 0, ::2, ::2])
    assert torch.equal(y[0, 1], x[0, 0, 1::2, 1::2])


def test_noise_ignores_the_input() -> None:
    torch.manual_seed(0)
    first = Noise(1)(torch.zeros(100, 4, 8, 8))
    torch.manual_seed(0)
    assert torch.equal(first, Noise(1)(torch.full((100, 4, 8, 8), 7.0)))
    assert abs(first.std().item() - 1) < 0.02


def test_channel_shuffle() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert channel_shuffle(x, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_average_pool_counts_only_real_pixels() -> None:
    pool = build_bench("avg_pool_3x3", 1, 1, form_of(True))
    assert torch.equal(pool(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))
