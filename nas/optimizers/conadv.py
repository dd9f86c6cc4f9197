"""ConAdv: adversarial inputs from weights of a step ago, beside the inputs themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nas.optimizers.around import Around
from nas.optimizers.rule import Closure, asked, copies, dense, evaluated
from nas.optimizers.sharpness import ConAdvSettings


class ConAdv(Around):
    """Concurrent adversarial learning around an optimizer (Liu et al., ICLR 2022, algorithm 2).

    Inputs move by `epsilon` along the sign of their gradient, which is taken at weights that are
    `tau` steps old (the first ones, before there are so many), and the optimizer steps by the mean
    of the gradients at both. On many devices the stale weights let the three passes of a step run
    side by side; on one, all that remains is what the inputs do to training, at the cost of 2 2/3
    gradients: the backward pass to the inputs alone is half of one.

    The paper gives adversarial inputs batch normalisations of their own (Xie et al., CVPR 2020).
    Those are not built: both kinds go through the same layers, each normalised by its own batch,
    and running statistics count the clean one only.

    Args:
        base: Steps with the gradient found.
        epsilon: How far a pixel moves, in units of pixels from 0 to 1.
        tau: How many steps old the weights are; as many copies.
    """

    def __init__(self, base: torch.optim.Optimizer, epsilon: float, tau: int) -> None:
        super().__init__(base)
        self._epsilon, self._tau = epsilon, tau

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Take a step; what the closure gave for the inputs as they are.

        Raises:
            ConfigError: There is no closure, it cannot move inputs, or a gradient is sparse. The
                weights are as they were then, as after whatever else the closure raises.
        """
        loss = evaluated(closure)
        every = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        # The next gradient may be written over this one.
        there = dense(every)
        gradients = copies([p.grad for p in there if p.grad is not None])
        clean = dict(zip(there, gradients, strict=True))
        with self._stale(every) as now, torch.enable_grad():
            uphill = asked(closure, inputs=True)
        with torch.enable_grad():
            asked(closure, moved=self._epsilon * uphill.sign())
        self._halve(dense(every), clean)
        for weight, copy in zip(every, now, strict=True):
            kept = self.state[weight].setdefault("stale", [copy] * self._tau)
            kept[self.taken % self._tau] = copy  # in place of those that have just been used
        self.base.step()
        self.taken += 1
        return loss

    @contextmanager
    def _stale(self, weights: list[Tensor]) -> Iterator[list[Tensor]]:
        """Weights are those of `tau` steps ago, and put back whatever happens; gives copies."""
        now = copies(weights)
        place = self.taken % self._tau
        kept = [self.state[w].get("stale") for w in weights]
        # Without any, at the first step, they are the same.
        then = [n if k is None else k[place] for n, k in zip(now, kept, strict=True)]
        torch._foreach_copy_(weights, then)
        try:
            yield now
        finally:
            torch._foreach_copy_(weights, now)

    @staticmethod
    def _halve(weights: list[Tensor], clean: dict[Tensor, Tensor]) -> None:
        """Gradients become means of those that are there and the clean ones; none counts as 0."""
        there = [(w, w.grad) for w in weights if w.grad is not None]
        both = [(gradient, clean[w]) for w, gradient in there if w in clean]
        if both:
            torch._foreach_lerp_([g for g, _ in both], [other for _, other in both], 0.5)
        alone = [gradient for w, gradient in there if w not in clean]
        for weight, other in clean.items():
            if weight.grad is None:
                weight.grad = other
                alone.append(other)
        if alone:
            torch._foreach_mul_(alone, 0.5)


def conadv(optimizer: torch.optim.Optimizer, settings: ConAdvSettings) -> torch.optim.Optimizer:
    """The factory."""
    return ConAdv(optimizer, settings.epsilon, settings.tau)
