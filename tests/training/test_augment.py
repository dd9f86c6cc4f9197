"""Augmentations against slow references, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.training.augment import Augmentation, Pipeline, cutout, mixup, shift_and_flip


def pictures(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    size = count * channels * height * width
    distinct = torch.arange(size, dtype=torch.float64).remainder(251).to(torch.uint8) + 1
    return distinct.view(count, channels, height, width)


def candidates(image: np.ndarray, padding: int, flip: bool) -> list[np.ndarray]:
    """Everything that may become of an image, one loop after the other."""
    _, height, width = image.shape
    found = []
    for mirrored in (False, True) if flip else (False,):
        for top in range(-padding, padding + 1):
            for left in range(-padding, padding + 1):
                result = np.zeros_like(image)
                for y in range(height):
                    for x in range(width):
                        source = (width - 1 - x if mirrored else x) + left
                        if 0 <= y + top < height and 0 <= source < width:
                            result[:, y, x] = image[:, y + top, source]
                found.append(result)
    return found


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(3, 6), st.integers(3, 6), st.integers(0, 2), st.booleans())
def test_shift_and_flip_is_one_of_the_possible_results(
    channels: int, height: int, width: int, padding: int, flip: bool
) -> None:
    images = pictures(6, channels, height, width)
    chance = torch.Generator().manual_seed(channels + height)
    results = shift_and_flip(images, padding, flip, chance)
    assert results.dtype == images.dtype
    for image, result in zip(images.numpy(), results.numpy(), strict=True):
        assert any(np.array_equal(result, c) for c in candidates(image, padding, flip))


def test_every_shift_and_both_sides_come_up_equally() -> None:
    image = pictures(1, 1, 5, 5)
    results = shift_and_flip(image.expand(18_000, -1, -1, -1), 1, True, torch.Generator())
    seen, counts = np.unique(results.numpy().reshape(18_000, -1), axis=0, return_counts=True)
    possible = {c.tobytes() for c in candidates(image[0].numpy(), 1, True)}
    assert {row.tobytes() for row in seen} == possible
    assert len(possible) == 18
    assert counts.min() > 850
    assert counts.max() < 1150


def test_cutout_erases_a_square_around_any_pixel() -> None:
    size, side, count = 4, 7, 4900
    images = cutout(torch.ones(count, 2, side, side), size, torch.Generator().manual_seed(0))
    assert torch.equal(images[:, 0], images[:, 1])
    possible = {}
    for y in range(side):
        for x in range(side):
            reference = np.ones((side, side), np.float32)
            reference[max(0, y - 2) : y + 2, max(0, x - 2) : x + 2] = 0
            possible[reference.tobytes()] = (y, x)
    seen = [possible[image.numpy().tobytes()] for image in images[:, 0]]
    assert len(set(seen)) == side * side
    _, counts = np.unique(seen, axis=0, return_counts=True)
    assert counts.min() > 55


@pytest.mark.parametrize("channels_last", [True, False])
def test_normalisation(channels_last: bool) -> None:
    images = pictures(4, 3, 5, 6)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    pipeline = Pipeline(mean, std, Augmentation(), channels_last=channels_last)
    inputs = pipeline.plain(images)
    assert inputs.is_contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )
    for channel in range(3):
        wanted = (images[:, channel].double() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(inputs[:, channel].double(), wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal(pipeline.train(images, torch.Generator()), inputs)
    assert images.dtype == torch.uint8


def test_all_together_and_only_by_the_generator() -> None:
    images = pictures(8, 3, 8, 8)
    pipeline = Pipeline((0.5,) * 3, (0.25,) * 3, Augmentation(True, 2, 3))
    torch.manual_seed(1)
    first = pipeline.train(images, torch.Generator().manual_seed(5))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = pipeline.train(images, torch.Generator().manual_seed(5))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, pipeline.train(images, torch.Generator().manual_seed(6)))
    erased = (first == 0).all(1).flatten(1).sum(1)  # black pixels are -2, the mean is 0
    assert (erased >= 4).all()
    assert (erased <= 9).all()


def test_mixup_blends_with_another_of_the_batch() -> None:
    images, labels = torch.randn(6, 1, 2, 2), torch.arange(6)
    blends, others = mixup(images, labels, 0.7, torch.Generator().manual_seed(0))
    assert sorted(others.tolist()) == list(range(6))
    for index, other in enumerate(others.tolist()):
        torch.testing.assert_close(blends[index], 0.7 * images[index] + 0.3 * images[other])
    assert torch.equal(mixup(images, labels, 1.0, torch.Generator())[0], images)
