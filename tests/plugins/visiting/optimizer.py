"""An optimizer of another package: extragradient, which asks for two gradients a step.

Korpelevich, "The extragradient method for finding saddle points", 1976.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from nas.optimizers import Member, OptimizerSettings


class Extragradient(torch.optim.Optimizer):
    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        assert closure is not None
        begun = [p.detach().clone() for group in self.param_groups for p in group["params"]]
        with torch.enable_grad():
            loss = closure()
        self._move()
        with torch.enable_grad():
            closure()
        tensors = (p for group in self.param_groups for p in group["params"])
        for parameter, before in zip(tensors, begun, strict=True):
            parameter.copy_(before)
        self._move()
        return loss

    def _move(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=group["lr"])


def extragradient(params: Iterable[Any], settings: OptimizerSettings) -> torch.optim.Optimizer:
    return Extragradient(params, settings.learning_rate)


MEMBER = Member(OptimizerSettings, "visiting.optimizer:extragradient")
