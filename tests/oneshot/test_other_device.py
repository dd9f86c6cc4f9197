"""A state that was written on another kind of device."""

from __future__ import annotations

from collections.abc import Callable

import torch

from nas.core.protocols import Context
from nas.oneshot.session import SupernetSession


def test_a_state_of_a_gpu_does_not_bring_its_way_of_stepping_along(
    session: Callable[..., SupernetSession],
) -> None:
    """torch keeps it among the optimiser's settings; the fused form of CPUs would step wrongly."""
    states = []
    for fused in (False, True):
        opened = session()
        opened.call("train", {}, Context())
        state = opened.training.state()
        (group,) = state["weights"]["param_groups"]
        if fused:
            group["fused"], group["foreach"] = True, None
        opened.training.load_state(state)
        opened.call("train", {}, Context())
        (group,) = opened.training.weight_optimizer.param_groups
        assert (group["fused"], group["foreach"]) == (None, True)
        states.append(opened.supernet.state_dict())
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())
