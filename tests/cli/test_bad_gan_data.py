"""Data that no GAN can be trained on or judged by: one clear line, before anything is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from nas.core.architecture import Candidate
from nas.core.protocols import Context
from nas.core.work import Evaluate
from nas.engine.resolve import resolve
from nas.evaluators.gan import GanEvaluator
from nas.measure.gan.features import ModuleExtractor
from nas.oneshot.gan import open_gan_supernet
from nas.training.data.dataset import DataSet
from search_spaces import get_space

OWN = f"gan:{__name__}:halves"
SEARCH = ("search", "--space", "gan")
TRAIN = ("train", "gan:EAGAN")
WAYS = [
    (*SEARCH, "--dry-run"),
    (*SEARCH, "--out", "run"),
    (*SEARCH, "--strategy", "random", "--out", "run"),
    (*SEARCH, "--space", "gan-baselines", "--strategy", "random", "--dry-run"),
    (*SEARCH, "--space", "gan-discriminator", "--dry-run"),
    (*TRAIN, "--out", "run"),
]


def halves(data: DataSet, seed: int, device: str) -> ModuleExtractor:
    """Somebody's own extractor: means of eight parts."""
    return ModuleExtractor("halves", nn.Sequential(nn.AvgPool2d((4, 2)), nn.Flatten()), 8)


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory):
    """Write images of a size and number of classes; their name as --data."""

    def write(count: int, size: tuple[int, int] = (8, 8), classes: int = 2, channels: int = 1):
        path = tmp_path_factory.mktemp("data") / "images.npz"
        images = np.random.default_rng(0).integers(0, 255, (count, *size, channels), np.uint8)
        np.savez(path, x=images, y=np.arange(count) % classes)
        return f"npz:{path}"

    return write


def refused(program, tmp_path: Path, *arguments: str) -> str:
    said = program(*arguments)
    assert said.code == 2, said.err
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    return said.err


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_images_that_are_no_squares(program, tmp_path: Path, made, way) -> None:
    said = refused(program, tmp_path, *way, "--data", made(200, (8, 12)))
    assert "images.npz': no GAN of cells for images of 8x12 pixels; expected a square" in said


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_fewer_images_than_any_figure_needs(program, tmp_path: Path, made, way) -> None:
    said = refused(program, tmp_path, *way, "--data", made(14))
    assert "images.npz' has 2 validation images to judge by; 4 is the least" in said


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_one_class_is_nothing_for_the_built_in_extractor(
    program, tmp_path: Path, made, way
) -> None:
    said = refused(program, tmp_path, *way, "--data", made(200, classes=1))
    assert "the built-in extractor learns to tell classes" in said
    assert "has 1 ('0'); name an extractor of your own, evaluator gan:MODULE:FUNCTION" in said


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("evaluator_settings.look=1", "'look' is 1; expected 0 or 2 or more"),
        ("evaluator_settings.resamples=1", "'resamples' is 1; expected 0 or 2 or more"),
        ("evaluator_settings.look=-1", "'look' is -1"),
        ("recipe.augment=colour", "colour is for 3 channels, and images have 1"),
    ],
)
@pytest.mark.parametrize("way", [WAYS[0], WAYS[-1]], ids=" ".join)
def test_settings_that_would_fail_later(program, tmp_path: Path, way, setting, words) -> None:
    assert words in refused(program, tmp_path, *way, "--set", setting)


def test_the_recipe_of_full_trainings_is_checked_too(program, tmp_path: Path) -> None:
    given = ("--set", "final.recipe.augment=colour")
    assert "colour is for 3 channels" in refused(program, tmp_path, *WAYS[0], *given)


def test_none_of_either_is_allowed(program) -> None:
    given = ("--set", "evaluator_settings.look=0", "--set", "evaluator_settings.resamples=0")
    assert program(*WAYS[0], *given).code == 0


def test_one_class_is_enough_for_somebodys_own_extractor(made) -> None:
    data = made(200, classes=1)
    scale = {"generator_channels": 6, "discriminator_channels": 6, "latent": 12}
    config = resolve(
        {"space": "gan", "evaluator": OWN, "data": data, "network": scale},
        assignments=["samples=100", "evaluator_settings.samples=100", "evaluator_settings.look=0"],
    )
    again = resolve(config.model_dump(mode="json"))
    assert again.data_settings == config.data_settings == {"one_class": True}
    spec = config.model_dump(mode="json")
    session = open_gan_supernet(spec, Context(device="cpu"))
    session.call(
        "begin",
        {
            "discriminator": get_space("gan-discriminator").format(
                get_space("gan-discriminator").members["AutoGAN"]
            )
        },
        Context(),
    )
    work = Evaluate(Candidate(get_space("gan").members["smallest"]), 1, 0)
    found = GanEvaluator(spec).evaluate(work, Context(device="cpu"))
    assert np.isfinite(found.figures["fd_halves"])


def test_classes_are_no_option_of_what_has_them(made) -> None:
    config = resolve({"space": "gan", "evaluator": OWN, "data": made(200)})
    assert config.data_settings == {}
