"""Extractors: what they are called, what they see, and that equal ones are one."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.core.errors import ConfigError, DataError, PluginError
from nas.measure.gan import frechet_distance, frechet_estimates
from nas.measure.gan.classifier import extractor_split, gan_split, spoilt, trained_classifier
from nas.measure.gan.extractors import EXTRACTORS, built, described, figures_of, name_of
from nas.measure.gan.features import ModuleExtractor, features_of, logits_of, prepared
from nas.measure.gan.judge import Judge
from nas.training import load_data
from nas.training.data.dataset import DataSet


@cache
def data() -> DataSet:
    return load_data("digits")


@cache
def extractor() -> Any:
    return built("classifier", data(), 0, "cpu")


def pixels(data: DataSet, seed: int, device: str) -> ModuleExtractor:
    """Somebody's own: means of quarters of an image scaled to 16x16, and a second channel."""
    torch.manual_seed(seed)
    return ModuleExtractor(
        "pixels", nn.AvgPool2d(8), 3, input_size=(16, 16), input_range=(-1, 1), channels=3
    )


def liar(data: DataSet, seed: int, device: str) -> ModuleExtractor:
    return ModuleExtractor("truth", nn.Identity(), 1)


def nothing(data: DataSet, seed: int, device: str) -> str:
    return "nothing"


HERE = __name__


def test_figures_can_be_named_before_anything_is_imported() -> None:
    code = (
        "import sys; from nas.measure.gan.extractors import figures_of, name_of; "
        "assert name_of('classifier') == 'classifier'; assert name_of('a.b:dino') == 'dino'; "
        "assert 'fd_inf_dino_se' in figures_of('dino'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrong_extractors_are_refused() -> None:
    with pytest.raises(PluginError, match="unknown extractor 'clasifier'; did you mean classifier"):
        name_of("clasifier")
    with pytest.raises(PluginError, match="has the name of another one"):
        name_of("somewhere:classifier")
    with pytest.raises(PluginError, match="cannot be called so"):
        name_of("somewhere:a-b")
    with pytest.raises(PluginError, match="cannot be loaded"):
        built(f"{HERE}:absent", data(), 0, "cpu")
    with pytest.raises(PluginError, match="gave str"):
        built(f"{HERE}:nothing", data(), 0, "cpu")
    with pytest.raises(PluginError, match="says that it is 'truth'"):
        built(f"{HERE}:liar", data(), 0, "cpu")


def test_the_classifier_is_decided_by_data_and_seed_and_says_how_good_it_is() -> None:
    again = trained_classifier(data(), 0, "cpu")
    assert again is not extractor()
    assert again.identity == extractor().identity
    assert built("classifier", data(), 0, "cpu") is extractor()
    facts = described(extractor())
    assert facts["accuracy"] >= 0.94
    assert facts["identity"] == extractor().identity
    assert (facts["name"], facts["dim"], facts["trained_on"]) == ("classifier", 32, 345)
    logits = logits_of(extractor(), data().validation.images, "cpu")
    assert logits is not None
    right = (logits.argmax(1) == data().validation.labels.numpy()).mean()
    assert right == pytest.approx(facts["accuracy"])


def test_its_features_are_standardised_on_what_it_saw() -> None:
    seen = features_of(extractor(), extractor_split(data(), 0).images, "cpu")
    assert np.abs(seen.mean(0)).max() < 1e-6
    assert np.abs(seen.std(0, ddof=1) - 1).max() < 1e-6


def test_extractor_and_gan_share_no_image() -> None:
    mine, theirs = extractor_split(data(), 3), gan_split(data(), 3)
    assert len(mine) + len(theirs) == len(data().train)
    both = torch.cat([mine.images, theirs.images]).flatten(1)
    wanted = data().train.images.flatten(1)
    assert sorted(map(bytes, both.numpy())) == sorted(map(bytes, wanted.numpy()))
    assert set(mine.labels.tolist()) == set(range(10))


def features(images: Tensor) -> Any:
    return features_of(extractor(), images, "cpu")


def test_it_sees_missing_classes_and_noise_and_the_more_the_further() -> None:
    """What section 3.3 of the field's pitfalls asks of an extractor."""
    reference, real = features(data().validation.images), gan_split(data(), 0)
    test = frechet_distance(reference, features(data().test_split().images))
    missing = [
        frechet_distance(reference, features(real.images[real.labels >= first]))
        for first in (0, 1, 3, 5, 8)
    ]
    chance = torch.Generator().manual_seed(0)
    noise = torch.randn(real.images.shape, generator=chance)
    noisy = [
        frechet_distance(
            reference,
            features((real.images + share * 127.5 * noise).round().clamp(0, 255).to(torch.uint8)),
        )
        for share in (0.1, 0.2, 0.4, 0.8)
    ]
    uniform = torch.randint(0, 256, (1000, 1, 8, 8), generator=chance, dtype=torch.uint8)
    assert test < 0.5
    assert missing == sorted(missing)
    assert noisy == sorted(noisy)
    assert missing[1] > 4 * test
    assert missing[4] > 15
    assert frechet_distance(reference, features(uniform)) > noisy[-1] > missing[4]


def test_it_sees_structure_that_pixels_have_together() -> None:
    """Exchanged pixels keep what each has alone, normal images what each two have together."""
    reference, real = features(data().validation.images), gan_split(data(), 0)
    chance = torch.Generator().manual_seed(0)
    flat = real.images.flatten(1)
    exchanged = flat.gather(0, torch.rand(flat.shape, generator=chance).argsort(0))
    pixels = flat.double()
    draws = torch.randn(pixels.shape, generator=chance, dtype=torch.float64)
    covariance = torch.cov(pixels.T) + torch.eye(64, dtype=torch.float64)
    normal = pixels.mean(0) + draws @ torch.linalg.cholesky(covariance).T
    few = frechet_distance(reference, features(real.images[real.labels >= 8]))
    for made in (exchanged, normal.round().clamp(0, 255).to(torch.uint8)):
        assert frechet_distance(reference, features(made.view_as(real.images))) > 1.2 * few


def test_what_is_no_image_is_a_blend_of_three_kinds() -> None:
    chance = torch.Generator().manual_seed(0)
    images = torch.full((300, 2, 4, 4), -1.0)
    images[:, 0], images[:, 1, :2] = 1.0, 0.5
    images += 0.001 * torch.arange(300)[:, None, None, None]
    made = spoilt(images, chance)
    assert made.shape == images.shape
    assert float(made.min()) >= -1
    # Whose pixels are all of their own places, in another order, or neither.
    base = images[0]
    same = ((made - base).abs() < 0.301).flatten(1).all(1)
    own = (made.flatten(1).mean(1) - images.flatten(1).mean(1)).abs() < 1e-5
    kinds = [int((same & ~own).sum()), int((own & ~same).sum()), int((~own & ~same).sum())]
    assert sum(kinds) == 300
    assert min(kinds) > 70
    assert torch.equal(spoilt(images, torch.Generator().manual_seed(0)), made)


def test_of_real_halves_the_endless_distance_is_zero() -> None:
    reference = features(data().validation.images)
    for other in (gan_split(data(), 0), data().test_split()):
        _, found = frechet_estimates(reference, features(other.images))
        assert abs(found.value) < 2 * found.error


def test_batches_change_nothing_that_matters() -> None:
    images = data().validation.images
    parts = np.concatenate([features(part) for part in torch.split(images, 37)])
    assert np.abs(parts - features(images)).max() < 1e-4


def test_somebodys_own_takes_images_as_it_says() -> None:
    own = built(f"{HERE}:pixels", data(), 0, "cpu")
    images = data().validation.images[:5]
    made = prepared(own, images)
    assert made.shape == (5, 3, 16, 16)
    assert float(made.min()) == -1
    scaled = F.interpolate(images.float(), size=(16, 16), mode="bicubic", antialias=True)
    wanted = scaled[:, 0].round().clamp(0, 255) / 127.5 - 1
    assert torch.allclose(made[:, 0], wanted, atol=1e-6)
    found = features_of(own, images, "cpu")
    assert found.shape == (5, 3)
    assert np.allclose(found[:, 0], made[:, 0].mean((1, 2)))
    assert logits_of(own, images, "cpu") is None
    with pytest.raises(ConfigError, match="takes 3 channels, not 2"):
        prepared(own, images.expand(-1, 2, -1, -1))


def test_scaling_down_is_that_of_pillow() -> None:
    from PIL import Image

    chance = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 1, 32, 32), generator=chance, dtype=torch.uint8)
    half = ModuleExtractor("half", nn.Flatten(), 64, input_size=(8, 8), input_range=(0, 255))
    found = prepared(half, images)
    for image, mine in zip(images, found, strict=True):
        wanted = Image.fromarray(image[0].numpy()).resize((8, 8), Image.Resampling.BICUBIC)
        assert (
            float((mine[0] - torch.from_numpy(np.array(wanted).astype(np.float32))).abs().max())
            <= 1
        )


def test_the_identity_is_that_of_the_weights_and_of_what_they_are_for() -> None:
    torch.manual_seed(0)
    module = nn.Linear(4, 2)
    one = ModuleExtractor("x", module, 2).identity
    assert ModuleExtractor("x", module, 2).identity == one
    assert ModuleExtractor("x", module, 2, input_range=(-1, 1)).identity != one
    with torch.no_grad():
        module.weight[0, 0] += 1e-6
    assert ModuleExtractor("x", module, 2).identity != one


def test_a_judge_gives_all_figures_with_their_errors() -> None:
    judge = Judge(extractor(), data(), "validation", "cpu", resamples=20)
    images = data().test_split().images
    found = judge.figures(images)
    assert set(found) == set(figures_of("classifier"))
    assert found["fd_classifier"] == pytest.approx(judge.distance(images), abs=1e-9)
    assert found["is_classifier"] > 6
    assert abs(found["kid_classifier"]) < 5 * found["kid_classifier_se"]
    bare = Judge(extractor(), data(), "test", "cpu", resamples=0).figures(images)
    assert abs(bare["fd_classifier"]) < 1e-5
    assert "fd_classifier_se" not in bare
    few = judge.figures(images[:100])
    assert "fd_inf_classifier" not in few
    assert few["fd_classifier"] == pytest.approx(judge.distance(images[:100]))


class Broken:
    name, dim, input_size, input_range, identity = "broken", 2, None, (0.0, 1.0), "b"

    def features(self, images: Tensor) -> Tensor:
        return torch.full((len(images), 2), float("nan"))


def test_an_extractor_that_is_broken_on_real_images_is_no_candidates_fault() -> None:
    with pytest.raises(DataError, match="gives no finite features"):
        Judge(Broken(), data(), "validation", "cpu")
    assert "classifier" in EXTRACTORS.names()


def test_a_distance_has_the_error_that_drawing_images_gives_it() -> None:
    """The jackknife's error beside the spread of distances of images drawn independently."""
    data, count = load_data("digits"), 200
    half = ModuleExtractor("halves", nn.Sequential(nn.AvgPool2d((4, 2)), nn.Flatten()), 8)
    judge = Judge(half, data, "validation", "cpu", resamples=0)
    rng = np.random.default_rng(0)
    pool = data.train.images[torch.from_numpy(rng.permutation(len(data.train))[:400])]
    found, errors = [], []
    for _ in range(60):
        images = pool[torch.from_numpy(rng.integers(len(pool), size=count))] // 2
        estimate = judge.estimate(images, 10)
        assert estimate.value == judge.distance(images)
        found.append(estimate.value)
        errors.append(estimate.error)
    assert np.mean(errors) == pytest.approx(np.std(found, ddof=1), rel=0.35)
