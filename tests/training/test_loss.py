"""The training loss against hand computation, and the moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.training.averaging import Average
from nas.training.losses import blended_loss


def by_hand(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of soft targets (batch, classes)."""
    logs = logits - logits.exp().sum(1, keepdim=True).log()
    return -(targets * logs).sum(1).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("auxiliary", [None, 0.0, 0.4])
def test_loss(smoothing: float, share: float, auxiliary: float | None) -> None:
    torch.manual_seed(0)
    logits, other = torch.randn(2, 7, 5, dtype=torch.float64)
    a, b = torch.randint(0, 5, (2, 7))
    one, two = nn.functional.one_hot(a, 5).double(), nn.functional.one_hot(b, 5).double()
    soft = (1 - smoothing) * (share * one + (1 - share) * two) + smoothing / 5
    wanted = by_hand(logits, soft)
    targets = [(a, share)] if share == 1 else [(a, share), (b, 1 - share)]
    if auxiliary is None:
        found = blended_loss(logits, targets, smoothing)
    else:
        found = blended_loss((logits, other), targets, smoothing, auxiliary)
        wanted = wanted + auxiliary * by_hand(other, soft)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def test_an_auxiliary_head_may_be_silent() -> None:
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    with_none = blended_loss((logits, None), [(labels, 1.0)], 0.0, 0.4)
    assert torch.equal(with_none, nn.functional.cross_entropy(logits, labels))


def test_the_average_is_the_formula() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(network, 0.9)
    kept = {name: t.detach().clone() for name, t in network.state_dict().items()}
    for step in range(100):
        with torch.no_grad():
            for tensor in network.parameters():
                tensor.add_(torch.randn_like(tensor))
        network(torch.randn(4, 2))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, live in network.state_dict().items():
            if live.is_floating_point():
                kept[name] = decay * kept[name] + (1 - decay) * live
            else:
                kept[name] = live.clone()
    own = {name: t.detach().clone() for name, t in network.state_dict().items()}
    with average.applied():
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, kept[name], rtol=1e-5, atol=1e-6)
        assert int(network[1].num_batches_tracked) == 100
    assert all(torch.equal(t, own[name]) for name, t in network.state_dict().items())
