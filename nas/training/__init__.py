"""Data, recipes, augmentation and the one trainer of all candidates.

Importing this package does not import torch; its members are loaded when asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.training.data import load_data
    from nas.training.data.dataset import DataSet, Split
    from nas.training.evaluation import evaluate
    from nas.training.recipe import TrainingRecipe, default_recipe
    from nas.training.trainer import FitOptions, TrainingResult, fit
    from nas.training.weights import load_weights, save_weights

__all__ = [
    "DataSet",
    "FitOptions",
    "Split",
    "TrainingRecipe",
    "TrainingResult",
    "default_recipe",
    "evaluate",
    "fit",
    "load_data",
    "load_weights",
    "save_weights",
]

_HOMES = {
    "DataSet": "nas.training.data.dataset",
    "FitOptions": "nas.training.trainer",
    "Split": "nas.training.data.dataset",
    "TrainingRecipe": "nas.training.recipe",
    "TrainingResult": "nas.training.trainer",
    "default_recipe": "nas.training.recipe",
    "evaluate": "nas.training.evaluation",
    "fit": "nas.training.trainer",
    "load_data": "nas.training.data",
    "load_weights": "nas.training.weights",
    "save_weights": "nas.training.weights",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
