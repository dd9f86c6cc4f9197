"""Sharpness against the whole Hessian, effective rank against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from nas.measure import MEASURES, Subject
from nas.measure.trained import some_images
from nas.training import load_data

SMALL = {"limit": 100}


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 10))
    return Subject(network, load_data("digits", 0, **SMALL))


def test_sharpness_is_the_largest_eigenvalue(subject: Subject) -> None:
    images, labels = some_images(subject, subject.data.train, 512)
    names = [name for name, _ in subject.network.named_parameters()]
    shapes = [p.shape for p in subject.network.parameters()]
    sizes = [p.numel() for p in subject.network.parameters()]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split(sizes)
        weights = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        logits = functional_call(subject.network, weights, (images,))
        return nn.functional.cross_entropy(logits, labels)

    flat = torch.cat([p.detach().reshape(-1) for p in subject.network.parameters()])
    hessian = torch.autograd.functional.hessian(loss, flat)
    assert len(flat) < 500
    largest = float(torch.linalg.eigvalsh(hessian)[-1])
    assert MEASURES.get("sharpness")(subject) == pytest.approx(largest, rel=0.01)


def test_rankme_is_the_entropy_of_singular_values(subject: Subject) -> None:
    images, _ = some_images(subject, subject.data.validation, 1024)
    features = subject.network[:3](images)  # type: ignore[index]
    values = torch.linalg.svdvals(features.detach().double())
    shares = values / values.sum()
    expected = float(torch.exp(-(shares * shares.log()).sum()))
    found = MEASURES.get("rankme")(subject)
    assert found == pytest.approx(expected, rel=1e-6)
    assert 1 < found <= 5


@pytest.mark.parametrize("name", ["sharpness", "rankme"])
def test_the_network_stays_as_it_was(subject: Subject, name: str) -> None:
    before = {k: v.clone() for k, v in subject.network.state_dict().items()}
    subject.network.train()
    subject.network[2].eval()  # type: ignore[index]
    modes = [module.training for module in subject.network.modules()]
    first = MEASURES.get(name)(subject)
    assert [module.training for module in subject.network.modules()] == modes
    assert MEASURES.get(name)(subject) == first
    for key, value in subject.network.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(p.grad is None for p in subject.network.parameters())
