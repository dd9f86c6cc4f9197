"""How sure a classifier is of generated images, and of how many classes (IS)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from nas.core.errors import ConfigError
from nas.measure.gan.estimate import Estimate
from nas.measure.gan.frechet import as_features

__all__ = ["inception_score"]

SPLITS: Final = 10


def inception_score(logits: ArrayLike, splits: int = SPLITS) -> Estimate:
    """Exponential of the mean divergence of an image's classes from those of all images.

    Salimans et al., NeurIPS 2016: from 1 to the number of classes. The logits must be those of a
    classifier trained without label smoothing: with it, real images score far below their classes.

    Args:
        logits: (n, classes), in a random order: split i is the i-th of so many equal pieces.
        splits: Pieces whose scores are averaged.

    Returns:
        The mean; 1 is the worst there is, but a logit that is not finite makes it minus infinite.
        The standard error is of the mean over splits: how far another training would be from this
        one it does not say.

    Raises:
        ConfigError: There are fewer logits than splits, or one split only.
    """
    values = as_features(logits)
    if not 2 <= splits <= len(values):
        raise ConfigError(f"{splits} splits of {len(values)} logits", f"choose 2 to {len(values)}")
    if not np.isfinite(values).all():
        return Estimate(-math.inf, math.inf, -math.inf, -math.inf)
    shifted = values - values.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    scores = []
    for number in range(splits):
        part = logs[number * len(logs) // splits : (number + 1) * len(logs) // splits]
        shares = np.exp(part)
        marginal = shares.mean(0)
        known = np.log(marginal, out=np.zeros_like(marginal), where=marginal > 0)
        scores.append(math.exp(float((shares * (part - known)).sum(1).mean())))
    error = float(np.std(scores, ddof=1)) / math.sqrt(splits)
    return Estimate.normal(float(np.mean(scores)), error)
