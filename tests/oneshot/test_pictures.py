"""Augmentation of the supernet's training: as that of what is found, unless told otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.core.config import RunConfig
from nas.core.protocols import Context
from nas.oneshot.session import SupernetSession, as_trained, open_supernet
from nas.strategies.darts import PictureSettings
from nas.training import TrainingRecipe


def opened(folder: Path, shape: tuple[int, ...], **recipe: bool | int) -> SupernetSession:
    """A supernet of the smallest kind on pictures (height, width[, 3])."""
    rng = np.random.default_rng(0)
    file = folder / "pictures.npz"
    x = rng.integers(0, 256, (40, *shape), dtype=np.uint8)
    np.savez(file, x=x, y=np.arange(40) % 2)
    config = RunConfig(
        space="nasbench201",
        strategy="darts",
        data=f"npz:{file}",
        network={"channels": 2, "layers": 1},
        recipe=recipe,
    )
    return open_supernet(config.model_dump(mode="json"), Context())


@pytest.mark.parametrize(
    ("shape", "flip", "shift"),
    [((32, 32, 3), True, 4), ((64, 64, 3), True, 8), ((8, 8), False, 0), ((28, 28), False, 1)],
)
def test_the_default_suits_the_pictures(
    tmp_path: Path, shape: tuple[int, ...], flip: bool, shift: int
) -> None:
    """On colour pictures of 32 pixels it is the paper's."""
    chosen = opened(tmp_path, shape).training.settings.pictures
    assert (chosen.flip, chosen.crop_padding) == (flip, shift)


def test_a_recipe_that_does_not_mirror_holds_for_the_supernet(tmp_path: Path) -> None:
    chosen = opened(tmp_path, (32, 32, 3), flip=False).training.settings.pictures
    assert (chosen.flip, chosen.crop_padding) == (False, 4)


def test_what_is_said_is_done() -> None:
    said = PictureSettings(flip=True, crop_padding=0, cutout=3)
    assert as_trained(said, TrainingRecipe(crop_padding=2)) == said
