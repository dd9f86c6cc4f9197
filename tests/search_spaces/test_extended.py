"""The extended DARTS space: its members, networks and supernet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nas.core.errors import ConfigError, SpaceError
from nas.engine.resolve import resolve
from nas.layers import NORMALIZATIONS, WEIGHTS
from nas.measure import count_macs, count_parameters
from search_spaces import get_space
from search_spaces.attention import SoftAttention
from search_spaces.choose import Fixed
from search_spaces.darts.extended_space import ExtendedSpace
from search_spaces.hypercomplex import PHConv2d
from search_spaces.plain import PlainSupernet, copy_decided_weights

NEW = ("phc2_conv_3x3", "phc4_conv_3x3", "soft_attention")
SMALL = {"channels": 4, "layers": 3}


@pytest.fixture(scope="module")
def space() -> ExtendedSpace:
    found = get_space("darts-extended")
    assert isinstance(found, ExtendedSpace)
    return found


def test_it_extends_darts(space: ExtendedSpace) -> None:
    darts = get_space("darts")
    for mine, theirs in zip(space.edges, darts.edges, strict=True):
        assert mine.operations == (*theirs.operations, *NEW)
    assert space.members.keys() == darts.members.keys()
    for name, member in space.members.items():
        assert space.operations(member) == darts.operations(darts.members[name])
        assert space.cost(member, **SMALL) == darts.cost(darts.members[name], **SMALL)
    text = space.format(space.members["DARTS_V2"]).replace("skip_connect", "soft_attention")
    assert "soft_attention" in text
    assert space.format(space.parse(text)) == text
    with pytest.raises(SpaceError):
        darts.parse(text)


@pytest.mark.parametrize("operation", NEW)
def test_every_new_operation_is_built_and_counted(space: ExtendedSpace, operation: str) -> None:
    names = dict.fromkeys(space.operations(space.members["DARTS_V2"]), operation)
    architecture = space.from_operations(names)
    kind = SoftAttention if operation == "soft_attention" else PHConv2d
    for shape, channels in (((1, 9, 7), 12), ((3, 128, 130), 4)):
        with torch.device("meta"):
            network = space.network(architecture, shape, 5, channels=channels, layers=3)
        assert sum(isinstance(m, kind) for m in network.modules()) == 3 * 8
        cost = space.cost(architecture, shape, 5, channels=channels, layers=3)
        assert (cost.params, cost.macs) == (count_parameters(network), count_macs(network, shape))


def test_random_members_are_counted(space: ExtendedSpace) -> None:
    rng = np.random.default_rng(0)
    for _ in range(2):
        architecture = space.sample(rng)
        with torch.device("meta"):
            network = space.network(architecture, channels=36, layers=4)
        cost = space.cost(architecture, channels=36, layers=4)
        assert cost.params == count_parameters(network)
        assert cost.macs == count_macs(network, (3, 32, 32))


def test_decided_supernet_equals_the_discrete_network(space: ExtendedSpace) -> None:
    torch.manual_seed(0)
    supernet = space.supernet((3, 8, 8), 5, **SMALL).double()
    assert isinstance(supernet, PlainSupernet), "what is fast elsewhere is the plain one here"
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(supernet(x), supernet.eval()(x))
    operations = space.operations(space.sample(np.random.default_rng(1)))
    assert set(operations.values()) & set(NEW)
    for edge in supernet.edges:
        if edge.name in operations:
            supernet.keep(edge.name, operations[edge.name])
        else:
            supernet.remove(edge.name)
    network = space.build(Fixed(operations, search=True), (3, 8, 8), 5, **SMALL).double()
    copy_decided_weights(supernet, network, operations)
    assert (network(x) - supernet(x)).abs().max() < 1e-12


def test_gradients_reach_alphas_and_weights(space: ExtendedSpace) -> None:
    torch.manual_seed(0)
    supernet = space.supernet((3, 8, 8), 5, variant="pc-darts", partial=4, channels=16, layers=3)
    loss = supernet(torch.randn(4, 3, 8, 8)).square().mean()
    gradients = torch.autograd.grad(loss, supernet.alpha_parameters(), create_graph=True)
    assert all(torch.isfinite(g).all() for g in gradients)
    second = torch.autograd.grad(gradients[0].square().sum(), supernet.weight_parameters()[0])
    assert torch.isfinite(second[0]).all()


class TestChannels:
    @pytest.mark.parametrize("channels", [2, 6, 9])
    def test_multiples_of_four(self, space: ExtendedSpace, channels: int) -> None:
        member = space.members["DARTS_V1"]
        for build in (space.network, space.cost):
            with pytest.raises(SpaceError, match=f"channels is {channels}; expected a multiple"):
                build(member, channels=channels, layers=2)  # type: ignore[operator]

    def test_of_a_part_of_them(self, space: ExtendedSpace) -> None:
        with pytest.raises(SpaceError, match="channels is 8; expected a multiple of 16"):
            space.supernet((3, 8, 8), 5, variant="pc-darts", partial=4, channels=8, layers=2)

    def test_before_any_work(self) -> None:
        with pytest.raises(ConfigError, match="channels is 6; expected a multiple of 4"):
            resolve({"space": "darts-extended", "network": {"channels": 6, "layers": 3}})

    def test_presets_are_raised(self) -> None:
        config = resolve({"space": "darts-extended", "strategy": "darts"})
        widths = [scale["channels"] for scale in config.final.scales]
        assert widths == [4, 8, 16]


@pytest.mark.parametrize("weights", ["standardized", "compander", "statsq"])
def test_layers_of_recipes_go_with_it(space: ExtendedSpace, weights: str) -> None:
    network = space.network(space.sample(np.random.default_rng(2)), (1, 8, 8), 10, **SMALL)
    before = sum(
        p.numel() for m in network.modules() if isinstance(m, PHConv2d) for p in m.parameters()
    )
    WEIGHTS.get(weights).to(network, {})
    NORMALIZATIONS.get("group").to(network, {})
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    after = sum(
        p.numel() for m in network.modules() if isinstance(m, PHConv2d) for p in m.parameters()
    )
    assert before == after, "hypercomplex weights are no tensors of their own"
    network(torch.randn(4, 1, 8, 8)).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
