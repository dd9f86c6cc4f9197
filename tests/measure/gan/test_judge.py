"""Judges: distances with their errors, and what is no distance."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.measure.gan.estimate import Estimate
from nas.measure.gan.features import ModuleExtractor
from nas.measure.gan.judge import Judge
from nas.training import load_data


class Halves(nn.Module):
    """Means of eight parts; of an image that is all white, whatever it is told to give."""

    def __init__(self, white: float = 1.0) -> None:
        super().__init__()
        self.white = white

    def forward(self, images: Tensor) -> Tensor:
        found = nn.functional.avg_pool2d(images, (4, 2)).flatten(1)
        return torch.where(found.amin(1, keepdim=True) == 1, self.white, found)


def judge(white: float = 1.0) -> Judge:
    extractor = ModuleExtractor(f"halves{white:g}".replace("-", ""), Halves(white), 8)
    return Judge(extractor, load_data("digits"), "validation", "cpu", resamples=0)


@pytest.mark.parametrize("white", [math.inf, -math.inf, math.nan])
def test_what_is_infinitely_far_has_no_finite_error_and_no_warning(white: float) -> None:
    images = load_data("digits").train.images[:100].clone()
    images[17] = 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = judge(white).estimate(images, 10)
        assert judge(white).distance(images) == math.inf
    assert found == Estimate(math.inf, math.inf, math.inf, math.inf)


def test_the_error_of_a_distance_is_how_far_other_images_lie() -> None:
    images, rng = load_data("digits").train.images, np.random.default_rng(0)
    noisy = (images.float() + 40 * torch.randn(images.shape)).clamp(0, 255).to(torch.uint8)
    found = [judge().estimate(noisy[rng.choice(len(noisy), 200)], 10) for _ in range(100)]
    spread = np.std([one.value for one in found], ddof=1)
    assert 0.8 < np.mean([one.error for one in found]) / spread < 1.25
