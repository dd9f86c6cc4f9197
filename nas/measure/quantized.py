"""What is left of a network's accuracy when its weights have few bits."""

from __future__ import annotations

import copy
from typing import Final

import torch

from nas.core.errors import CandidateError
from nas.layers import settle
from nas.layers.order import weighted_layers
from nas.layers.rounding import quantize
from nas.measure.figures import Subject
from nas.measure.settings import QuantizedErrorSettings
from nas.measure.trained import some_images
from nas.training.augment import Augmentation, Pipeline
from nas.training.device import full_precision
from nas.training.evaluation import measure
from nas.training.stream import Placed

__all__ = ["quantized_error"]

BATCH: Final = 64


def quantized_error(subject: Subject, settings: QuantizedErrorSettings) -> float:
    """Error on the validation images with rounded weights, 0 to 1.

    The weights of all two-dimensional convolutions and linear layers have so many bits, the first
    and the last layer's too unless `ends` says otherwise, each output on a symmetric grid of its
    own. Nothing else is rounded: not biases, not normalisations, not what flows between layers, not
    weights in modules of other kinds. FlexRound (Lee et al., ICML 2023) is taught on training
    images, the same for every network; see `nas.layers.rounding`.

    Raises:
        CandidateError: The network has no such layer, or there are no validation images.
    """
    data, device = subject.data, torch.device(subject.device)
    if not len(data.validation):
        raise CandidateError("there are no validation images to measure on", "hold some out")
    network = copy.deepcopy(subject.network)
    settle(network)
    images, _ = some_images(subject, data.train, settings.images)
    if not weighted_layers(network, images[:2]):
        raise CandidateError("the network has no convolution or linear layer", "nothing to round")
    learn = (settings.steps, settings.learning_rate) if settings.method == "flexround" else None
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    with full_precision():
        quantize(network, batches, settings.bits, ends=settings.ends, learn=learn)
        pipeline = Pipeline(data.mean, data.std, Augmentation(), device)
        placed = Placed(data.validation, device)
        return measure(network, placed, pipeline, "float32")["error"]
