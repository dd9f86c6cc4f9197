"""Figures of a trained network beside its error: the sharpness of its minimum, its features."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from nas.measure.counts import evaluating
from nas.measure.curvature import dominant_eigenvalue
from nas.measure.figures import Subject
from nas.training.augment import Augmentation, Pipeline
from nas.training.data.dataset import Split
from nas.training.device import full_precision
from nas.training.randomness import generator
from predictors.proxies import measure

SHARPNESS_IMAGES: Final = 512
ITERATIONS: Final = 40
TOLERANCE: Final = 1e-3
FEATURE_IMAGES: Final = 1024

__all__ = ["rankme", "sharpness", "some_images"]


def sharpness(subject: Subject) -> float:
    """Largest eigenvalue of the Hessian of the training loss in the weights.

    In evaluation mode, of at most 512 training images, the same for every network; by power
    iteration. NaN for a loss without curvature.
    """
    images, labels = some_images(subject, subject.data.train, SHARPNESS_IMAGES)
    network = subject.network
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    with evaluating(network), full_precision(), torch.enable_grad():
        loss = nn.functional.cross_entropy(network(images), labels)
        value = dominant_eigenvalue(
            loss,
            weights,
            generator(0, "sharpness"),
            iterations=ITERATIONS,
            tolerance=TOLERANCE,
        )
    return value if value > 0 else math.nan


def rankme(subject: Subject) -> float:
    """Effective rank of what the classifier reads; the larger the better, no label is looked at.

    Garrido et al., ICML 2023: the exponential of the entropy of the singular values, of at most
    1,024 validation images (training ones where there are none). Wider networks have more: it
    compares networks of one width.
    """
    data = subject.data
    split = data.validation if len(data.validation) else data.train
    images, labels = some_images(subject, split, FEATURE_IMAGES)
    return measure(subject.network, images, labels, ["rankme"], 0)["rankme"]


def some_images(subject: Subject, split: Split, count: int) -> tuple[Tensor, Tensor]:
    """At most so many images of a split as networks see them, always the same; and labels."""
    data, device = subject.data, torch.device(subject.device)
    chosen = torch.randperm(len(split), generator=generator(0, "measures"))[:count]
    some = split.select(chosen)
    pipeline = Pipeline(data.mean, data.std, Augmentation(), device)
    return pipeline.plain(some.images.to(device)), some.labels.to(device)
