"""Gradients of the architecture parameters in DARTS's bilevel problem.

    min_alpha L_val(w*(alpha), alpha)   with   w*(alpha) = argmin_w L_train(w, alpha)

DARTS (Liu et al., ICLR 2019, section 2.3) replaces w* by one optimiser step w'. Writing xi for
its learning rate, the chain rule gives

    d/dalpha L_val(w', alpha) - xi * d2/(dalpha dw) L_train(w, alpha) . d/dw' L_val(w', alpha)

First order drops the second term. The paper estimates the product in it by a central difference
in w (equation 8); on networks with kinks (ReLU, max pooling) that estimate does not converge, so
the exact product by double backward is offered too. The two are different quantities there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[], Tensor]
"""Computes a scalar loss at the parameters' present values."""

DIFFERENCE_STEP = 0.01
"""The paper's perturbation: weights move by this length in all (section 2.3, footnote 2)."""


@dataclass(frozen=True)
class WeightStep:
    """The optimiser step that leads from w to w': SGD with momentum and weight decay.

    Attributes:
        learning_rate: xi.
        momentum: Factor of the momentum buffers.
        weight_decay: Factor of the weights in the gradient.
        buffers: Momentum buffer of each weight, None where there is none yet.
    """

    learning_rate: float
    momentum: float
    weight_decay: float
    buffers: Sequence[Tensor | None]

    @classmethod
    def of(cls, optimizer: torch.optim.SGD) -> WeightStep:
        """The step that `optimizer`, with one parameter group, is about to make."""
        (group,) = optimizer.param_groups
        buffers = [optimizer.state[p].get("momentum_buffer") for p in group["params"]]
        return cls(group["lr"], group["momentum"], group["weight_decay"], buffers)

    def direction(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """What is subtracted from each weight, before the factor xi."""
        result = []
        for weight, gradient, buffer in zip(weights, gradients, self.buffers, strict=True):
            step = gradient.add(weight, alpha=self.weight_decay)
            if buffer is not None:
                step.add_(buffer, alpha=self.momentum)
            result.append(step)
        return result


def gradients(
    loss: Tensor, parameters: Sequence[Tensor], *, create_graph: bool = False
) -> list[Tensor]:
    """Gradient of `loss` in each parameter; zero where the loss does not depend on it."""
    found = torch.autograd.grad(loss, parameters, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def second_order(
    alphas: Sequence[Tensor],
    weights: Sequence[Tensor],
    losses: tuple[Objective, Objective],
    step: WeightStep,
    *,
    exact: bool = False,
) -> tuple[list[Tensor], Tensor]:
    """Gradient of L_val(w', .) in the alphas through the step to w', and that loss.

    The weights are moved in place and put back bit by bit, also when a loss raises.

    Args:
        alphas: Architecture parameters.
        weights: All other parameters, in the order of `step.buffers`.
        losses: L_train and L_val.
        step: The step from w to w'.
        exact: Use the Hessian-vector product instead of the paper's central difference.
    """
    train_loss, validation_loss = losses
    here = [weight.detach().clone() for weight in weights]
    try:
        steps = step.direction(here, gradients(train_loss(), weights))
        _move(weights, here, steps, -step.learning_rate)
        loss = validation_loss()
        found = gradients(loss, [*alphas, *weights])
        direct, vector = found[: len(alphas)], found[len(alphas) :]
        if exact:
            _move(weights, here, steps, 0.0)
            implicit = _product(alphas, weights, train_loss, vector)
        else:
            implicit = _difference(alphas, weights, train_loss, (here, vector))
    finally:
        _move(weights, here, here, 0.0)
    result = [d.sub(h, alpha=step.learning_rate) for d, h in zip(direct, implicit, strict=True)]
    return result, loss.detach()


def _product(
    alphas: Sequence[Tensor], weights: Sequence[Tensor], loss: Objective, vector: Sequence[Tensor]
) -> list[Tensor]:
    """Mixed second derivative of `loss` times `vector`, by differentiating their inner product."""
    slope = gradients(loss(), weights, create_graph=True)
    inner = torch.stack([(g * v).sum() for g, v in zip(slope, vector, strict=True)]).sum()
    return gradients(inner, alphas)


def _difference(
    alphas: Sequence[Tensor],
    weights: Sequence[Tensor],
    loss: Objective,
    line: tuple[Sequence[Tensor], Sequence[Tensor]],
    length: float = DIFFERENCE_STEP,
) -> list[Tensor]:
    """The same product as a central difference along `line` (origin, vector)."""
    origin, vector = line
    norm = torch.stack([v.square().sum() for v in vector]).sum().sqrt().item()
    if norm == 0:
        return [torch.zeros_like(alpha) for alpha in alphas]
    epsilon = length / norm
    _move(weights, origin, vector, epsilon)
    ahead = gradients(loss(), alphas)
    _move(weights, origin, vector, -epsilon)
    behind = gradients(loss(), alphas)
    return [(a - b) / (2 * epsilon) for a, b in zip(ahead, behind, strict=True)]


def _move(
    weights: Sequence[Tensor], origin: Sequence[Tensor], vector: Sequence[Tensor], by: float
) -> None:
    """Set the weights to `origin + by * vector`; exactly to `origin` for `by` zero."""
    with torch.no_grad():
        for weight, start, direction in zip(weights, origin, vector, strict=True):
            weight.copy_(start)
            if by:
                weight.add_(direction, alpha=by)
