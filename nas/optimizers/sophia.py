"""Sophia: steps of at most one size, smaller where the loss is curved.

Liu et al., "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training",
ICLR 2024, algorithm 3. Every k-th step, the first included, looks at the diagonal of the curvature:
Sophia-G by gradients to labels that are drawn from the network's own outputs (algorithm 2),
Sophia-H by the Hessian times a random vector of ones and minus ones (algorithm 1), which comes from
the number of steps taken, so that nothing but it need be kept.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from nas.core.errors import ConfigError
from nas.optimizers.rule import Closure, Counting, Rule, asked, chance, listed
from nas.optimizers.settings import SophiaGSettings, SophiaHSettings, SophiaSettings

TINY = 1e-15
"""Added to the denominator."""


class Sophia(Counting, Rule):
    """What both forms share; two copies."""

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Take a step, see `Rule.step`; a closure is needed where the curvature is looked at.

        Raises:
            ConfigError: There is no closure that can do so, or a gradient is sparse.
        """
        if self.taken % self.param_groups[0]["k"] == 0:
            weights = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
            for weight, curvature in zip(weights, self._curvature(closure, weights), strict=True):
                if curvature is not None:
                    (kept,) = self._kept([weight], "curvature")
                    beta2 = self.param_groups[0]["betas"][1]
                    kept.mul_(beta2).add_(curvature, alpha=1 - beta2)
        loss = super().step(closure)
        self.taken += 1
        return loss

    @abstractmethod
    def _curvature(self, closure: Closure | None, weights: list[Tensor]) -> list[Tensor | None]:
        """An estimate of the diagonal for each weight; None where there is none."""


class SophiaG(Sophia):
    """With the Gauss-Newton-Bartlett estimate; 1 + 1/k gradients a step."""

    def _curvature(self, closure: Closure | None, weights: list[Tensor]) -> list[Tensor | None]:
        with torch.enable_grad():
            asked(closure, drawn=True)
        examples = getattr(closure, "examples", None)
        if examples is None:
            raise ConfigError("the closure does not say its number of examples", "set .examples")
        return [None if w.grad is None else examples * w.grad * w.grad for w in weights]

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        beta1 = group["betas"][0]
        means, curvatures = self._kept(weights, "mean"), self._kept(weights, "curvature")
        for w, g, m, h in zip(weights, gradients, means, curvatures, strict=True):
            m.lerp_(g, 1 - beta1)
            size = (m.abs() / (group["rho"] * h + TINY)).clamp_(max=1)
            w.mul_(1 - group["lr"] * group["weight_decay"])
            w.addcmul_(m.sign(), size, value=-group["lr"])


class SophiaH(Sophia):
    """With Hutchinson's estimate; 1 + 2/k gradients a step, and memory for a second derivative."""

    def _curvature(self, closure: Closure | None, weights: list[Tensor]) -> list[Tensor | None]:
        with torch.enable_grad():
            loss = asked(closure, backward=False)
            first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
            used = [i for i, g in enumerate(first) if g is not None and g.requires_grad]
            probes = self._probes([weights[i] for i in used])
            along = [first[i] for i in used]
            products = torch.autograd.grad(
                along, [weights[i] for i in used], probes, allow_unused=True
            )
        found: list[Tensor | None] = [None] * len(weights)
        for i, probe, product in zip(used, probes, products, strict=True):
            found[i] = None if product is None else probe * product.detach()
        return found

    def _probes(self, weights: list[Tensor]) -> list[Tensor]:
        """Ones and minus ones like each weight."""
        generator = chance(self.taken)
        found = []
        for weight in weights:
            place = weight.device
            bits = torch.randint(0, 2, weight.shape, generator=generator(place), device=place)
            found.append(bits.to(weight.dtype) * 2 - 1)
        return found

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        beta1, clip = group["betas"][0], group["clip"]
        means, curvatures = self._kept(weights, "mean"), self._kept(weights, "curvature")
        for w, g, m, h in zip(weights, gradients, means, curvatures, strict=True):
            m.lerp_(g, 1 - beta1)
            w.mul_(1 - group["lr"] * group["weight_decay"])
            w.add_((m / h.clamp_min(group["eps"])).clamp_(-clip, clip), alpha=-group["lr"])


def sophia_g(params: Any, settings: SophiaGSettings) -> torch.optim.Optimizer:
    """The factory of Sophia-G."""
    return SophiaG(listed(params), {**_common(settings), "rho": settings.rho})


def sophia_h(params: Any, settings: SophiaHSettings) -> torch.optim.Optimizer:
    """The factory of Sophia-H."""
    own = {"clip": settings.clip, "eps": settings.epsilon}
    return SophiaH(listed(params), {**_common(settings), **own})


def _common(settings: SophiaSettings) -> dict[str, Any]:
    return {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "k": settings.k,
        "weight_decay": settings.weight_decay,
    }
