"""Dropout for the time of a training: where it acts, and that it leaves nothing behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.core.errors import UnsupportedError
from nas.layers.dropout import dropped_inputs


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 1000), nn.Linear(1000, 3)
        self.auxiliary_head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(self.first(x))
        return logits


def test_inputs_of_the_last_layer_are_dropped_and_scaled_while_training() -> None:
    network, x = Classifier(), torch.randn(4, 6)
    plain = network(x)
    seen: list[torch.Tensor] = []
    network.last.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0].detach())
    )
    hidden = network.first(x).detach()
    with dropped_inputs(network, 0.25):
        network(x)
        network.eval()
        assert torch.equal(network(x), plain)
        network.train()
    kept = seen[0] != 0
    assert kept.double().mean() == pytest.approx(0.75, abs=0.03)
    torch.testing.assert_close(seen[0][kept], hidden[kept] / 0.75)
    assert torch.equal(network(x), plain)  # gone


def test_an_auxiliary_head_does_not_count_as_the_last_layer() -> None:
    network, x = Classifier(), torch.randn(4, 6)
    with dropped_inputs(network, 0.5):
        assert torch.equal(network.auxiliary_head(x), network.auxiliary_head(x))
        assert not torch.equal(network(x), network(x))


def test_a_network_without_linear_layers_is_refused() -> None:
    with (
        pytest.raises(UnsupportedError, match="linear layer"),
        dropped_inputs(nn.Conv2d(1, 1, 1), 0.1),
    ):
        pass
