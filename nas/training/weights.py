"""Trained weights as safetensors files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import safetensors.torch
from torch import nn

from nas.core.errors import DataError, ExportError
from nas.layers.adapt import adapt_like, adaptations, read_adaptations
from nas.training.files import write_atomically

_ADAPTED: Final = "adaptations"
"""Of an adapted network's file the one entry of its metadata, which holds all others, too."""


def save_weights(network: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write all parameters and buffers of `network` to `path`, whole or not at all.

    What the network was adapted by (see `nas.layers.adapt`) is written with them.

    Args:
        network: The network.
        path: A file in an existing folder, by custom `*.safetensors`.
        metadata: Text to keep with them, e.g. the architecture's id.

    Raises:
        ExportError: The file could not be written.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in network.state_dict().items()
    }
    kept = dict(metadata or {})
    if adaptations(network):
        # One entry: the library writes several in any order, and equal networks have equal files.
        kept = {_ADAPTED: json.dumps({**kept, _ADAPTED: adaptations(network)}, sort_keys=True)}
    try:
        write_atomically(
            path, lambda name: safetensors.torch.save_file(tensors, name, kept or None)
        )
    except (OSError, safetensors.SafetensorError) as error:
        raise ExportError(f"{str(path)!r} cannot be written: {error}", "is there room?") from error


def load_weights(network: nn.Module, path: Path) -> None:
    """Give `network` the weights in `path`, adapted as the network was that they are of.

    Raises:
        DataError: The file is missing or damaged, or belongs to another network.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            kept = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise DataError(f"{str(path)!r} does not exist", "check the path") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"{str(path)!r} is no weights file: {error}", "write it again") from error
    if _ADAPTED in kept:
        adapt_like(network, read_adaptations(kept[_ADAPTED], _ADAPTED))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise DataError(
            f"{str(path)!r} belongs to another network: {reason}", "build the one it was saved from"
        ) from None
