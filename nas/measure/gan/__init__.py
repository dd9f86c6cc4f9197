"""Figures of generated images, worked out from arrays of features; nothing here imports torch.

`frechet_distance` (FD), `frechet_estimates` (FD with its interval, and extrapolated to infinitely
many samples), `kid` and `inception_score`, stateless and in float64. What makes features of images
is an extractor (`nas.measure.gan.extractors`); of another extractor than Inception no figure is
called FID: it is `fd_` and the extractor's name.
"""

from nas.measure.gan.estimate import Estimate
from nas.measure.gan.frechet import Moments, frechet_distance
from nas.measure.gan.inception_score import inception_score
from nas.measure.gan.infinite import frechet_estimates
from nas.measure.gan.kernel import kid, mmd2

__all__ = [
    "Estimate",
    "Moments",
    "frechet_distance",
    "frechet_estimates",
    "inception_score",
    "kid",
    "mmd2",
]
