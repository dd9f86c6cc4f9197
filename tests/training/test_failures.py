"""A candidate's own failures are told apart from mistakes, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError
from nas.training import FitOptions, TrainingRecipe, fit
from nas.training.data.dataset import DataSet
from nas.training.device import is_out_of_memory

Make = Callable[..., nn.Module]
RECIPE = TrainingRecipe(epochs=2, batch_size=16)


class Wrapped(nn.Module):
    """A network whose logits something happens to."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.change = change

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.network(images))


def too_much(logits: Tensor) -> Tensor:
    torch.empty(1 << 60, dtype=torch.uint8)
    return logits


def test_divergence(few_digits: DataSet, conv_net: Make) -> None:
    recipe = RECIPE.but(learning_rate=1e20, clip_norm=None)
    with pytest.raises(CandidateError, match=r"diverged: the loss is .* in epoch 1.*learning_rate"):
        fit(conv_net(), few_digits, recipe)


def test_divergence_is_seen_within_a_long_epoch(
    few_digits: DataSet, conv_net: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.training.trainer.CHECK_EVERY", 2)
    calls: list[int] = []

    def spoil(logits: Tensor) -> Tensor:
        calls.append(1)
        return logits * float("nan")

    with pytest.raises(CandidateError, match="diverged"):
        fit(Wrapped(conv_net(), spoil), few_digits, RECIPE)
    assert len(calls) <= 2  # on a CPU at once


def test_a_network_that_is_wrong_in_evaluation_only(few_digits: DataSet, conv_net: Make) -> None:
    network = conv_net()
    network[1].register_forward_hook(
        lambda module, inputs, output: output if module.training else output * float("inf")
    )
    with pytest.raises(CandidateError, match="diverged"):
        fit(network, few_digits, RECIPE)


def test_out_of_memory(few_digits: DataSet, conv_net: Make) -> None:
    with pytest.raises(CandidateError, match=r"out of memory on cpu at batch size 16"):
        fit(Wrapped(conv_net(), too_much), few_digits, RECIPE)


def test_time_out(few_digits: DataSet, conv_net: Make, tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match=r"longer than 0 s \(in epoch 1 of 2\)"):
        fit(conv_net(), few_digits, RECIPE, options=FitOptions(timeout_s=0.0))
    fit(conv_net(), few_digits, RECIPE, options=FitOptions(timeout_s=100.0))


def test_mistakes_are_not_candidates_failures(few_digits: DataSet, conv_net: Make) -> None:
    with pytest.raises(RuntimeError, match=r"size mismatch|shapes cannot be multiplied"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(3, 10)), few_digits, RECIPE)


def test_what_counts_as_out_of_memory() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you ..."))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))
