"""Training of a generator and a discriminator against each other.

Importing this package does not import torch; its members are loaded when asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.training.gan.learner import PairLearner
    from nas.training.gan.recipe import GanRecipe, default_gan_recipe
    from nas.training.gan.trainer import PairOptions, fit_pair

__all__ = ["GanRecipe", "PairLearner", "PairOptions", "default_gan_recipe", "fit_pair"]

_HOMES = {
    "GanRecipe": "nas.training.gan.recipe",
    "PairLearner": "nas.training.gan.learner",
    "PairOptions": "nas.training.gan.trainer",
    "default_gan_recipe": "nas.training.gan.recipe",
    "fit_pair": "nas.training.gan.trainer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
