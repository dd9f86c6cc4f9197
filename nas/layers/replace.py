"""Other modules in place of those of one type; exported modules hold this source."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

__all__ = ["replace_modules"]


def replace_modules(
    network: nn.Module, chosen: Callable[[nn.Module], bool], make: Callable[..., nn.Module]
) -> int:
    """Put others in place of some modules within a network.

    Args:
        network: Is not itself replaced.
        chosen: Which ones.
        make: Gives the new module for an old one; once for a module that stands in two places.

    Returns:
        How many there were.
    """
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, child in parent._modules.items():
            if child is not None and chosen(child):
                if child not in made:
                    made[child] = make(child)
                parent._modules[name] = made[child]
    return len(made)
