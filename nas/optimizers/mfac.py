"""M-FAC: the inverse of an empirical Fisher matrix of the last gradients, without the matrix.

Frantar, Kurtic & Alistarh, "M-FAC: Efficient Matrix-Free Approximations of Second-Order
Information", NeurIPS 2021. With G the last m gradients as rows and F = damping I + G'G / m,
Woodbury's identity gives F^-1 g = (g - G'(m damping I + G G')^-1 G g) / damping: an m x m system.
(The paper updates a factor as gradients come; for the windows affordable here solving anew is as
fast, and exact.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas.optimizers.rule import HALVES, Rule, listed
from nas.optimizers.settings import MfacSettings
from nas.optimizers.stacks import aligned


class MFAC(Rule):
    """M-FAC; as many copies of memory as the window is long.

    The window, and the matrix of inner products, are of all weights of a group together.
    """

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        gradient = torch.cat([g.reshape(-1) for g in gradients])
        state = self.state[weights[0]]
        if "window" not in state:
            size = group["window"]
            state["window"] = gradient.new_zeros(size, gradient.numel())
            state["products"] = gradient.new_zeros(size, size)
            state["seen"] = 0
        window, products = state["window"], state["products"]
        size = len(window)
        place = state["seen"] % size
        state["seen"] += 1
        window[place] = gradient  # the oldest makes room
        row = window @ gradient
        products[place], products[:, place] = row, row
        count = min(state["seen"], size)
        direction = self._solved(window[:count], products[:count, :count], gradient, group)
        pieces = torch.split(direction, [w.numel() for w in weights])
        updates = [piece.view_as(w) for piece, w in zip(pieces, weights, strict=True)]
        updates = aligned(updates, weights)
        if group["momentum"]:
            buffers = self._kept(weights, "momentum")
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, updates)
            updates = buffers
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, updates, alpha=-group["lr"])

    @staticmethod
    def _solved(
        window: Tensor, products: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> Tensor:
        """The gradient times the inverse Fisher matrix of the window."""
        damping, count = group["damping"], len(window)
        system = products.to(torch.float64, copy=True)
        system.diagonal().add_(count * damping)
        right = (window @ gradient).double()
        solution = torch.linalg.solve_ex(system, right.unsqueeze(1)).result.squeeze(1)
        result: Tensor = (gradient - window.T @ solution.to(gradient)) / damping
        return result


def mfac(params: Any, settings: MfacSettings) -> torch.optim.Optimizer:
    """The factory.

    Raises:
        ConfigError: A parameter is of half precision, in which the differences are lost that a
            direction is made of.
    """
    defaults = {
        "lr": settings.learning_rate,
        "window": settings.window,
        "damping": settings.damping,
        "momentum": settings.momentum,
        "weight_decay": settings.weight_decay,
    }
    return MFAC(listed(params, without=HALVES), defaults)
