"""Weights as functions of what is trained: what the parametrisations have in common.

What is trained is registered in place of the weight (`torch.nn.utils.parametrize`), under the name
`<layer>.parametrizations.weight.original`, and after training `nas.layers.settle` puts the weight
back. So optimizers see what is trained, not the weights that are used: weight decay shrinks it,
norms and projections (AdamP) are those of it, and a moving average is of it. What is trained is a
function of the weights that the layer has; no chance is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import Tensor, nn
from torch.nn.utils import parametrize

from nas.core.errors import UnsupportedError

__all__ = ["CONVOLUTIONS", "WEIGHTED", "parametrize_weights", "rows"]

CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WEIGHTED: Final = (*CONVOLUTIONS, nn.Linear)
"""Layers that have one weight with a row, its first axis, per output."""

_WEIGHT: Final = "weight"


def rows(weight: Tensor) -> tuple[int, ...]:
    """The axes of one output's weights: all but the first."""
    return tuple(range(1, weight.ndim))


def parametrize_weights(
    network: nn.Module,
    kinds: tuple[type[nn.Module], ...],
    make: Callable[[Tensor], nn.Module | None],
) -> None:
    """Have the weights of layers computed, in place.

    Args:
        network: As it was built.
        kinds: Of layers.
        make: Gives the parametrisation of a weight, or None to leave it as it is.

    Raises:
        UnsupportedError: There is no such layer, or layers share a weight, or have it computed
            already.
    """
    layers: dict[str, tuple[nn.Module, nn.Module]] = {}
    owners: dict[nn.Parameter, str] = {}
    for name, layer in network.named_modules():
        if not isinstance(layer, kinds):
            continue
        if parametrize.is_parametrized(layer, _WEIGHT):
            raise UnsupportedError(
                f"the weights of {name!r} are parametrised already", "build the network anew"
            )
        weight = layer.get_parameter(_WEIGHT)
        if owners.setdefault(weight, name) != name:
            raise UnsupportedError(
                f"{name!r} and {owners[weight]!r} share their weights",
                "leave recipe.weights at plain",
            )
        made = make(weight)
        if made is not None:
            layers[name] = layer, made
    if not layers:
        raise UnsupportedError(
            f"a {type(network).__name__} has no layer whose weights can be parametrised",
            "leave recipe.weights at plain",
        )
    for layer, made in layers.values():
        parametrize.register_parametrization(layer, _WEIGHT, made)
