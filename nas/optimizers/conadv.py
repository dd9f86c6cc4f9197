"""ConAdv: adversarial inputs from weights of a step ago, beside the inputs themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nas.optimizers.around import Around
from nas.optimizers.rule import Closure, asked, dense, evaluated
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
        clean = {p: p.grad.clone() for p in dense(every) if p.grad is not None}
        with self._stale(every), torch.enable_grad():
            uphill = asked(closure, inputs=True)
        with torch.enable_grad():
            asked(closure, moved=self._epsilon * uphill.sign())
        for weight in dense(every):
            clean[weight] = weight.grad.add_(clean.get(weight, 0.0))  # type: ignore[union-attr]
        for weight, both in clean.items():
            weight.grad = both.mul_(0.5)
        self._remember(every)
        self.base.step()
        self.taken += 1
        return loss

    @contextmanager
    def _stale(self, weights: list[Tensor]) -> Iterator[None]:
        """Weights are those of `tau` steps ago, and put back whatever happens."""
        place = self.taken % self._tau
        kept = [self.state[w].get("stale") for w in weights]
        pairs = [(w, k[place]) for w, k in zip(weights, kept, strict=True) if k is not None]
        if not pairs:  # the first step: they are the same
            yield
            return
        now, then = [w for w, _ in pairs], [k for _, k in pairs]
        before = [w.clone() for w in now]
        torch._foreach_copy_(now, then)
        try:
            yield
        finally:
            torch._foreach_copy_(now, before)

    def _remember(self, weights: list[Tensor]) -> None:
        """These weights, in the place of those that have just been used."""
        place = self.taken % self._tau
        for weight in weights:
            if "stale" not in self.state[weight]:
                copies = [weight.clone() for _ in range(self._tau)]
                self.state[weight]["stale"] = copies
            else:
                self.state[weight]["stale"][place].copy_(weight)


def conadv(optimizer: torch.optim.Optimizer, settings: ConAdvSettings) -> torch.optim.Optimizer:
    """The factory."""
    return ConAdv(optimizer, settings.epsilon, settings.tau)
