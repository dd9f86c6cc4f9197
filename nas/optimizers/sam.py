"""Sharpness-aware steps around any optimizer that takes one gradient a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from nas.optimizers.around import Around
from nas.optimizers.rule import Closure, dense, evaluated
from nas.optimizers.sharpness import EveryKSettings, LookSamSettings, SamSettings

TINY: Final = 1e-12
"""Added to the gradient's length."""

NUMBERS: Final = frozenset({"cpu"})
"""Devices whose numbers can be looked at without waiting."""


class Sam(Around):
    """SAM around an optimizer, every step or every k-th (Foret et al., ICLR 2021, algorithm 1).

    What is uphill is the gradient of all weights together; the weights come back to the bit before
    the optimizer steps, also if the second gradient fails.

    Args:
        base: Steps with the gradient found.
        rho: Length of the way uphill.
        adaptive: In units of each weight (Kwon et al., ICML 2021).
        layerwise: Each tensor's gradient is scaled by the tensor's length over its own, as LAMB
            scales steps (Look-LayerSAM of Liu et al.); where either is zero, not at all. The way of
            all together has the length `rho`, like any other: what the authors divide by is not
            known to us.
        k: Only every k-th step, from the first.
        alpha: LookSAM (Liu et al., CVPR 2022, algorithm 1): how much of the part of the last such
            gradient that is orthogonal to the plain one is added to the gradient in between. By the
            length of the gradient of all weights together, as in the paper.
    """

    def __init__(
        self,
        base: torch.optim.Optimizer,
        rho: float,
        *,
        adaptive: bool = False,
        layerwise: bool = False,
        k: int = 1,
        alpha: float = 0.0,
    ) -> None:
        super().__init__(base)
        self._rho, self._k, self._alpha = rho, k, alpha
        self._adaptive, self._layerwise = adaptive, layerwise

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Take a step; what the closure gave at the weights as they were.

        Raises:
            ConfigError: There is no closure, or a gradient is sparse.
        """
        loss = evaluated(closure)
        weights = dense(p for group in self.param_groups for p in group["params"])
        plain = [p.grad for p in weights if p.grad is not None]
        if weights:
            if self.taken % self._k == 0:
                if self._alpha:  # the next gradient may be written over it
                    plain = [g.clone() for g in plain]
                with self._uphill(weights, plain):
                    evaluated(closure)
                if self._alpha:
                    self._remember(weights, plain)
            elif self._alpha:
                self._reuse(weights, plain)
        self.base.step()
        self.taken += 1
        return loss

    @contextmanager
    def _uphill(self, weights: list[Tensor], gradients: list[Tensor]) -> Iterator[None]:
        """Weights are moved by the way uphill, and put back whatever happens."""
        if self._adaptive:
            scaled = [w.abs() * g for w, g in zip(weights, gradients, strict=True)]
            ways = [w.abs() * s for w, s in zip(weights, scaled, strict=True)]
        elif self._layerwise:
            scaled = ways = in_proportion(weights, gradients)
        else:
            scaled, ways = gradients, gradients
        factor = self._rho / (length(scaled) + TINY)
        before = [w.clone() for w in weights]
        if factor.device.type in NUMBERS:  # nobody waits, and nothing is allocated
            torch._foreach_add_(weights, ways, alpha=float(factor))
        else:
            torch._foreach_add_(weights, torch._foreach_mul(ways, factor))
        try:
            yield
        finally:
            torch._foreach_copy_(weights, before)

    def _remember(self, weights: list[Tensor], plain: list[Tensor]) -> None:
        """What the gradient uphill has that the plain one has not."""
        sharp = [w.grad for w in weights if w.grad is not None]
        inner = sum_of(list(torch._foreach_mul(sharp, plain)))
        share = inner / (length(plain) ** 2 + TINY)
        for w, s, g in zip(weights, sharp, plain, strict=True):
            self.state[w]["orthogonal"] = s - share * g

    def _reuse(self, weights: list[Tensor], plain: list[Tensor]) -> None:
        kept = [self.state[w].get("orthogonal") for w in weights]
        if any(part is None for part in kept):
            return
        parts = [part for part in kept if part is not None]
        factor = self._alpha * length(plain) / (length(parts) + TINY)
        torch._foreach_add_(plain, torch._foreach_mul(parts, factor))


def in_proportion(weights: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
    """Gradients, each as long as its weight; as they are where either has no length."""
    found = []
    for own, long, g in zip(
        torch._foreach_norm(weights), torch._foreach_norm(gradients), gradients, strict=True
    ):
        ratio = torch.where((own > 0) & (long > 0), own / (long + TINY), torch.ones_like(own))
        found.append(g * ratio)
    return found


def length(tensors: list[Tensor]) -> Tensor:
    """Euclidean length of all together, on their device."""
    found: Tensor = torch.stack(torch._foreach_norm(tensors)).norm()
    return found


def sum_of(tensors: list[Tensor]) -> Tensor:
    """Sum of all elements of all."""
    return torch.stack([tensor.sum() for tensor in tensors]).sum()


def sam(optimizer: torch.optim.Optimizer, settings: SamSettings) -> torch.optim.Optimizer:
    """SAM."""
    return Sam(optimizer, settings.rho, adaptive=settings.adaptive, layerwise=settings.layerwise)


def sam_every(optimizer: torch.optim.Optimizer, settings: EveryKSettings) -> torch.optim.Optimizer:
    """SAM every k steps."""
    return Sam(
        optimizer,
        settings.rho,
        adaptive=settings.adaptive,
        layerwise=settings.layerwise,
        k=settings.k,
    )


def looksam(optimizer: torch.optim.Optimizer, settings: LookSamSettings) -> torch.optim.Optimizer:
    """LookSAM."""
    return Sam(
        optimizer,
        settings.rho,
        adaptive=settings.adaptive,
        layerwise=settings.layerwise,
        k=settings.k,
        alpha=settings.alpha,
    )
