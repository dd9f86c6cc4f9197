"""On a GPU, recorded steps and measurements are those that were not recorded.

To the last bit, but for max pooling: torch adds up its gradient in whatever order comes.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nas.core.protocols import Context
from nas.oneshot.training import _Sums
from nas.testing.waiting import no_waiting
from nas.training import graphs

from .conftest import open_session

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

SETTINGS: dict[str, Any] = {"network": {"channels": 4, "layers": 3}, "limit": 100, "epochs": 2}


def search(space: str, **settings: Any) -> tuple[list[Any], dict[str, torch.Tensor]]:
    """Train, decide an edge, train on: answers and the final state."""
    session = open_session(space, device="cuda", **{**SETTINGS, **settings})
    edge = session.supernet.edges[0]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("train", {}),
        ("drops", {"edge": edge.name}),
        ("keep", {"edge": edge.name, "operation": edge.operations[-1]}),
        ("begin_tuning", {}),
        ("train", {}),
        ("drops", {"edge": session.supernet.edges[1].name}),
        ("curvature", {}),
    ]
    answers = [session.call(name, given, Context(device="cuda", seed=5)) for name, given in calls]
    return [answer.value for answer in answers], session.supernet.state_dict()


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        ("darts-s2", {}),
        ("darts-s2", {"variant": {"name": "sdarts-rs"}}),
        ("darts-s2", {"variant": {"name": "pc-darts", "channels": 2}}),
        ("darts-s2", {"selection": {"mode": "paper", "interval": 1}}),
        ("darts-s2", {"alphas": {"order": "second-exact"}}),
        ("darts-s4", {}),
        ("nasbench201", {"network": {"channels": 4, "layers": 1}}),
    ],
    ids=str,
)
def test_recorded_or_not(
    space: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, state = search(space, **settings)
    monkeypatch.setattr(graphs, "EAGER_CALLS", 10**9)
    expected_answers, expected_state = search(space, **settings)
    assert answers == expected_answers
    for name, tensor in expected_state.items():
        assert torch.equal(state[name], tensor), name


def test_recorded_or_not_with_max_pooling(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, _ = search("darts")
    monkeypatch.setattr(graphs, "EAGER_CALLS", 10**9)
    expected, _ = search("darts")
    for found, wanted in zip(answers, expected, strict=True):
        if isinstance(wanted, dict) and "train_loss" in wanted:
            assert found["train_loss"] == pytest.approx(wanted["train_loss"], abs=0.05)


def test_a_step_waits_for_nothing() -> None:
    session = open_session("darts", device="cuda", **SETTINGS)
    session.call("train", {}, Context(device="cuda"))
    training = session.training
    images, labels = training._train_stream.batch(0)
    chance = torch.Generator("cuda").manual_seed(0)
    batch = training.pipeline.train(images, chance), labels
    sums = _Sums(training.device)
    with no_waiting():
        for _ in range(4):
            training._weight_step(batch, sums, torch.Generator())
            training._alpha_step(batch, batch, sums)
