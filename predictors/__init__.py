"""Predictors of a candidate's rank or figures, encodings of architectures, and proxies.

``get_predictor("pairwise-linear")`` gives a class by name. Nothing here imports torch or
scikit-learn until a member that needs them is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.core.registry import Registry
from predictors.encodings import ENCODINGS
from predictors.labels import Labels
from predictors.proxies import PROXIES

if TYPE_CHECKING:
    from predictors.base import Predictor

__all__ = ["ENCODINGS", "PREDICTORS", "PROXIES", "Labels", "get_predictor", "list_predictors"]

PREDICTORS: Registry[type[Predictor]] = Registry("predictor", "nas.predictors")
"""All predictors; ``@PREDICTORS.register(name)`` adds one."""

_TABLE = {
    "pairwise-linear": (
        "linear:PairwiseLinear",
        "logistic loss over pairs, linear in the features; milliseconds",
    ),
    "pairwise-mlp": (
        "mlp:PairwiseMlp",
        "logistic loss over pairs, small networks averaged",
    ),
    "pairwise-gin": (
        "gin:PairwiseGin",
        "logistic loss over pairs, a graph network on the cells; needs torch",
    ),
    "mlp": ("mlp:Mlp", "the networks of pairwise-mlp, squared error of values"),
    "gradient-boosting": ("trees:GradientBoosting", "boosted regression trees"),
    "forest": ("trees:Forest", "extremely randomised regression trees"),
    "gp": ("gaussian:GaussianProcess", "Gaussian process, kernel by marginal likelihood"),
    "nars": ("nars:Nars", "FBNetV3's: an embedding pretrained on sizes, the recipe after it"),
    "ensemble": ("ensemble:Ensemble", "several predictors asked together"),
    "stacked": ("stacked:Stacked", "several weighted by cross-validated tau, for few readings"),
}

for _name, (_target, _summary) in _TABLE.items():
    PREDICTORS.add(_name, f"predictors.{_target}", _summary)


def get_predictor(name: str) -> type[Predictor]:
    """The class of a predictor.

    Args:
        name: One of ``list_predictors()``.

    Raises:
        PluginError: There is no predictor of that name; the message lists close ones.
    """
    return PREDICTORS.get(name)


def list_predictors() -> list[str]:
    """Names of all predictors, those of installed plug-ins included."""
    return PREDICTORS.names()
