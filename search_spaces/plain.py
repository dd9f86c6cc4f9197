"""The plain supernet of a cell space: its own builder, with a mixture on every edge.

It is the reference that faster layouts are compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from nas.core.errors import SpaceError
from search_spaces.choose import Choose, Mixed, MixedEdge, forget_operations
from search_spaces.edges import Edge
from search_spaces.supernet import Mixture, Supernet

__all__ = ["PlainSupernet", "copy_decided_weights"]


class PlainSupernet(Supernet):
    """A supernet that runs the operations one by one.

    Args:
        build: Makes the network for a ``Choose``: ``space.build`` with everything else given.
        edges: The space's edges.
        partial: K of PC-DARTS; its betas exist where K > 1.

    Attributes:
        network: The network of ``MixedEdge`` modules, without alphas.
    """

    def __init__(
        self, build: Callable[[Choose], nn.Module], edges: Sequence[Edge], *, partial: int = 1
    ) -> None:
        super().__init__(edges, edge_weights=partial > 1)
        choose = Mixed(partial)
        self.network = build(choose)
        self._weights = choose.weights

    def logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Compute logits ``(B, classes)``, operation by operation."""
        self._weights.set(mixture)
        try:
            y: Tensor = self.network(x)
        finally:
            self._weights.set({})  # or the graph of this pass would live on
        return y

    def forget(self, edge: Edge, keep: str | None) -> None:
        """Delete the modules of an edge's operations in every cell, except those to keep."""
        forget_operations(self.network, edge, keep)


@torch.no_grad()
def copy_decided_weights(
    supernet: PlainSupernet, network: nn.Module, operations: Mapping[str, str]
) -> None:
    """Give a discrete network the weights that its operations have in a supernet.

    Args:
        supernet: The source; it may still hold other operations.
        network: Made by the same builder at the same scale from
            ``Fixed(operations, search=True)``.
        operations: Edge name to operation, as given to ``Fixed``.

    Raises:
        SpaceError: A weight has no counterpart: another scale or form, partial channels, or an
            operation that the supernet has given up.
    """
    source = supernet.network.state_dict()
    modules = supernet.network.named_modules()
    mixed = {path: m.edge.name for path, m in modules if isinstance(m, MixedEdge)}
    for key, target in network.state_dict().items():
        path = next((path for path in mixed if key.startswith(path + ".")), None)
        origin = key
        if path is not None:
            origin = f"{path}.operations.{operations.get(mixed[path])}{key.removeprefix(path)}"
        if origin not in source or source[origin].shape != target.shape:
            raise SpaceError(
                f"the supernet has no weight of the shape of {key!r}",
                "build the network in search form, at the supernet's scale, from its decisions",
            )
        target.copy_(source[origin])
