"""The fast DARTS supernet computes what the plain one does, in values and derivatives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from nas.core.errors import SpaceError
from search_spaces import get_space
from search_spaces.darts import tuned
from search_spaces.supernet import Supernet, masked

from .fast_pairs import assert_same_function, distance, gradients, pair

VARIANTS = ["darts", "darts-s1", "darts-s2", "darts-s3", "darts-s4", "darts-s5"]


def images(shape: tuple[int, int, int] = (3, 8, 8), batch: int = 4) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randn(batch, *shape, dtype=torch.float64)


@pytest.mark.parametrize("layout", ["tuned", "merged"])
@pytest.mark.parametrize("space", VARIANTS)
def test_values_and_gradients_equal_the_plain_form(space: str, layout: str) -> None:
    plain, fast = pair(space, layout=layout)
    assert_same_function(plain, fast, images())


@pytest.mark.parametrize("layout", ["tuned", "merged"])
@pytest.mark.parametrize("shape", [(1, 7, 9), (1, 5, 4), (3, 16, 16)])
def test_odd_and_larger_images(shape: tuple[int, int, int], layout: str) -> None:
    plain, fast = pair("darts", shape, layout=layout)
    assert_same_function(plain, fast, images(shape))


@pytest.mark.parametrize("layout", ["tuned", "merged"])
@pytest.mark.parametrize("partial", [2, 4])
def test_partial_channels(partial: int, layout: str) -> None:
    plain, fast = pair("darts", layout=layout, variant="pc-darts", partial=partial)
    assert_same_function(plain, fast, images())
    assert_same_function(plain, fast, images((3, 7, 7)))


@pytest.mark.parametrize("layout", ["tuned", "merged"])
def test_large_images_have_their_own_stem(layout: str) -> None:
    plain, fast = pair("darts-s2", (1, 128, 128), layout=layout, channels=2)
    assert_same_function(plain, fast, images((1, 128, 128), batch=2))


def test_large_maps_do_not_embed_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "_SMALL", 0)
    for space in ("darts", "darts-s1"):
        plain, fast = pair(space)
        assert_same_function(plain, fast, images())


@pytest.mark.parametrize(
    ("group", "layers", "layout", "step"),
    # A network of one layer consists of one reduction cell.
    [("normal", 3, "tuned", 2), ("reduce", 1, "tuned", 1), ("normal", 3, "merged", 5)],
)
def test_every_masked_operation(group: str, layers: int, layout: str, step: int) -> None:
    plain, fast = pair("darts", layout=layout, channels=2, layers=layers)
    x = images(batch=2)
    mixture = plain.mixture()
    with torch.no_grad():
        for edge in [edge for edge in plain.edges if edge.group == group][::step]:
            for operation in edge.operations:
                given = masked(mixture, edge, operation)
                difference = fast(x, given) - plain(x, given)
                assert difference.abs().max().item() <= 1e-10, (edge.name, operation)


def test_masked_operations_learn_nothing() -> None:
    plain, fast = pair("darts")
    edge = plain.edge("normal/2<-1")
    given = {g: t.detach() for g, t in masked(plain.mixture(), edge, "sep_conv_5x5").items()}
    found, expected = (
        gradients(model(images(), given), model.weight_parameters()) for model in (fast, plain)
    )
    assert distance(found, expected) <= 1e-8


@pytest.mark.parametrize("layout", ["tuned", "merged"])
@pytest.mark.parametrize("space", ["darts", "darts-s4", "pc-darts"])
def test_after_decisions(space: str, layout: str) -> None:
    settings: dict[str, Any] = {"variant": "pc-darts", "partial": 2} if space == "pc-darts" else {}
    plain, fast = pair("darts" if settings else space, layout=layout, **settings)
    random = torch.Generator().manual_seed(5)
    for number, edge in enumerate(plain.edges):
        if number % 3 == 0:
            continue
        choice = int(torch.randint(len(edge.operations), (), generator=random))
        for model in (plain, fast):
            model.keep(edge.name, edge.operations[choice])
    assert_same_function(plain, fast, images())
    for name in ("normal/0<-0", "normal/0<-1", "reduce/1<-0", "reduce/3<-4"):
        for model in (plain, fast):
            model.remove(name)
    assert_same_function(plain, fast, images())
    fresh = get_space("darts" if settings else space).supernet(
        (3, 8, 8), 5, channels=4, layers=3, **settings
    )
    fresh.double()
    fast.layout = "auto"
    fresh.load_structure(fast.structure())
    fresh.load_state_dict(fast.state_dict())
    x = images()
    torch.manual_seed(1)
    expected = fast(x)
    torch.manual_seed(1)
    assert torch.equal(fresh(x), expected)


def test_nothing_enters_a_cell() -> None:
    plain, fast = pair("darts-s2")
    for edge in plain.edges:
        if edge.group == "reduce":
            plain.remove(edge.name)
            fast.remove(edge.name)
    assert_same_function(plain, fast, images())


def test_single_precision() -> None:
    plain, fast = pair("darts", (3, 16, 16), torch.float32, channels=8, layers=5)
    x = images((3, 16, 16), 8).float()
    expected = plain(x)
    assert (fast(x) - expected).abs().max().item() <= 1e-5


# -- measuring by removal -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "settings"),
    [("darts", {}), ("darts-s4", {}), ("darts", {"variant": "pc-darts", "partial": 2})],
)
@pytest.mark.parametrize("layout", ["tuned", "merged"])
def test_removals(space: str, settings: dict[str, Any], layout: str) -> None:
    plain, fast = pair(space, layout=layout, layers=4, **settings)
    plain.keep("normal/1<-0", plain.edge("normal/1<-0").operations[-1])
    fast.keep("normal/1<-0", fast.edge("normal/1<-0").operations[-1])
    x = images()
    for edge in ("normal/0<-0", "normal/1<-0", "reduce/2<-2"):
        expected, found = ({}, {})
        for model, results in ((plain, expected), (fast, found)):
            torch.manual_seed(1)
            results.update(model.removals(x, edge))
        _compare(found, expected)
    for group, node in (("normal", 1), ("reduce", 2)):
        expected, found = ({}, {})
        for model, results in ((plain, expected), (fast, found)):
            torch.manual_seed(1)
            results.update(model.edge_removals(x, group, node))
        _compare(found, expected)


def _compare(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, logits in expected.items():
        assert (found[name] - logits).abs().max().item() <= 1e-10, name


def test_removing_none_is_the_unmasked_network() -> None:
    _, fast = pair("darts", layers=4)
    for edge in ("normal/2<-1", "reduce/0<-0"):
        with torch.no_grad():
            expected = fast(images())
        assert (fast.removals(images(), edge)["none"] - expected).abs().max().item() <= 1e-12


def test_measuring_changes_no_state() -> None:
    _, fast = pair("darts-s4")
    before = {name: value.clone() for name, value in fast.state_dict().items()}
    x = images()
    state = torch.get_rng_state()
    fast.removals(x, "normal/0<-0")
    fast.edge_removals(x, "reduce", 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in fast.state_dict().items())
    assert all(parameter.grad is None for parameter in fast.parameters())


# -- derivatives ----------------------------------------------------------------------------


def _product(model: Supernet, x: torch.Tensor) -> list[torch.Tensor]:
    """Second derivative by alphas and weights, times a direction in the weights."""
    weights = model.weight_parameters()
    loss = functional.cross_entropy(model(x), torch.arange(len(x)))
    slope = torch.autograd.grad(loss, weights, create_graph=True)
    inner = sum(
        (g * torch.linspace(-1, 1, g.numel(), dtype=g.dtype).view_as(g)).sum() for g in slope
    )
    parameters = list(model.parameters())
    return list(torch.autograd.grad(inner, parameters, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("layout", ["tuned", "merged"])
@pytest.mark.parametrize("space", ["darts", "pc-darts"])
def test_second_derivatives(space: str, layout: str) -> None:
    settings: dict[str, Any] = {"variant": "pc-darts", "partial": 2} if space == "pc-darts" else {}
    plain, fast = pair("darts", layout=layout, **settings)
    assert distance(_product(fast, images()), _product(plain, images())) <= 1e-7


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_second_derivatives_cost_grows_with_depth_only_linearly() -> None:
    counts = []
    for layers in (3, 6):
        _, fast = pair("darts-s2", channels=2, layers=layers)
        with _Counting() as mode:
            _product(fast, images(batch=2))
        counts.append(sum(mode.calls.values()))
    assert counts[1] < 2.5 * counts[0]


@pytest.mark.parametrize("space", ["darts", "pc-darts"])
def test_alphas_alone(space: str) -> None:
    settings: dict[str, Any] = {"variant": "pc-darts", "partial": 2} if space == "pc-darts" else {}
    plain, fast = pair("darts", **settings)
    frozen = fast.weight_parameters()[0].requires_grad_(False)
    with fast.alphas_only():
        output = fast(images())
    found = gradients(output, fast.alpha_parameters())
    expected = gradients(plain(images()), plain.alpha_parameters())
    assert distance(found, expected) <= 1e-8
    weights = fast.weight_parameters()
    assert all(w.requires_grad for w in weights if w is not frozen)
    assert not frozen.requires_grad


def test_gradient_of_the_images() -> None:
    plain, fast = pair("darts")
    found, expected = [], []
    for model, results in ((fast, found), (plain, expected)):
        x = images().requires_grad_()
        results += gradients(model(x), [x])
    assert distance(found, expected) <= 1e-8


# -- machines -------------------------------------------------------------------------------


def test_merged_layout_reads_no_values_back() -> None:
    """On the meta device there are no values: a graph could be captured."""
    _, fast = pair("darts", layout="merged", dtype=torch.float32)
    fast.to("meta")
    output = fast(torch.empty(4, 3, 8, 8, device="meta"))
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in fast.weight_parameters())


@pytest.mark.parametrize("layout", ["tuned", "merged"])
def test_under_autocast(layout: str) -> None:
    plain, fast = pair("darts-s5", dtype=torch.float32, layout=layout, channels=8)
    x = images(batch=16).float()
    expected = gradients(plain(x), plain.alpha_parameters())
    with torch.autocast("cpu", torch.bfloat16):
        output = fast(x)
        with torch.no_grad():
            assert (fast(x).float() - output.float()).abs().max().item() < 0.1
    found = gradients(output.float(), fast.alpha_parameters())
    assert all(gradient.dtype == torch.float32 for gradient in found)
    cosine = functional.cosine_similarity(
        torch.cat([g.flatten() for g in found]), torch.cat([g.flatten() for g in expected]), dim=0
    )
    assert cosine.item() > 0.98


def test_unknown_layout() -> None:
    from search_spaces.darts.fast import FastDartsSupernet

    with pytest.raises(SpaceError, match="layout"):
        FastDartsSupernet(lambda choose: torch.nn.Identity(), (), layout="quick")
