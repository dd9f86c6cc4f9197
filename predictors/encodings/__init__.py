"""Encodings: architectures as vectors of fixed length, computed once per process.

``encoder(space, "onehot+features")`` gives the encoder of a space; ``+`` joins encodings.
"""

from __future__ import annotations

from nas.core.registry import Registry
from nas.core.space import Space
from predictors.encodings.base import Encoder, Encoding, make_encoder

__all__ = ["ENCODINGS", "Encoder", "Encoding", "encoder"]

ENCODINGS: Registry[type[Encoding]] = Registry("encoding", "nas.encodings")
"""All encodings; ``@ENCODINGS.register(name)`` adds one."""

_TABLE = {
    "onehot": ("plain:OneHot", "the choices themselves, one-hot, of the canonical member"),
    "path": ("paths:Paths", "which short sequences of operations lead from input to output"),
    "adjacency": ("plain:Adjacency", "adjacency matrix and operations in topological order"),
    "features": ("features:Features", "counts, path lengths, degrees, size of the network"),
}

for _name, (_target, _summary) in _TABLE.items():
    ENCODINGS.add(_name, f"predictors.encodings.{_target}", _summary)


def encoder(space: Space, names: str) -> Encoder:
    """The encoder of a space; the same one, with all it has encoded, whenever it is asked for.

    Args:
        space: The space. Spaces of the same class, name and choices share an encoder.
        names: Names of encodings, joined by ``+``.

    Raises:
        PluginError: An encoding is unknown.
    """
    kinds = tuple(ENCODINGS.get(name.strip()) for name in names.split("+"))
    return make_encoder(space, kinds)
