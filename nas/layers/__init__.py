"""What a recipe may exchange in a network before it is trained: its normalisations, its weights.

Importing this package does not import torch. A row's `apply` changes a built network in place:

- a normalisation stands in for every two-dimensional batch normalisation;
- a parametrisation makes the weights of convolutions and linear layers a function of what is
  trained.

After training `settle` puts plain layers and weights back where a network computes the same with
them, so that what is measured, exported and deployed is a plain network.

What a network keeps for good (another normalisation in evaluation, fewer channels) is an
adaptation, see `nas.layers.adapt`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from nas.core.config import Settings, build_settings
from nas.core.registry import Registry, imported
from nas.layers.settings import (
    BatchChannelSettings,
    CompanderSettings,
    GhostSettings,
    GroupSettings,
    NoSettings,
    StandardizedSettings,
    StatsQSettings,
)

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NORMALIZATIONS", "WEIGHTS", "Layer", "NoSettings", "exchange", "settle"]

Apply: TypeAlias = "Callable[[nn.Module, Any], None]"


@dataclass(frozen=True)
class Layer:
    """A row of a table of layers.

    Attributes:
        settings: The frozen model of its settings.
        apply: "module:function" of `(network, settings)`, or the function itself; None leaves
            networks as they are.
        source: Where it was published.
        keeps: Whether each channel stays one with weights of its own, so that it can be removed
            (`prune`).
    """

    settings: type[Settings]
    apply: Apply | str | None
    source: str = ""
    keeps: bool = False

    def to(self, network: nn.Module, settings: Mapping[str, Any]) -> None:
        """Change a network in place.

        Raises:
            ConfigError: A setting is unknown or out of range.
            UnsupportedError: The network cannot have it.
        """
        values = build_settings(self.settings, settings, "layer setting")
        if self.apply is not None:
            apply: Apply = imported(self.apply) if isinstance(self.apply, str) else self.apply
            apply(network, values)


NORMALIZATIONS: Final[Registry[Layer]] = Registry("normalization", "nas.normalizations")
NORMALIZATIONS.add(
    "batch",
    Layer(NoSettings, None, "Ioffe & Szegedy, ICML 2015", keeps=True),
    "as the space builds it",
)
NORMALIZATIONS.add(
    "ghost",
    Layer(GhostSettings, "nas.layers.normalizations:ghost", "Hoffer et al., NIPS 2017", keeps=True),
    "batch statistics of parts of a batch; for large batches",
)
NORMALIZATIONS.add(
    "group",
    Layer(GroupSettings, "nas.layers.normalizations:group", "Wu & He, ECCV 2018"),
    "statistics of groups of channels of one image; for small batches",
)
NORMALIZATIONS.add(
    "batch-channel",
    Layer(BatchChannelSettings, "nas.layers.normalizations:batch_channel", "Qiao et al., 2019"),
    "batch, then group normalisation; for small batches, with standardized weights",
)

WEIGHTS: Final[Registry[Layer]] = Registry("weight parametrization", "nas.weights")
WEIGHTS.add("plain", Layer(NoSettings, None, keeps=True), "trained as they are used")
WEIGHTS.add(
    "standardized",
    Layer(StandardizedSettings, "nas.layers.weights_standardized:standardize", "Qiao et al., 2019"),
    "filters of convolutions with mean 0 and deviation 1; before a normalisation",
)
WEIGHTS.add(
    "compander",
    Layer(
        CompanderSettings,
        "nas.layers.weights_compander:compand",
        "Cakaj, Mehnert & Yang, IJCNN 2023",
    ),
    "a learnt a arctan(v / b): no large weights, fewer near 0",
)
WEIGHTS.add(
    "statsq",
    Layer(StatsQSettings, "nas.layers.weights_statsq:quantize", "Liu, Liu & Cheng, ICML 2023"),
    "trained to be quantised: 2^bits values a row",
)


def exchange(
    network: nn.Module,
    normalization: tuple[str, Mapping[str, Any]],
    weights: tuple[str, Mapping[str, Any]],
) -> None:
    """Give a network the layers of a recipe, in place: name and settings of each kind.

    Raises:
        PluginError: A name is unknown.
        ConfigError: A setting is unknown or out of range.
        UnsupportedError: The network cannot have it.
    """
    for table, (name, settings) in ((NORMALIZATIONS, normalization), (WEIGHTS, weights)):
        table.get(name).to(network, settings)


def settle(network: nn.Module) -> None:
    """Put plain layers and weights back, in place; what the network computes stays the same."""
    from torch.nn.utils import parametrize

    from nas.layers.replace import replace_modules

    for module in network.modules():
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    replace_modules(network, lambda m: hasattr(m, SETTLED), lambda m: getattr(m, SETTLED)())


SETTLED: Final = "settled"
"""Method of a layer that is for training only: gives the one that is kept."""
