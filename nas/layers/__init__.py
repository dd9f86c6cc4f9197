"""What a recipe may exchange in a network before it is trained: its normalisations, its weights.

Importing this package does not import torch. A row's `apply` changes a built network in place:

- a normalisation stands in for every two-dimensional batch normalisation;
- a parametrisation makes the weights of convolutions and linear layers a function of what is
  trained. `settle` puts the result in their place after training, so that what is measured,
  exported and deployed is a plain network.

What a network keeps for good (another normalisation in evaluation, fewer channels) is an
adaptation, see `nas.layers.adapt`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from nas.core.config import Settings, build_settings
from nas.core.registry import Registry, imported

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NORMALIZATIONS", "WEIGHTS", "Layer", "NoSettings", "exchange", "settle"]

Apply: TypeAlias = "Callable[[nn.Module, Any], None]"


class NoSettings(Settings):
    """Settings of what has none."""


@dataclass(frozen=True)
class Layer:
    """A row of a table of layers.

    Attributes:
        settings: The frozen model of its settings.
        apply: "module:function" of `(network, settings)`, or the function itself; None leaves
            networks as they are.
        source: Where it was published.
    """

    settings: type[Settings]
    apply: Apply | str | None
    source: str = ""

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
    "batch", Layer(NoSettings, None, "Ioffe & Szegedy, ICML 2015"), "as the space builds it"
)

WEIGHTS: Final[Registry[Layer]] = Registry("weight parametrization", "nas.weights")
WEIGHTS.add("plain", Layer(NoSettings, None), "trained as they are used")


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
    """Make parametrised weights plain ones, in place; what it computes stays the same."""
    from torch import nn
    from torch.nn.utils import parametrize

    for module in network.modules():
        if isinstance(module, nn.Module) and parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
