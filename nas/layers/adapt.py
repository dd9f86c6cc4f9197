"""Lasting changes to a network after it was built, as plain values.

A network whose layers were exchanged or cut for good is no longer what its class and arguments
give. It keeps a list of what was done, which goes into its weights file and its exported module,
so that whoever builds it anew does the same before loading the weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from torch import nn

from nas.core.errors import DataError, NasError
from nas.core.registry import Registry

__all__ = [
    "ADAPTATIONS",
    "Adaptation",
    "adapt",
    "adapt_like",
    "adaptations",
    "read_adaptations",
]

Adaptation: TypeAlias = tuple[str, dict[str, Any]]
"""Name of a member of `ADAPTATIONS`, and plain settings."""

ADAPTATIONS: Final[Registry[Callable[..., None]]] = Registry("adaptation", "nas.adaptations")
"""Functions of `(network, **settings)` that change a network in place.

An exported module holds their source, so they need torch and the standard library only, and are
added by name and not by decorator.
"""
ADAPTATIONS.add(
    "group-normalization",
    "nas.layers.normalizations:group_normalization",
    "group in place of batch normalisations",
)
ADAPTATIONS.add(
    "batch-channel-normalization",
    "nas.layers.normalizations:batch_channel_normalization",
    "batch-channel in place of batch normalisations",
)

ADAPTATIONS.add("cut", "nas.layers.cut:cut", "fewer channels in some layers")

_KEPT: Final = "adaptations"


def adapt(network: nn.Module, name: str, **settings: Any) -> None:
    """Change a network for good, in place, and have it remember.

    Args:
        network: Its weights stay where they still have a place.
        name: A member of `ADAPTATIONS`.
        **settings: Plain values, as JSON has them.

    Raises:
        PluginError: The name is unknown.
    """
    ADAPTATIONS.get(name)(network, **settings)
    setattr(network, _KEPT, [*adaptations(network), (name, settings)])


def adaptations(network: nn.Module) -> list[Adaptation]:
    """What was done to a network, in order."""
    return list(getattr(network, _KEPT, ()))


def adapt_like(network: nn.Module, wanted: Sequence[Adaptation]) -> None:
    """Do to a network what is wanted and was not yet done.

    Raises:
        DataError: Something else was done to it, or it cannot be done to this network.
    """
    done = adaptations(network)
    if done != list(wanted)[: len(done)]:
        raise DataError("the network was adapted otherwise", "build it anew from its architecture")
    for name, settings in list(wanted)[len(done) :]:
        try:
            adapt(network, name, **settings)
        except NasError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise DataError(
                f"the network cannot be adapted by {name!r}: {error}",
                "build the one it was saved from",
            ) from error


def read_adaptations(text: str, key: str) -> list[Adaptation]:
    """What a JSON object holds under a key.

    Raises:
        DataError: The text is something else.
    """
    try:
        return [(str(name), dict(settings)) for name, settings in json.loads(text)[key]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("the list of adaptations is damaged", "write the file again") from error
