"""Channels of a network that can only be removed together, and the network without some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from nas.core.errors import UnsupportedError
from nas.layers.auxiliary import is_auxiliary
from nas.layers.tracing import Ids, Trace, trace

__all__ = ["Channels", "Groups", "find_channels"]

Groups: TypeAlias = Ids
"""Number of the group of each channel; -1 for channels that must stay."""

Kept: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
"""Whether each group stays `(count,)`."""

STAY: Final = -1
MIXING: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class Channels:
    """Groups of channels: an output of a layer, what scales it, all that it is added to.

    Channels that reach the logits or come from the input are in none, nor are those in which there
    is noise, nor an auxiliary head's, which is not delivered. If everything that makes and scales a
    group's channels is zero, these channels are zero wherever they are read.

    Args:
        found: What an input met on its way through it.
        network: The network.

    Attributes:
        count: Number of groups.
        rows: Of a parameter or buffer by name: the groups along its first dimension.
        columns: Of a weight by name: the groups along its second one, which it reads.
        crowds: Sets of groups of which one has to stay: else a tensor would be left without
            channels.
    """

    def __init__(self, found: Trace, network: nn.Module) -> None:
        roots = found.roots()
        fixed = set(roots[found.pinned()].tolist())
        numbers: dict[int, int] = {}
        for name, ids in found.rows.items():
            if name in found.columns and not is_auxiliary(name):
                for root in roots[ids].tolist():
                    if root not in fixed:
                        numbers.setdefault(root, len(numbers))
        groups = np.array([numbers.get(root, STAY) for root in roots.tolist()], np.int64)

        def grouped(ids: Ids) -> Groups:
            belong: Groups = groups[ids]
            return belong

        self.count = len(numbers)
        self.rows = {name: grouped(ids) for name, ids in found.rows.items()}
        self.columns = {name: grouped(ids) for name, ids in found.columns.items()}
        self._narrowed = {name: grouped(ids) for name, ids in found.narrowed.items()}
        states = {id(ids): ids for ids in found.states}.values()  # most only pass on what they get
        self.crowds = _smallest({frozenset(grouped(ids).tolist()) for ids in states})
        self._layers = self._sides(network)

    @property
    def most(self) -> int:
        """So many groups can be removed, whichever are wanted, without emptying a layer."""
        return self.count - len(self.crowds)

    def without(self, kept: Kept) -> dict[str, list[int]]:
        """What `nas.layers.cut.cut` is to do: layers with fewer channels than they have."""
        counts = {
            name: ([int(_stays(side, kept).sum()) for side in sides], [len(s) for s in sides])
            for name, sides in self._layers.items()
        }
        return {name: after for name, (after, before) in counts.items() if after != before}

    def selected(self, state: Mapping[str, Tensor], kept: Kept) -> dict[str, Tensor]:
        """The parameters and buffers of the network without the other groups.

        Args:
            state: All of the whole network's.
            kept: Which groups stay.
        """
        chosen = dict(state)
        for dim, sides in enumerate((self.rows, self.columns)):
            for name, groups in sides.items():
                tensor = chosen[name]
                if dim == 1 and tensor.shape[1] != len(groups):
                    continue  # a depthwise weight has one column, whatever it reads
                index = torch.as_tensor(np.flatnonzero(_stays(groups, kept)), device=tensor.device)
                chosen[name] = tensor.index_select(dim, index)
        return chosen

    def _sides(self, network: nn.Module) -> dict[str, list[Groups]]:
        """Of each layer that may change, the groups that it reads, if it mixes any, and makes."""
        sides = {name: [groups] for name, groups in self._narrowed.items()}
        for label, groups in self.rows.items():
            name, dot, _ = label.rpartition(".")
            layer, reads = network.get_submodule(name), self.columns.get(label)
            known = isinstance(layer, MIXING) or hasattr(layer, "num_features")
            if (groups != STAY).any() and not (known and self._whole(layer, name + dot)):
                raise UnsupportedError(
                    f"channels of {name!r}, a {type(layer).__name__}, cannot be removed",
                    "train it without pruning",
                )
            if hasattr(layer, "num_features"):
                sides[name] = [groups]
            elif reads is not None:
                sides[name] = [reads, groups]
        return sides

    def _whole(self, layer: nn.Module, prefix: str) -> bool:
        """Whether all that a layer has of each channel was met on the way."""
        own = (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))
        return all(prefix + label in self.rows for label, tensor in own if tensor.dim())


def find_channels(network: nn.Module, input_shape: Sequence[int]) -> Channels:
    """The groups of a network, which is left as it was.

    Args:
        network: Gives logits (batch, classes).
        input_shape: Of one input; channels, height and width of an image.

    Raises:
        UnsupportedError: It does something that no rule is for.
    """
    return Channels(trace(network, input_shape), network)


def _stays(groups: Groups, kept: Kept) -> Kept:
    return np.append(kept, True)[groups]  # -1 is the last


def _smallest(sets: set[frozenset[int]]) -> list[frozenset[int]]:
    """Those that contain no other; a set with a channel that stays is never empty."""
    open_ones = sorted((s for s in sets if STAY not in s), key=lambda s: (len(s), sorted(s)))
    found: list[frozenset[int]] = []
    for candidate in open_ones:
        if not any(other <= candidate for other in found):
            found.append(candidate)
    return found
