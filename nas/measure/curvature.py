"""Dominant eigenvalue of a loss's Hessian.

In the weights it is how sharp a minimum is. In the architecture parameters of a supernet, of the
validation loss, its growth announces collapse to parameter-free cells (RobustDARTS, Zela et al.,
ICLR 2020, section 4). They form the whole Hessian; power iteration needs a few products with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def dominant_eigenvalue(
    loss: Tensor,
    parameters: Sequence[Tensor],
    generator: torch.Generator,
    *,
    iterations: int = 20,
    tolerance: float = 1e-2,
) -> float:
    """Eigenvalue of largest magnitude of d2 loss / d parameters2, by power iteration.

    Args:
        loss: Scalar with a graph that can be differentiated twice.
        parameters: What to differentiate in.
        generator: Of the random start, on the CPU.
        iterations: At most so many Hessian-vector products.
        tolerance: Relative change of the estimate below which iteration ends.

    Returns:
        The Rayleigh quotient of the last vector; 0 for a loss that is linear in the parameters.
    """
    slope = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    pairs = [(p, g) for p, g in zip(parameters, slope, strict=True) if g is not None]
    pairs = [(p, g) for p, g in pairs if g.requires_grad]
    if not pairs:
        return 0.0
    flat = torch.cat([g.reshape(-1) for _, g in pairs])
    inputs = [p for p, _ in pairs]
    vector = torch.randn(flat.numel(), generator=generator, dtype=torch.float32).to(flat)
    vector /= vector.norm()
    estimate = 0.0
    for _ in range(iterations):
        found = torch.autograd.grad(flat @ vector, inputs, retain_graph=True, allow_unused=True)
        image = torch.cat(
            [
                (torch.zeros_like(p) if h is None else h).reshape(-1)
                for p, h in zip(inputs, found, strict=True)
            ]
        )
        previous, estimate = estimate, float(vector @ image)
        norm = float(image.norm())
        if norm == 0:
            return 0.0
        vector = image / norm
        if abs(estimate - previous) <= tolerance * abs(estimate):
            break
    return estimate
