"""The names of figures that every part of the project uses, and what kind of number each is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

METRICS: Final[Mapping[str, str]] = {
    "error": "validation error, fraction from 0 to 1: what a search sees",
    "test_error": "test error, fraction from 0 to 1: the final report only",
    "loss": "validation cross-entropy, nats",
    "params": "trainable parameters, auxiliary heads excluded",
    "macs": "multiply-accumulates of one forward pass of one sample",
    "discriminator_params": "trainable parameters of a GAN's discriminator",
    "discriminator_macs": "multiply-accumulates of its forward pass of one image",
    "latency_ms": "milliseconds a forward pass",
    "memory_mb": "peak megabytes",
    "energy_j": "joules",
    "sharpness": "largest eigenvalue of the training loss's Hessian in the weights",
    "rankme": "effective rank of the features a classifier reads; larger is better",
    "pruned": "share of the groups of channels that training removed",
    "quantized_error": "validation error with weights of few bits, fraction from 0 to 1",
    "certified_error": "validation images not proven right within a radius, fraction from 0 to 1",
    "seconds": "seconds the evaluation took",
    "epochs": "epochs trained",
    "gradient_evaluations": "forward-backward passes",
}
"""Name to meaning; an evaluator may report others besides."""

SHARES: Final = frozenset(
    {
        *("error", "test_error", "train_error", "accuracy"),
        *("quantized_error", "certified_error", "pruned"),
    }
)
"""Fractions from 0 to 1, which people read in percent."""

COUNTS: Final = frozenset(
    {"params", "macs", "discriminator_params", "discriminator_macs", "gradient_evaluations"}
)
"""Whole numbers that grow large."""

SHOWN: Final = ("error", "test_error", "loss", "params", "macs", "latency_ms")
"""What people want to see of a network, in this order, before what a search was about besides."""


def shown(there: Iterable[str], wanted: Sequence[str] = ()) -> list[str]:
    """Those of some figures that people want to see, in order.

    Args:
        there: Names of all figures there are.
        wanted: Names that are shown besides `SHOWN`, such as a search's objectives.
    """
    names = set(there)
    first = [name for name in wanted if name not in SHOWN]
    return [name for name in (*first, *SHOWN) if name in names]
