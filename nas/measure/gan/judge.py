"""All figures of a generator's images against real ones, by one extractor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nas.core.errors import DataError
from nas.measure.gan.estimate import Estimate
from nas.measure.gan.extractors import FeatureExtractor
from nas.measure.gan.features import features_of, logits_of
from nas.measure.gan.frechet import Moments, frechet_distance
from nas.measure.gan.inception_score import SPLITS, inception_score
from nas.measure.gan.infinite import LEAST_RATIO, frechet_estimates
from nas.measure.gan.kernel import SUBSET_SIZE, SUBSETS, kid
from nas.training.data.dataset import DataSet, Split

__all__ = ["LEAST_IMAGES", "Judge"]

Array = NDArray[np.float64]

WIDE: Final = 128
"""Features of more dimensions have no intervals unless asked for: a resample costs seconds."""
RESAMPLES: Final = 100
LEAST_IMAGES: Final = 4
"""Real images, of which two halves have a covariance and pairs."""
KEPT: Final = 8
_CACHE: Final[dict[tuple[str, str, str, int], Array]] = {}


class Judge:
    """Figures against one split of real images.

    Args:
        extractor: On its device.
        data: Whose images these are.
        split: "validation" for what a search sees, "test" for the final report.
        device: Where the extractor is.
        resamples: Of the bootstrap; None for 100, or none where features are many.

    Raises:
        DataError: There are fewer than 4 such images, or their features are not finite.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        data: DataSet,
        split: str,
        device: str,
        resamples: int | None = None,
    ) -> None:
        self._extractor, self._device = extractor, device
        images = data.test_split() if split == "test" else data.validation
        self._reference = _reference(extractor, data, split, images, device)
        self._moments = Moments.of(self._reference)
        default = RESAMPLES if extractor.dim <= WIDE else 0
        self._resamples = default if resamples is None else resamples

    def distance(self, images: Tensor) -> float:
        """The Frechet distance of uint8 images alone: quick, for looks in between."""
        return frechet_distance(self._moments, self._features(images))

    def estimate(self, images: Tensor, groups: int) -> Estimate:
        """The Frechet distance of uint8 images, with its standard error by a jackknife.

        Groups of images are left out in turn: it is the chance of which images were drawn.

        Args:
            images: (n, channels, height, width), in a random order.
            groups: How many, at most n / 2.

        Returns:
            The distance; infinite, and its error with it, if a feature is not finite.
        """
        features = self._features(images)
        value = frechet_distance(self._moments, features)
        if not math.isfinite(value):
            return Estimate(math.inf, math.inf, math.inf, math.inf)
        parts = [Moments.of(part) for part in np.array_split(features, groups)]
        without = [
            frechet_distance(self._moments, reduce(Moments.__add__, parts[:i] + parts[i + 1 :]))
            for i in range(groups)
        ]
        spread = float(np.square(np.array(without) - np.mean(without)).sum())
        return Estimate.normal(value, math.sqrt((groups - 1) / groups * spread))

    def figures(self, images: Tensor) -> dict[str, float]:
        """All figures of uint8 images (n, channels, height, width), at least 20 of them.

        `fd_NAME`, `kid_NAME`, of a classifier `is_NAME`, and where there are at least four times as
        many images of both kinds as the features have dimensions `fd_inf_NAME`; each with its
        standard error as `..._se` where it has one.
        """
        name, features = self._extractor.name, self._features(images)
        found: dict[str, Estimate] = {}
        least = min(len(features), len(self._reference))
        if least >= 2 * LEAST_RATIO * self._extractor.dim:
            plain, endless = frechet_estimates(self._reference, features, resamples=self._resamples)
            found |= {"fd": plain, "fd_inf": endless}
        else:
            found["fd"] = Estimate.bare(frechet_distance(self._moments, features))
        size = min(SUBSET_SIZE, least // 2)
        found["kid"] = kid(self._reference, features, subsets=SUBSETS, size=size)
        logits = logits_of(self._extractor, images, self._device)
        if logits is not None:
            found["is"] = inception_score(logits, min(SPLITS, len(logits) // 2))
        return dict(_named(name, found))

    def _features(self, images: Tensor) -> Array:
        return features_of(self._extractor, images, self._device)


def _named(name: str, found: Mapping[str, Estimate]) -> Iterator[tuple[str, float]]:
    for figure, estimate in found.items():
        yield f"{figure}_{name}", estimate.value
        if math.isfinite(estimate.error):
            yield f"{figure}_{name}_se", estimate.error


def _reference(
    extractor: FeatureExtractor, data: DataSet, split: str, images: Split, device: str
) -> Array:
    """Features of real images, worked out once for each extractor and data."""
    if len(images) < LEAST_IMAGES:
        raise DataError(
            f"{data.name} has {len(images)} {split} images to compare with", "leave some more"
        )
    key = (extractor.identity, data.fingerprint, split, len(images))
    if key not in _CACHE:
        features = features_of(extractor, images.images, device)
        if not np.isfinite(features).all():
            raise DataError(
                f"extractor {extractor.name!r} gives no finite features of {data.name}",
                "use another extractor",
            )
        while len(_CACHE) >= KEPT:
            del _CACHE[next(iter(_CACHE))]
        _CACHE[key] = features
    return _CACHE[key]
