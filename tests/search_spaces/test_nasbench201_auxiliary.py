"""The auxiliary head of NAS-Bench-201 networks: in training only, and not counted."""

from __future__ import annotations

import pytest
import torch

from nas.measure.counts import count_parameters
from search_spaces import get_space


@pytest.mark.parametrize("side", [8, 13, 32])
def test_the_auxiliary_head_speaks_in_training_only(side: int) -> None:
    space = get_space("nasbench201")
    cell = space.members["resnet"]
    shape = (3, side, side)
    plain = space.network(cell, shape, 10, channels=4, layers=1)
    network = space.network(cell, shape, 10, channels=4, layers=1, auxiliary=True)
    assert count_parameters(network) == count_parameters(plain)
    images = torch.randn(4, *shape)
    logits, auxiliary = network.train()(images)
    assert logits.shape == auxiliary.shape == (4, 10)
    assert network.eval()(images).shape == (4, 10)
    assert type(network)(**network.arguments).state_dict().keys() == network.state_dict().keys()
