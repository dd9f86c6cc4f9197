"""How much of a network's error can be ruled out by proof."""

from __future__ import annotations

import torch

from nas.core.errors import CandidateError, UnsupportedError
from nas.layers.intervals import Interval, bounds, margins
from nas.measure.counts import evaluating
from nas.measure.figures import Subject
from nas.measure.settings import CertifiedErrorSettings
from nas.training.augment import Augmentation, Pipeline
from nas.training.device import full_precision

__all__ = ["certified_error"]

BATCH = 256


@torch.no_grad()
def certified_error(subject: Subject, settings: CertifiedErrorSettings) -> float:
    """Share of the validation images that are not proven to be classified rightly.

    An image is proven if interval bounds (Gowal et al., ICCV 2019) leave no image whose pixels are
    at most `epsilon` from its own, and in their range, a label other than the right one. Never less
    than the error under any attack of that radius, nor than the error itself; near 1 for networks
    that were not trained for it (the loss `certified` of recipes). Bounds are not rounded outwards.

    Raises:
        CandidateError: The network has an operation without bounds, or there are no validation
            images.
    """
    split, device = subject.data.validation, torch.device(subject.device)
    if not len(split):
        raise CandidateError("there are no validation images to certify", "hold some out")
    pipeline = Pipeline(subject.data.mean, subject.data.std, Augmentation(), device)
    proven = torch.zeros((), dtype=torch.int64, device=device)
    with evaluating(subject.network), full_precision():
        for start in range(0, len(split), BATCH):
            rows = slice(start, start + BATCH)
            inputs = pipeline.plain(split.images[rows].to(device))
            labels = split.labels[rows].to(device)
            try:
                logits = bounds(subject.network, Interval(*pipeline.ball(inputs, settings.epsilon)))
            except UnsupportedError as error:
                raise CandidateError(
                    f"no certified error of this network: {error.message}", error.hint
                ) from error
            lead = margins(logits, labels)
            lead.scatter_(1, labels.unsqueeze(1), torch.inf)
            proven += (lead > 0).all(1).sum()
    return (len(split) - int(proven)) / len(split)
