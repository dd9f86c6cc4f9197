"""Proxies against small cases worked out by hand or by finite differences."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import PluginError
from predictors.proxies import PROXIES, list_proxies, measure
from search_spaces import get_space

SMALL = {"channels": 4, "layers": 1}


def images(count: int = 8, channels: int = 3, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, size, size, generator=generator), torch.arange(count) % 3


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3, bias=False),
    )


def loss(network: nn.Module) -> Tensor:
    x, y = images()
    return functional.cross_entropy(network(x), y)


def one(name: str, network: nn.Module | None = None) -> float:
    x, y = images()
    return measure(network or tiny(), x, y, [name])[name]


@pytest.mark.parametrize("space", ["nasbench201", "darts", "nasbench101"])
def test_every_proxy_on_every_space_leaves_the_network_alone(space: str) -> None:
    found = get_space(space)
    torch.manual_seed(0)
    scale = {**SMALL, "channels": 8}
    network = found.network(next(iter(found.members.values())), (3, 8, 8), 3, **scale).eval()
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state()
    x, y = images()
    figures = measure(network, x, y, list_proxies())
    assert set(figures) == set(list_proxies())
    assert all(math.isfinite(value) for value in figures.values()), figures
    assert figures == measure(network, x, y, list_proxies())
    assert torch.equal(torch.get_rng_state(), state)
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_network_through_which_nothing_flows_has_no_figure_or_a_low_one() -> None:
    space = get_space("nasbench201")
    none = space.architecture(dict.fromkeys(space.tree.sample(np.random.default_rng(0)), "none"))
    network = space.network(none, (3, 8, 8), 3, **SMALL)
    figures = measure(network, *images(), list_proxies())
    for name in ("synflow", "jacov", "zen"):
        assert math.isnan(figures[name]), name
    assert figures["params"] > 0


def test_auxiliary_heads_do_not_matter() -> None:
    space = get_space("darts")
    member = space.members["DARTS_V2"]
    x, y = images(4, size=32)
    plain, headed = (
        space.network(member, (3, 32, 32), 3, channels=4, layers=3, auxiliary=head)
        for head in (False, True)
    )
    headed.load_state_dict(plain.state_dict(), strict=False)
    names = ["synflow", "snip", "grad-norm", "fisher", "jacov", "zen", "rankme", "macs"]
    first, second = (measure(network, x, y, names) for network in (plain, headed))
    for name in names:
        assert first[name] == pytest.approx(second[name], rel=1e-4), name


def test_sizes() -> None:
    assert one("params") == 3 * 4 * 9 + 4 * 3
    assert one("macs") == 3 * 4 * 9 * 64 + 4 * 3


def test_snip_and_grad_norm_against_autograd() -> None:
    network = tiny()
    loss(network).backward()
    weights = [network[0].weight.detach(), network[4].weight.detach()]
    slopes = [network[0].weight.grad, network[4].weight.grad]
    products = [float((w * s).abs().sum()) for w, s in zip(weights, slopes, strict=True)]
    assert one("snip") == pytest.approx(sum(products))
    assert one("grad-norm") == pytest.approx(sum(float(s.norm()) for s in slopes))


def test_grasp_against_finite_differences() -> None:
    network = tiny().double()
    x, y = images()

    def gradient(step: list[Tensor], size: float) -> list[Tensor]:
        moved = copy.deepcopy(network)
        with torch.no_grad():
            for weight, change in zip(moved.parameters(), step, strict=True):
                weight += size * change
        total = functional.cross_entropy(moved(x.double()), y)
        return list(torch.autograd.grad(total, list(moved.parameters())))

    still = gradient([torch.zeros_like(w) for w in network.parameters()], 0)
    ahead, behind = gradient(still, 1e-4), gradient(still, -1e-4)
    product = [(a - b) / 2e-4 for a, b in zip(ahead, behind, strict=True)]
    expected = -sum(
        float((w * p).sum().detach()) for w, p in zip(network.parameters(), product, strict=True)
    )
    found = measure(network, x.double(), y, ["grasp"])["grasp"]
    assert found == pytest.approx(expected, rel=1e-4)


def test_synflow_is_homogeneous_and_ignores_normalisation() -> None:
    # With absolute weights the network is linear: each layer's weight times slope is its output.
    network = tiny()
    x = torch.ones(1, 3, 8, 8, dtype=torch.float64)
    positive = copy.deepcopy(network).double()
    for parameter in positive.parameters():
        parameter.data.abs_()
    assert one("synflow", network) == pytest.approx(math.log(2 * float(positive(x).sum().detach())))
    with torch.no_grad():
        network[0].weight *= 10
    assert one("synflow", network) == pytest.approx(one("synflow") + math.log(10))
    normalised = nn.Sequential(network[0], nn.BatchNorm2d(4), *list(network)[1:])
    assert one("synflow", normalised) == pytest.approx(one("synflow", network))


def test_fisher_against_a_factor_on_each_channel() -> None:
    network = tiny().double()
    x, y = images()
    expected = 0.0
    for row in range(len(x)):
        gates = [torch.ones(4, 1, 1).double(), torch.ones(3).double()]
        for gate in gates:
            gate.requires_grad_(True)
        hidden = network[3](
            network[2](network[1](network[0](x[row : row + 1].double()) * gates[0]))
        )
        total = functional.cross_entropy(network[4](hidden) * gates[1], y[row : row + 1])
        slopes = torch.autograd.grad(total, gates)
        expected += sum(float(slope.square().sum()) for slope in slopes) / 2 / len(x)
    assert measure(network, x.double(), y, ["fisher"])["fisher"] == pytest.approx(expected)


def test_naswot_counts_modules_and_functions_alike() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = tiny()

        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.relu_(self.layers[0](x))
            result: Tensor = self.layers[4](hidden.mean((2, 3)))
            return result

    assert one("naswot", Functional()) == pytest.approx(one("naswot"), rel=1e-9)
    hidden = tiny()[0](images()[0]).flatten(1) > 0
    same = (hidden[:, None] == hidden[None]).sum(2).double()
    assert one("naswot") == pytest.approx(float(torch.linalg.slogdet(same)[1]))
    assert math.isnan(one("naswot", nn.Sequential(nn.Flatten(), nn.Linear(192, 3))))


def test_jacov_of_images_that_are_treated_alike_is_low() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))  # the same derivative for all
    assert one("jacov", linear) < one("jacov") < 0


def test_rankme_of_features_in_a_line_is_one() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 1, bias=False), nn.Linear(1, 3))
    assert one("rankme", flat) == pytest.approx(1)
    assert 1 < one("rankme") <= 4


def test_zen_undoes_normalisation() -> None:
    network = tiny()
    torch.manual_seed(0)
    normalised = nn.Sequential(network[0], nn.BatchNorm2d(4), *list(network)[1:])
    wide = nn.Sequential(network[0], nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), *list(network)[1:])
    figures = [measure(n, *images(), ["zen"], seed=1)["zen"] for n in (normalised, wide)]
    assert figures[1] > figures[0]  # one more layer says more, normalised or not
    assert measure(normalised, *images(), ["zen"], seed=2)["zen"] != figures[0]


def test_mistakes_are_said() -> None:
    x, y = images()
    with pytest.raises(PluginError, match="did you mean synflow"):
        measure(tiny(), x, y, ["synflo"])
    with pytest.raises(ValueError, match="with labels"):
        measure(tiny(), x, y[:3], ["params"])
    with pytest.raises(ValueError, match="with labels"):
        measure(tiny(), x[:0], y[:0], ["params"])


def test_each_says_its_sign_cost_and_source() -> None:
    for name in PROXIES.names():
        proxy = PROXIES.get(name)
        assert proxy.source
        assert proxy.cost in ("none", "forward", "backward", "twice backward")
        assert isinstance(proxy.higher_is_better, bool)


def test_listing_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, predictors, predictors.proxies, predictors.encodings;"
        "predictors.list_predictors(); predictors.PROXIES.names();"
        "predictors.get_predictor('pairwise-linear'); predictors.get_predictor('pairwise-mlp');"
        "sys.exit(any(m in sys.modules for m in ('torch', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
