"""What a supernet loses without a part of it, and how sure we are (DARTS-PT, Wang et al. 2021).

The published procedure measures every variant on the whole validation half, each time shuffled
and augmented anew, so two operations are compared on different pictures. `Paired` compares all
variants on the same pictures without augmentation, where most of the noise cancels, and stops as
soon as the leading ones are separated from the others at a stated confidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Criterion: TypeAlias = Literal["error", "loss"]
Batch: TypeAlias = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Loss:
    """What is left of a supernet without one of its parts.

    Attributes:
        error: Fraction misclassified, from 0 to 1.
        loss: Mean cross-entropy, nats.
    """

    error: float
    loss: float


@dataclass(frozen=True)
class Measurement:
    """The comparison behind a decision.

    Attributes:
        variants: Name of the missing part to what is left without it.
        ranking: Names from most to least missed; only those that may be chosen.
        images: Pictures each variant saw.
        complete: Whether those were all there are.
        confidence: That the chosen parts are more missed than every other (in errors, or in
            losses where the errors seen do not speak against it), all looks and pairs accounted
            for; 0 if the procedure makes no such statement, or none could be made.
    """

    variants: Mapping[str, Loss]
    ranking: tuple[str, ...]
    images: int
    complete: bool
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "variants": {
                name: {"error": left.error, "loss": left.loss}
                for name, left in self.variants.items()
            },
            "ranking": list(self.ranking),
            "images": self.images,
            "complete": self.complete,
            "confidence": self.confidence,
        }


def rank(
    variants: Mapping[str, Loss], eligible: Sequence[str], criterion: Criterion, ties: bool = True
) -> tuple[str, ...]:
    """Eligible names from most to least missed.

    Args:
        variants: What is left without each.
        eligible: Which may be ranked; among equals the earlier one wins.
        criterion: Figure to compare.
        ties: Whether the loss decides between equal errors.
    """

    def missed(name: str) -> tuple[float, ...]:
        left = variants[name]
        if criterion == "loss":
            return (-left.loss,)
        return (-left.error, -left.loss) if ties else (-left.error,)

    return tuple(sorted(eligible, key=missed))  # sorting is stable: earlier names win ties


@dataclass
class Tally:
    """Sums over the pictures one variant saw."""

    wrong: int = 0
    loss: float = 0.0
    images: int = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits `(B, classes)`, labels `(B,)`."""
        self.wrong += int((logits.argmax(1) != labels).sum())
        self.loss += float(functional.cross_entropy(logits.float(), labels, reduction="sum"))
        self.images += len(labels)

    def mean(self) -> Loss:
        """Figures so far."""
        return Loss(self.wrong / self.images, self.loss / self.images)


@dataclass
class Paired:
    """All variants on the same pictures, with sequential stopping.

    The test: after each look (the number of pictures doubles between looks) every chosen part is
    compared with every other by one-sided paired t tests on errors and on losses. The error rate
    allowed is divided by the number of looks, pairs and tests (Bonferroni), so the stated
    confidence holds for the whole decision, as far as means of so many pictures are normal.

    Args:
        eligible: Names that may be chosen; others are measured and reported only.
        choose: How many of the most missed are chosen.
        criterion: Figure that ranks; with "error" the loss decides between equals.
        confidence: Wanted probability that the choice is that of infinitely many pictures.
        at_least: Pictures below which no stop is considered.
        total: Pictures there are, or that may be looked at.
    """

    eligible: Sequence[str]
    choose: int
    criterion: Criterion
    confidence: float
    at_least: int
    total: int
    _wrong: dict[str, list[Tensor]] = field(default_factory=dict)
    _loss: dict[str, list[Tensor]] = field(default_factory=dict)
    _images: int = 0
    _next_look: int = 0
    _level: float = 0.0

    def __post_init__(self) -> None:
        self._next_look = min(self.at_least, self.total)
        looks = 1 + max(0, math.ceil(math.log2(max(1, self.total) / max(1, self._next_look))))
        pairs = max(1, self.choose * (len(self.eligible) - self.choose))
        self._tests = looks * pairs * 2

    def add(self, variants: Mapping[str, Tensor], labels: Tensor) -> bool:
        """Take in logits `(B, classes)` of every variant; tells whether the choice is clear."""
        for name, logits in variants.items():
            loss = functional.cross_entropy(logits.float(), labels, reduction="none")
            self._wrong.setdefault(name, []).append((logits.argmax(1) != labels).double().cpu())
            self._loss.setdefault(name, []).append(loss.double().cpu())
        self._images += len(labels)
        if self._images < self._next_look:
            return False
        self._next_look = 2 * self._images
        self._level = self._separation()
        return self._level >= self.confidence

    @property
    def complete(self) -> bool:
        """Whether all pictures were looked at."""
        return self._images >= self.total

    def result(self) -> Measurement:
        """The measurement so far."""
        variants = self._means()
        ranking = rank(variants, self.eligible, self.criterion)
        level = self._separation() if self.complete else self._level
        return Measurement(variants, ranking, self._images, self.complete, max(0.0, level))

    def _means(self) -> dict[str, Loss]:
        return {
            name: Loss(float(torch.cat(wrong).mean()), float(torch.cat(self._loss[name]).mean()))
            for name, wrong in self._wrong.items()
        }

    def _separation(self) -> float:
        """Confidence that every chosen part is more missed than every other; below 0: none."""
        ranking = rank(self._means(), self.eligible, self.criterion)
        inside, outside = ranking[: self.choose], ranking[self.choose :]
        worst = 0.0
        for one in inside:
            for other in outside:
                worst = max(worst, self._doubt(one, other))
        return 1.0 - worst * self._tests if outside else 1.0

    def _doubt(self, one: str, other: str) -> float:
        """P value of `one` not being more missed than `other`."""
        losses = torch.cat(self._loss[one]) - torch.cat(self._loss[other])
        if self.criterion == "loss":
            return one_sided(losses)
        errors = torch.cat(self._wrong[one]) - torch.cat(self._wrong[other])
        # Losses may speak only where they do not contradict the errors, which come first.
        agrees = float(errors.sum()) >= 0 and float(losses.sum()) > 0
        return min(one_sided(errors), one_sided(losses)) if agrees else one_sided(errors)


def one_sided(differences: Tensor) -> float:
    """P value of a paired t test that the mean of `differences` `(n,)` is at most zero."""
    count = len(differences)
    if count < 2:
        return 1.0
    mean, spread = float(differences.mean()), float(differences.std())
    if spread == 0:  # no estimate of the noise: the sign test, one in 2 to the n
        return 0.5**count if mean > 0 else 1.0
    from scipy.special import stdtr

    return float(stdtr(count - 1, -mean / (spread / math.sqrt(count))))


def separate(
    logits: Mapping[str, Iterable[tuple[Tensor, Tensor]]],
    eligible: Sequence[str],
    criterion: Criterion,
    total: int,
) -> Measurement:
    """The published procedure: every variant over its own pictures, all of them.

    Args:
        logits: Name to the pairs (logits, labels) of its batches, consumed one by one.
        eligible: Names that may be chosen; ties keep the earlier one.
        criterion: Figure that ranks.
        total: Pictures of the validation half.
    """
    variants = {}
    for name, batches in logits.items():
        tally = Tally()
        for scores, labels in batches:
            tally.add(scores, labels)
        variants[name] = tally.mean()
    ranking = rank(variants, eligible, criterion, ties=False)
    return Measurement(variants, ranking, total, True, 0.0)
