"""What a network makes of images: its error and loss, on its device, as a recipe has inputs."""

from __future__ import annotations

import torch
from torch import nn

from nas.core.errors import ConfigError
from nas.training.augment import Augmentation, Pipeline
from nas.training.data.dataset import DataSet, Split
from nas.training.device import autocast, resolve
from nas.training.recipe import TrainingRecipe
from nas.training.stream import Placed

__all__ = ["evaluate", "measure", "pipeline_of", "place"]

EVALUATION_BATCH = 512


def evaluate(
    network: nn.Module,
    split: Split,
    data: DataSet,
    *,
    device: str = "cpu",
    recipe: TrainingRecipe | None = None,
) -> dict[str, float]:
    """Error and cross-entropy of a trained network, which is left in evaluation mode.

    Args:
        network: Gives (batch, classes) logits in evaluation mode; moved to `device`.
        split: The images to measure on.
        data: Whose normalisation to use.
        device: A torch device string.
        recipe: Whose precision and memory layout to use; by default the default ones.

    Returns:
        `error` (0 to 1) and `loss`.

    Raises:
        ConfigError: The split is empty, or the device is not there.
    """
    if not len(split):
        raise ConfigError("there are no images to measure on", "choose a split that has some")
    recipe = recipe or TrainingRecipe()
    where = resolve(device)
    place(network, where, recipe)
    pipeline = pipeline_of(data, recipe, where)
    return measure(network, Placed(split, where), pipeline, recipe.precision)


@torch.no_grad()
def measure(
    network: nn.Module, placed: Placed, pipeline: Pipeline, precision: str
) -> dict[str, float]:
    """As `evaluate`, of images that are in place; one host sync in all."""
    network.eval()
    wrong = torch.zeros((), dtype=torch.int64, device=placed.device)
    loss = torch.zeros((), device=placed.device)
    for images, labels in placed.batches(EVALUATION_BATCH):
        inputs = pipeline.plain(images)
        with autocast(placed.device, precision):
            logits = network(inputs)
        logits = logits.float()
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum")
        wrong += (logits.argmax(1) != labels).sum()
    return {"error": int(wrong) / len(placed), "loss": float(loss) / len(placed)}


def place(network: nn.Module, device: torch.device, recipe: TrainingRecipe) -> None:
    """Bring a network to a device, in the memory layout of a recipe."""
    if recipe.channels_last:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:
        network.to(device)


def pipeline_of(data: DataSet, recipe: TrainingRecipe, device: torch.device) -> Pipeline:
    """From a data set's images to inputs, with the augmentation of a recipe."""
    chosen = Augmentation(recipe.flip, recipe.crop_padding, recipe.cutout)
    return Pipeline(data.mean, data.std, chosen, device, recipe.channels_last)
