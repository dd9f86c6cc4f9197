"""Losses of generators and discriminators, and the penalty of a discriminator's gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "gradient_penalty",
    "hinge_discriminator",
    "hinge_generator",
    "relativistic_discriminator",
    "relativistic_generator",
]


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Softplus of how much more real the i-th generated image looks than the i-th real one."""
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor | None, fake: Tensor) -> Tensor:
    """The same the other way round."""
    assert real is not None
    return F.softplus(real - fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """How far scores of real images are below 1 and those of generated ones above -1."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(real: Tensor | None, fake: Tensor) -> Tensor:
    """Minus the score of generated images."""
    return -fake.mean()


def gradient_penalty(score: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of images, and the squared length of their gradient (Mescheder et al., ICML 2018).

    Of real images it is R1, of generated ones R2.

    Args:
        score: Maps images to scores (n,).
        images: (n, channels, height, width).

    Returns:
        The scores (n,), and the mean squared length, both to be differentiated further.
    """
    with torch.enable_grad():  # optimizers that look at losses alone have them off
        images = images.detach().requires_grad_()
        scores = score(images)
        (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return scores, slope.square().sum((1, 2, 3)).mean()
