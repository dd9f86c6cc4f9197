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
from nas.optimizers.rule import Closure, Counting, Rule, asked, chance, listed, synchronous
from nas.optimizers.settings import SophiaGSettings, SophiaHSettings, SophiaSettings
from nas.optimizers.stacks import aligned

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
            self._keep(*self._curvature(closure, weights))
        loss = super().step(closure)
        self.taken += 1
        return loss

    def _keep(self, weights: list[Tensor], curvatures: list[Tensor]) -> None:
        """The mean of estimates so far, and these."""
        beta2 = self.param_groups[0]["betas"][1]
        kept = self._kept(weights, "curvature")
        if weights and not synchronous(weights[0]):
            torch._foreach_mul_(kept, beta2)
            torch._foreach_add_(kept, aligned(curvatures, weights), alpha=1 - beta2)
            return
        for mean, curvature in zip(kept, curvatures, strict=True):
            mean.mul_(beta2).add_(curvature, alpha=1 - beta2)

    @abstractmethod
    def _curvature(
        self, closure: Closure | None, weights: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Those of the weights that have an estimate of the diagonal, and these."""


class SophiaG(Sophia):
    """With the Gauss-Newton-Bartlett estimate; 1 + 1/k gradients a step."""

    def _curvature(
        self, closure: Closure | None, weights: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        with torch.enable_grad():
            asked(closure, drawn=True)
        examples = getattr(closure, "examples", None)
        if examples is None:
            raise ConfigError("the closure does not say its number of examples", "set .examples")
        curved = [w for w in weights if w.grad is not None]
        if not curved:
            return [], []
        gradients = [w.grad for w in curved if w.grad is not None]
        squares = torch._foreach_mul(gradients, examples)
        torch._foreach_mul_(squares, gradients)
        return curved, list(squares)

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        beta1 = group["betas"][0]
        means, curvatures = self._kept(weights, "mean"), self._kept(weights, "curvature")
        if not synchronous(weights[0]):
            torch._foreach_lerp_(means, gradients, 1 - beta1)
            floors = torch._foreach_mul(curvatures, group["rho"])
            torch._foreach_add_(floors, TINY)
            sizes = torch._foreach_abs(means)
            torch._foreach_div_(sizes, floors)
            torch._foreach_clamp_max_(sizes, 1)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            signs = torch._foreach_sign(means)
            torch._foreach_addcmul_(weights, signs, sizes, -group["lr"])
            return
        for w, g, m, h in zip(weights, gradients, means, curvatures, strict=True):
            m.lerp_(g, 1 - beta1)
            size = (m.abs() / (group["rho"] * h + TINY)).clamp_(max=1)
            w.mul_(1 - group["lr"] * group["weight_decay"])
            w.addcmul_(m.sign(), size, value=-group["lr"])


class SophiaH(Sophia):
    """With Hutchinson's estimate; 1 + 2/k gradients a step, and memory for a second derivative."""

    def _curvature(
        self, closure: Closure | None, weights: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        with torch.enable_grad():
            loss = asked(closure, backward=False)
            first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
            used = [i for i, g in enumerate(first) if g is not None and g.requires_grad]
            probes = self._probes([weights[i] for i in used])
            along = [first[i] for i in used]
            products = torch.autograd.grad(
                along, [weights[i] for i in used], probes, allow_unused=True
            )
        found = [
            (weights[i], probe, product.detach())
            for i, probe, product in zip(used, probes, products, strict=True)
            if product is not None
        ]
        if not found:
            return [], []
        estimates = torch._foreach_mul([probe for _, probe, _ in found], [p for _, _, p in found])
        return [weight for weight, _, _ in found], list(estimates)

    def _probes(self, weights: list[Tensor]) -> list[Tensor]:
        """Ones and minus ones like each weight."""
        generator = chance(self.taken)
        found = []
        for weight in weights:
            place = weight.device
            bits = torch.randint(0, 2, weight.shape, generator=generator(place), device=place)
            found.append(bits.to(weight.dtype))
        if found:
            torch._foreach_mul_(found, 2)
            torch._foreach_sub_(found, 1)
        return found

    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        beta1, clip = group["betas"][0], group["clip"]
        means, curvatures = self._kept(weights, "mean"), self._kept(weights, "curvature")
        if not synchronous(weights[0]):
            torch._foreach_lerp_(means, gradients, 1 - beta1)
            updates = torch._foreach_div(means, torch._foreach_clamp_min(curvatures, group["eps"]))
            torch._foreach_clamp_min_(updates, -clip)
            torch._foreach_clamp_max_(updates, clip)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, updates, alpha=-group["lr"])
            return
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
