"""The fast NAS-Bench-201 supernet computes what the plain one does."""

from __future__ import annotations

import pytest
import torch

from search_spaces.supernet import masked

from .fast_pairs import assert_same_function, distance, gradients, pair


def images(shape: tuple[int, int, int] = (3, 8, 8)) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randn(4, *shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 7, 9)])
def test_values_and_gradients_equal_the_plain_form(shape: tuple[int, int, int]) -> None:
    plain, fast = pair("nasbench201", shape, layers=2)
    assert_same_function(plain, fast, images(shape))


def test_every_masked_operation() -> None:
    plain, fast = pair("nasbench201")
    mixture = plain.mixture()
    with torch.no_grad():
        for edge in plain.edges:
            for operation in edge.operations:
                given = masked(mixture, edge, operation)
                difference = fast(images(), given) - plain(images(), given)
                assert difference.abs().max().item() <= 1e-10, (edge.name, operation)


def test_after_decisions() -> None:
    plain, fast = pair("nasbench201", layers=2)
    decisions = ["nor_conv_1x1", "none", "skip_connect", "nor_conv_3x3"]
    for edge, operation in zip(plain.edges, decisions, strict=False):
        for model in (plain, fast):
            model.keep(edge.name, operation)
        assert_same_function(plain, fast, images())
    for model in (plain, fast):
        model.remove("cell/3<-1")
    assert_same_function(plain, fast, images())


def test_removals() -> None:
    plain, fast = pair("nasbench201", layers=2)
    for edge in plain.edges:
        expected, found = plain.removals(images(), edge.name), fast.removals(images(), edge.name)
        assert list(found) == list(expected)
        for name, logits in expected.items():
            assert (found[name] - logits).abs().max().item() <= 1e-10
    expected, found = (m.edge_removals(images(), "cell", 3) for m in (plain, fast))
    assert list(found) == list(expected)
    for name, logits in expected.items():
        assert (found[name] - logits).abs().max().item() <= 1e-10


def test_single_precision() -> None:
    plain, fast = pair("nasbench201", dtype=torch.float32, channels=8)
    x = images().float()
    assert (fast(x) - plain(x)).abs().max().item() <= 1e-5


def test_second_derivatives_and_alphas_alone() -> None:
    products = []
    for model in pair("nasbench201"):
        slope = gradients(model(images()), model.weight_parameters(), create_graph=True)
        inner = sum((g * g.detach().cos()).sum() for g in slope)
        products.append(
            torch.autograd.grad(
                inner, list(model.parameters()), allow_unused=True, materialize_grads=True
            )
        )
    assert distance(products[1], products[0]) <= 1e-7
    plain, fast = pair("nasbench201")
    with fast.alphas_only():
        output = fast(images())
    found = gradients(output, fast.alpha_parameters())
    assert distance(found, gradients(plain(images()), plain.alpha_parameters())) <= 1e-8
