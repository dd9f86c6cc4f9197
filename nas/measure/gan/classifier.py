"""The built-in extractor: a small classifier that is trained on the data itself.

Its features are those before the last activation: after it many are always zero. Neither random
features nor pixels will do: the first hardly see noise, the second hardly see missing classes.

Besides the classes of the data it learns to tell images from what is none (`spoilt`). One that only
knows classes hardly sees structure: digits whose pixels were exchanged among images, which nobody
can read, were as near to real ones (9.6 to 12) as digits without five of ten classes (9.5 to 9.8),
and normally distributed pixels with the covariance of real ones nearer (5.7 to 7.6). With it these
have 50 to 64 and 36 to 44, and missing classes about what they had.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.core.errors import ConfigError
from nas.measure.gan.extractors import CLASSIFIER
from nas.measure.gan.features import content_of
from nas.training.data.dataset import DataSet, Split
from nas.training.randomness import generator, seeded
from nas.training.stream import Placed, Stream

__all__ = [
    "Classifier",
    "ClassifierExtractor",
    "extractor_split",
    "gan_split",
    "spoilt",
    "trained_classifier",
]

WIDTHS: Final = (32, 64, 64)
DIM: Final = 32
POOLED: Final = 2
STEPS: Final = (600, 2000)
"""Fewest and most; in between, eight passes over the images."""
PASSES: Final = 8
BATCH: Final = 64
RATE: Final = 2e-3
SHARE: Final = 0.3
"""Of the training images; the generated ones are compared by features that never saw the others."""
LEAST: Final = 1e-6
SPOILT: Final = 0.5
"""Images that are none beside each that is one, in every batch."""
FAINTEST: Final = 0.3
"""Least share of what is no image in a blend with one."""


class Classifier(nn.Module):
    """Three convolutions with batch normalisation, linear features, and classes read off them.

    The last class is that of no image.

    Without normalisation the features of digits were fewer (4.5 against 7 effective ones of 32),
    saw missing classes half as well, and told classes worse (96 against 98 %).

    Args:
        channels: Of an image.
        classes: Of the data.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.body = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.BatchNorm2d(third),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(POOLED),
            nn.Flatten(),
            nn.Linear(third * POOLED * POOLED, DIM),
        )
        self.head = nn.Linear(DIM, classes + 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes + 1) of images (n, channels, height, width) from -1 to 1."""
        logits: Tensor = self.head(F.relu(self.body(images)))
        return logits


class ClassifierExtractor:
    """The trained classifier as a `nas.measure.gan.extractors.FeatureExtractor`.

    Features are standardised by their mean and deviation over the images it was trained on.

    Args:
        network: Trained, on the host.
        seen: Images it was trained on, float (n, channels, height, width), on the host.
        accuracy: On images it was not trained on.
        device: Where it is to work.
    """

    name = CLASSIFIER
    dim = DIM
    input_range = (-1.0, 1.0)

    def __init__(self, network: Classifier, seen: Tensor, accuracy: float, device: str) -> None:
        self._network = network.eval().requires_grad_(False)
        raw = torch.cat([network.body(part) for part in torch.split(seen, BATCH)]).double()
        self._mean = raw.mean(0).to(device)
        self._std = raw.std(0).clamp_min(LEAST).to(device)
        self.input_size: tuple[int, int] | None = (seen.shape[2], seen.shape[3])
        self.identity = content_of(network, f"{self._mean.tolist()} {self._std.tolist()}")
        self.facts = {"accuracy": accuracy, "trained_on": len(seen)}
        self._network.to(device)

    def features(self, images: Tensor) -> Tensor:
        """See `FeatureExtractor`; in float64."""
        found: Tensor = (self._network.body(images).double() - self._mean) / self._std
        return found

    def logits(self, images: Tensor) -> Tensor:
        """See `FeatureExtractor`; of the data's classes."""
        logits: Tensor = self._network(images)[:, :-1]
        return logits


def extractor_split(data: DataSet, seed: int) -> Split:
    """The training images that the classifier is trained on; the GAN has the others."""
    return data.halves(seed, SHARE)[0]


def gan_split(data: DataSet, seed: int) -> Split:
    """The training images that GANs are trained on (see `extractor_split`)."""
    return data.halves(seed, SHARE)[1]


def spoilt(images: Tensor, chance: torch.Generator) -> Tensor:
    """What is no image, of the same shape: blends of images with one of three that have no shape.

    These are, each in one of three: every pixel that of another image at the same place; the
    image's own pixels in another order; uniform noise. Their share is from `FAINTEST` to all.

    Args:
        images: (n, channels, height, width) from -1 to 1.
        chance: On their device.
    """
    flat, count = images.flatten(1), (len(images), 1)

    def order(dim: int) -> Tensor:
        return torch.rand(flat.shape, generator=chance, device=flat.device).argsort(dim)

    exchanged, shuffled = flat.gather(0, order(0)), flat.gather(1, order(1))
    noise = torch.rand(flat.shape, generator=chance, device=flat.device) * 2 - 1
    kind = torch.randint(3, count, generator=chance, device=flat.device)
    other = torch.where(kind == 0, exchanged, torch.where(kind == 1, shuffled, noise))
    share = FAINTEST + (1 - FAINTEST) * torch.rand(count, generator=chance, device=flat.device)
    return (share * other + (1 - share) * flat).view_as(images)


def trained_classifier(data: DataSet, seed: int, device: str) -> ClassifierExtractor:
    """Train the classifier: 600 to 2,000 steps of Adam without label smoothing.

    On the host and in one thread, wherever it works then: workers of one run must have the same.

    Args:
        data: Some of its training images are for it (`extractor_split`), its validation images say
            how accurate it is.
        seed: Of the split, the initial weights and the order.
        device: A torch device string: where it is to work.

    Raises:
        ConfigError: There are no validation images.
    """
    if not len(data.validation):
        raise ConfigError(f"{data.name} has no validation images left", "leave some")
    placed = Placed(extractor_split(data, seed), "cpu")
    channels = data.input_shape[0]
    with _one_thread(), seeded(seed, "extractor"):
        network = Classifier(channels, data.num_classes)
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        stream = Stream(placed, BATCH, seed, "extractor")
        steps = min(max(STEPS[0], PASSES * stream.steps), STEPS[1])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        chance = generator(seed, "extractor", "spoilt")
        with torch.enable_grad():
            for step in range(steps):
                images, labels = stream.batch(step)
                real = _scaled(images)
                none = spoilt(real, chance)[: math.ceil(SPOILT * len(real))]
                targets = torch.cat([labels, labels.new_full((len(none),), data.num_classes)])
                optimizer.zero_grad()
                loss = F.cross_entropy(network(torch.cat([real, none])), targets)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        with torch.no_grad():
            network.eval()
            right = sum(
                int((network(_scaled(images))[:, :-1].argmax(1) == labels).sum())
                for images, labels in Placed(data.validation, "cpu").batches(BATCH)
            )
            seen = torch.cat([_scaled(images) for images, _ in placed.batches(BATCH)])
            return ClassifierExtractor(network, seen, right / len(data.validation), device)


def _scaled(images: Tensor) -> Tensor:
    return images.float() * (2 / 255) - 1


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
