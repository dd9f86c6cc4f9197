"""Which channels go together; a network without some computes what it does where they are zero."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import UnsupportedError
from nas.layers.adapt import adapt
from nas.layers.channels import Channels, find_channels
from search_spaces import get_space, list_spaces

SHAPE = (3, 12, 12)
OURS = [
    name
    for name in list_spaces()
    if name.startswith(("darts", "nasbench", "fbnetv3-small")) and name != "darts-extended"
]


def scrambled(network: nn.Module, seed: int = 0) -> nn.Module:
    """As if trained: no scale is 1, no shift and no running mean 0."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


def some(channels: Channels, share: float, seed: int) -> np.ndarray:
    """Which groups stay where a share is taken at random, no layer left empty."""
    kept = np.ones(channels.count, bool)
    for group in np.random.default_rng(seed).permutation(channels.count)[
        : round(share * channels.count)
    ]:
        kept[group] = False
        if any(not kept[list(crowd)].any() for crowd in channels.crowds):
            kept[group] = True
    return kept


def both(network: nn.Module, channels: Channels, kept: np.ndarray) -> tuple[nn.Module, nn.Module]:
    """The network with zeros, and the one without these channels."""
    masked = copy.deepcopy(network)
    with torch.no_grad():
        for name, tensor in masked.state_dict().items():
            if name in channels.rows and "running_var" not in name:
                gone = ~np.append(kept, True)[channels.rows[name]]
                tensor[torch.as_tensor(gone)] = 0
    small = copy.deepcopy(network)
    adapt(small, "cut", channels=channels.without(kept))
    small.load_state_dict(channels.selected(masked.state_dict(), kept))
    return masked, small


def difference(a: nn.Module, b: nn.Module, images: Tensor) -> float:
    """Of outputs relative to their size; operations may draw noise."""
    outputs = []
    for network in (a, b):
        torch.manual_seed(1)
        with torch.no_grad():
            out = network(images)
        outputs.append(torch.cat(out if isinstance(out, tuple) else (out,)).double())
    first, second = outputs
    return float((first - second).abs().max() / first.abs().max().clamp_min(1))


@pytest.mark.parametrize("name", OURS)
def test_cut_networks_of_our_spaces_are_the_masked_ones(name: str) -> None:
    """In evaluation to 1e-5, and in training mode, auxiliary heads included."""
    space = get_space(name)
    rng = np.random.default_rng(3)
    for seed in range(3):
        wanted = {"channels": 6, "layers": 2 if name.startswith("darts") else 1}
        scale = {key: value for key, value in wanted.items() if key in space.scale}
        if "auxiliary" in space.scale and seed % 2:
            scale["auxiliary"] = True
        torch.manual_seed(seed)
        network = space.network(space.sample(rng), SHAPE, 10, **scale)
        channels = find_channels(scrambled(network), SHAPE)
        kept = some(channels, 0.6, seed)
        masked, small = both(network, channels, kept)
        images = torch.randn(8, *SHAPE)
        assert difference(masked.eval(), small.eval(), images) <= 1e-5
        assert difference(masked.train(), small.train(), images) <= 1e-4
        if not kept.all():
            assert sum(map(torch.numel, small.parameters())) < sum(
                map(torch.numel, network.parameters())
            )


@pytest.mark.parametrize("name", OURS)
def test_as_many_as_may_go_leave_a_channel_everywhere(name: str) -> None:
    space = get_space(name)
    torch.manual_seed(0)
    member = space.sample(np.random.default_rng(8))
    scale = {key: 6 if key == "channels" else 2 for key in ("channels", "layers")}
    scale = {key: value for key, value in scale.items() if key in space.scale}
    network = space.network(member, SHAPE, 10, **scale).eval()
    channels = find_channels(network, SHAPE)
    kept = some(channels, 1.0, 0)
    assert (~kept).sum() >= channels.most
    masked, small = both(network, channels, kept)
    images = torch.randn(4, *SHAPE)
    assert difference(masked, small, images) <= 1e-5
    assert all(0 not in tensor.shape for tensor in small.state_dict().values())


# -- by hand -----------------------------------------------------------------------------------


def block(inputs: int, outputs: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Residual(nn.Module):
    """Stem and branch are added; the branch has channels of its own within."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = block(3, 4), nn.Sequential(block(4, 5), block(5, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.branch(x)).mean((2, 3)))


def test_what_is_added_goes_together() -> None:
    channels = find_channels(Residual(), SHAPE)
    assert channels.count == 4 + 5
    rows = channels.rows
    assert rows["stem.0.weight"].tolist() == rows["branch.1.1.bias"].tolist()
    assert rows["branch.0.0.bias"].tolist() == channels.columns["branch.1.0.weight"].tolist()
    assert rows["head.weight"].tolist() == [-1, -1]  # logits stay
    assert channels.columns["stem.0.weight"].tolist() == [-1] * 3  # as does the input
    assert channels.columns["head.weight"].tolist() == rows["stem.0.weight"].tolist()
    assert sorted(map(len, channels.crowds)) == [4, 5]
    assert channels.most == 7


def test_a_depthwise_convolution_goes_with_what_it_reads() -> None:
    network = nn.Sequential(
        block(3, 4), block(4, 8, groups=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    channels = find_channels(network, SHAPE)
    assert channels.count == 4
    assert channels.rows["1.0.weight"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    kept = np.array([True, False, True, True])
    masked, small = both(network, channels, kept)
    conv = small[1][0]
    assert (conv.in_channels, conv.out_channels, conv.groups) == (3, 6, 3)
    assert difference(masked.eval(), small.eval(), torch.randn(2, *SHAPE)) <= 1e-5


def test_channels_around_other_grouped_convolutions_stay() -> None:
    network = nn.Sequential(block(3, 4), block(4, 4, groups=2), block(4, 6), nn.Flatten())
    network.append(nn.Linear(6 * 144, 2))
    channels = find_channels(network, SHAPE)
    assert channels.count == 6
    assert set(channels.rows["0.0.weight"].tolist()) == {-1}
    masked, small = both(network, channels, np.arange(6) > 2)
    assert difference(masked.eval(), small.eval(), torch.randn(2, *SHAPE)) <= 1e-5


@pytest.mark.parametrize("bias", [True, False])
def test_hidden_units_of_fully_connected_networks(bias: bool) -> None:
    """Every pixel of a channel is a feature that goes with it."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Flatten(),
        nn.Linear(4 * 144, 7, bias=bias),
        nn.BatchNorm1d(7),
        nn.Tanh(),
        nn.Linear(7, 5, bias=bias),
        nn.GELU(),
        nn.Linear(5, 2),
    )
    channels = find_channels(scrambled(network), SHAPE)
    assert channels.count == 4 + 7 + 5
    assert np.bincount(channels.columns["2.weight"]).tolist() == [144] * 4
    masked, small = both(network, channels, some(channels, 0.5, 0))
    assert difference(masked.eval(), small.eval(), torch.randn(2, *SHAPE)) <= 1e-5


def test_a_layer_used_twice_has_one_set_of_channels() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.again, self.head = block(3, 4), block(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.again(self.again(self.stem(x))).mean((2, 3)))

    network = Twice()
    channels = find_channels(network, SHAPE)
    assert channels.count == 4
    masked, small = both(network, channels, np.array([True, False, True, False]))
    assert difference(masked.eval(), small.eval(), torch.randn(2, *SHAPE)) <= 1e-5


def test_first_channels_of_a_vertex_are_counted_anew() -> None:
    """NAS-Bench-101: a vertex takes as many of the first channels of another as it has itself."""
    space = get_space("nasbench101")
    rng = np.random.default_rng(0)
    for _ in range(100):
        network = space.network(space.sample(rng), SHAPE, 10, channels=7, layers=1).eval()
        channels = find_channels(network, SHAPE)
        none = np.zeros(channels.count, bool)
        if any(".first." in name for name in channels.without(none)):
            break
    else:
        pytest.fail("no cell of the sample takes a part of another's channels")
    for seed in range(10):
        masked, small = both(network, channels, some(channels, 0.7, seed))
        assert difference(masked, small, torch.randn(2, *SHAPE)) <= 1e-5


def test_channels_with_noise_stay() -> None:
    space = get_space("darts-s4")
    member = next(
        member
        for member in (space.sample(np.random.default_rng(i)) for i in range(50))
        if sum(op == "noise" for op in member.choices.values()) > 4
    )
    network = space.network(member, SHAPE, 10, channels=4, layers=1)
    channels = find_channels(network, SHAPE)
    assert set(channels.columns["classifier.weight"].tolist()) > {-1}


def test_the_network_is_left_as_it_was() -> None:
    network = scrambled(Residual())
    network.branch.eval()
    modes = [module.training for module in network.modules()]
    before = copy.deepcopy(network.state_dict())
    find_channels(network, SHAPE)
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    hooks = [(module._forward_hooks, module._forward_pre_hooks) for module in network.modules()]
    assert not any(map(any, hooks))


class Doing(nn.Module):
    """One operation between two convolutions."""

    def __init__(self, operation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.after, self.head = block(3, 4), nn.LazyConv2d(4, 1), nn.Linear(4, 2)
        self.operation = operation
        self(torch.zeros(2, *SHAPE))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.after(self.operation(self.before(x))).mean((2, 3)))


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (torch.exp, "'exp'"),
        (torch.sigmoid, "a gate that is read by 'convolution'"),
        (lambda x: x + torch.sigmoid(x), "a gate that is read by 'add'"),
        (nn.GroupNorm(2, 4), "'native_group_norm' .in 'operation', a GroupNorm"),
        (lambda x: x.transpose(1, 2).flatten(2).unsqueeze(1), "'transpose'"),
        (lambda x: x + 1, "a constant that is added"),
        (lambda x: x[:, 1:], "channels that are picked"),
        (lambda x: x[:, :2], "channels that are picked"),
        (lambda x: x * torch.arange(4.0, device=x.device).view(4, 1, 1), "a tensor that scales"),
        (lambda x: nn.functional.pad(x, (0, 0, 0, 0, 1, 1)), "a border of other channels"),
        (lambda x: nn.functional.pad(x, (1, 1), value=1.0), "of a constant"),
        (lambda x: x.mean(1, keepdim=True), "a sum over images or channels"),
        (lambda x: x / (x + x), "a division by channels"),
        (lambda x: x.view(-1, 2, 12, 12), "another arrangement"),
        (lambda x: x.clamp(0.5, 1), "limits without zero"),
        (lambda x: x if x.sum() > 0 else -x, "a sum over"),
        (nn.ConvTranspose2d(4, 4, 1), "a transposed convolution"),
    ],
)
def test_what_no_rule_is_for_is_refused_in_one_line(
    operation: Callable[[Tensor], Tensor], words: str
) -> None:
    with pytest.raises(UnsupportedError, match=words) as error:
        find_channels(Doing(operation), SHAPE)
    assert error.value.hint
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x * 2 - x / 3,
        lambda x: nn.functional.pad(x, (1, 1, 0, 2)),
        lambda x: torch.cat([x, nn.functional.relu6(x)], 1),
        lambda x: nn.functional.interpolate(x, scale_factor=2) * 0.5,
        lambda x: nn.functional.adaptive_max_pool2d(x, 2) * x[:, :, ::6, ::6],
        lambda x: x.flatten(2).unflatten(2, (12, 12)).relu_(),
        nn.Sequential(nn.PReLU(), nn.Dropout(0.5), nn.SiLU(), nn.LeakyReLU()),
        lambda x: x + torch.zeros_like(x),
    ],
)
def test_what_keeps_zeros_may_stand_between(operation: Callable[[Tensor], Tensor]) -> None:
    network = scrambled(Doing(operation))
    channels = find_channels(network, SHAPE)
    assert channels.count == 4 + 4
    masked, small = both(network, channels, some(channels, 0.5, 1))
    assert difference(masked.eval(), small.eval(), torch.randn(2, *SHAPE)) <= 1e-5


def test_layers_of_one_s_own_are_refused_unless_all_they_have_is_known() -> None:
    class Slow(nn.BatchNorm2d):
        def __init__(self, channels: int) -> None:
            super().__init__(channels)
            self.register_buffer("speed", torch.ones(channels))

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.conv2d(x, self.weight)

    for number, layer in ((1, Slow(4)), (0, Bare())):
        network = Residual()
        network.stem[number] = layer
        with pytest.raises(UnsupportedError, match=f"'stem.{number}', a {type(layer).__name__}"):
            find_channels(network, SHAPE)


def test_weights_that_are_computed_are_refused() -> None:
    network = Residual()
    nn.utils.parametrizations.weight_norm(network.stem[0])
    with pytest.raises(UnsupportedError, match="weights that are computed from others"):
        find_channels(network, SHAPE)
