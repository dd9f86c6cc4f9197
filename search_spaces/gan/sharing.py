"""Weights that paths of one network share: copied, drawn with, measured with.

A network of its own has its weights under the names that they have in one that holds every
operation, so that copying is by name, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.core.errors import SpaceError
from search_spaces.gan.generator import Generator
from search_spaces.gan.genes import Genotype

__all__ = ["copy_weights", "draw", "recalibrate"]


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy what both networks have: a path of a supernet into a network of its own, or back.

    Parameters and buffers are copied, no storage is shared.

    Args:
        source: Where values are taken from.
        target: What gets them; all that it has, or all that `source` has.

    Raises:
        SpaceError: Neither network is a part of the other, or tensors differ in shape.
    """
    given, taken = source.state_dict(), target.state_dict()
    common = given.keys() & taken.keys()
    if len(common) < min(len(given), len(taken)):
        raise SpaceError(
            "the networks are no parts of each other",
            "copy between a supernet and one of its paths",
        )
    for name in common:
        if given[name].shape != taken[name].shape:
            raise SpaceError(
                f"{name} is {tuple(given[name].shape)} in one network and"
                f" {tuple(taken[name].shape)} in the other",
                "build both for the same images and scale",
            )
    for name in common:
        taken[name].copy_(given[name])


def draw(generator: Generator, z: Tensor, paths: Sequence[Genotype]) -> Tensor:
    """Images of several paths at once, for one batch of a discriminator.

    The batch is split as evenly as can be; each part is drawn, and normalised, by its own path.

    Args:
        generator: One that holds every operation.
        z: Latent vectors ``(B, latent)``.
        paths: At most B of them.

    Returns:
        Images ``(B, C, H, W)`` in the order of `z`.

    Raises:
        SpaceError: There is no path, or there are more paths than latent vectors.
    """
    if not 1 <= len(paths) <= len(z):
        raise SpaceError(
            f"{len(paths)} paths for a batch of {len(z)}", "expected 1 to as many as the batch has"
        )
    parts = torch.tensor_split(z, len(paths))
    return torch.cat([generator(part, path) for part, path in zip(parts, paths, strict=True)])


@torch.no_grad()
def recalibrate(
    generator: nn.Module, batches: Iterable[Tensor], path: Genotype | None = None
) -> None:
    """Make the running statistics of batch normalisation those of one path.

    A supernet counts them over all paths that it is trained on, which fits none: before a path is
    drawn from in evaluation mode, they are counted anew. So are those of averaged weights.

    Args:
        generator: A generator, on its own or one that holds every operation; afterwards each
            module is in the mode it was in.
        batches: Latent vectors ``(B, latent)``, B at least 2; each batch counts the same.
        path: Which path; by default that of the generator.

    Raises:
        SpaceError: There is no batch.
    """
    every = list(batches)
    if not every:
        raise SpaceError("no latent vectors to count statistics of", "give at least one batch")
    norms = [module for module in generator.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.training = True
    try:
        for z in every:
            generator(z) if path is None else generator(z, path)
    finally:
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum, norm.training = momentum, training
