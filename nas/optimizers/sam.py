"""Sharpness-aware steps around any optimizer that takes one gradient a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from nas.optimizers.around import Around
from nas.optimizers.rule import Closure, copies, dense, evaluated, synchronous
from nas.optimizers.sharpness import EveryKSettings, LookSamSettings, SamSettings
from nas.optimizers.stacks import alike, parts, stacked

TINY: Final = 1e-12
"""Added to the gradient's length."""


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
                    plain = copies(plain)
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
        scaled: Sequence[Tensor]
        ways: Sequence[Tensor]
        if self._adaptive:
            ways = torch._foreach_abs(weights)
            scaled = torch._foreach_mul(ways, gradients)
            torch._foreach_mul_(ways, scaled)
        elif self._layerwise:
            scaled = ways = in_proportion(weights, gradients)
        else:
            scaled, ways = gradients, gradients
        factor = self._rho / (length(scaled) + TINY)
        before = copies(weights)
        if synchronous(factor):  # nobody waits, and nothing is allocated
            torch._foreach_add_(weights, ways, alpha=float(factor))
        else:
            torch._foreach_add_(weights, torch._foreach_mul(ways, factor))
        try:
            yield
        finally:
            torch._foreach_copy_(weights, before)

    def _remember(self, weights: list[Tensor], plain: list[Tensor]) -> None:
        """What the gradient uphill has that the plain one has not, which is written over."""
        sharp = [w.grad for w in weights if w.grad is not None]
        inner = sum_of(torch._foreach_mul(sharp, plain))
        share = inner / (length(plain) ** 2 + TINY)
        torch._foreach_mul_(plain, share)
        for w, part in zip(weights, torch._foreach_sub(sharp, plain), strict=True):
            self.state[w]["orthogonal"] = part

    def _reuse(self, weights: list[Tensor], plain: list[Tensor]) -> None:
        kept = [self.state[w].get("orthogonal") for w in weights]
        if any(part is None for part in kept):
            return
        parts = [part for part in kept if part is not None]
        factor = self._alpha * length(plain) / (length(parts) + TINY)
        torch._foreach_add_(plain, torch._foreach_mul(parts, factor))


def in_proportion(weights: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
    """Gradients, each as long as its weight; as they are where either has no length."""
    if not synchronous(weights[0]):
        return _in_proportion_many(weights, gradients)
    found = []
    for own, long, g in zip(
        torch._foreach_norm(weights), torch._foreach_norm(gradients), gradients, strict=True
    ):
        ratio = torch.where((own > 0) & (long > 0), own / (long + TINY), torch.ones_like(own))
        found.append(g * ratio)
    return found


def _in_proportion_many(weights: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
    found = list(gradients)
    for ws, gs, places in alike(weights, gradients, range(len(weights))):
        w, g = stacked(ws, ws[0]), stacked(gs, ws[0])
        own, long = (torch.linalg.vector_norm(t.reshape(len(t), -1), dim=1) for t in (w, g))
        ratio = torch.where((own > 0) & (long > 0), own / (long + TINY), torch.ones_like(own))
        scaled = g * ratio.reshape(-1, *[1] * (g.dim() - 1))
        for place, part in zip(places, parts(scaled, ws[0]), strict=True):
            found[place] = part
    return found


def length(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean length of all together, on their device."""
    found: Tensor = torch.stack(torch._foreach_norm(list(tensors))).norm()
    return found


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """Sum of all elements of all; they have no gaps in memory."""
    if not synchronous(tensors[0]):
        # In whatever order they lie in memory: views, where a reshape might copy.
        return torch.cat([t.as_strided((t.numel(),), (1,)) for t in tensors]).sum()
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
