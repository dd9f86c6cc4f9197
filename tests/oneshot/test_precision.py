"""What is differenced or differentiated twice runs in float32 proper, on any device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch

from nas.core.protocols import Context
from nas.oneshot import training
from nas.oneshot.session import SupernetSession
from nas.training.device import full_precision


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Precision and TF32 of every forward pass for a loss, as they come."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    passes: list[tuple[str, bool]] = []

    def noted(device: torch.device, precision: str) -> AbstractContextManager[object]:
        passes.append((precision, torch.backends.cudnn.allow_tf32))
        return nullcontext()

    monkeypatch.setattr(training, "autocast", noted)
    return passes


@pytest.mark.parametrize(("order", "passes"), [("second", 4), ("second-exact", 3)])
def test_second_order_alpha_steps(
    session: Callable[..., SupernetSession],
    asked: list[tuple[str, bool]],
    order: str,
    passes: int,
) -> None:
    opened = session(alphas={"order": order})
    opened.call("train", {}, Context())
    step = [("float32", False)] * passes + [("auto", True)]
    assert asked == step * opened.training.steps


def test_first_order_is_as_fast_as_the_device_allows(
    session: Callable[..., SupernetSession], asked: list[tuple[str, bool]]
) -> None:
    session().call("train", {}, Context())
    assert set(asked) == {("auto", True)}


def test_curvature(session: Callable[..., SupernetSession], asked: list[tuple[str, bool]]) -> None:
    session().call("curvature", {}, Context())
    assert asked == [("float32", False)]
    assert torch.backends.cudnn.allow_tf32


def test_full_precision_is_left_by_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with pytest.raises(ValueError, match="no"), full_precision():
        raise ValueError("no")
    assert torch.backends.cudnn.allow_tf32


def test_training_is_deterministic_on_an_accelerator_too(
    session: Callable[..., SupernetSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = session()
    seen: list[bool] = []
    forward = opened.supernet.logits

    def watched(*arguments: object) -> torch.Tensor:
        seen.append(torch.backends.cudnn.deterministic)
        return forward(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(opened.supernet, "logits", watched)
    opened.call("train", {}, Context())
    assert seen
    assert all(seen)
