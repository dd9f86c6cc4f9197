"""The plain supernet of a cell space: its own builder, with a mixture on every edge.

It is the reference that faster layouts are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nas.core.errors import SpaceError
from search_spaces.choose import MixedEdge, Row
from search_spaces.edges import Edge
from search_spaces.supernet import EDGES, Mixture, Supernet

__all__ = ["CellWeights", "PlainSupernet", "copy_decided_weights"]


class CellWeights:
    """A mixture taken apart into scalars, once per forward pass."""

    def __init__(self, mixture: Mixture) -> None:
        self._rows: dict[str, list[Row]] = {}
        self._edges: dict[str, Row] = {}
        for name, table in mixture.items():
            if name.endswith(EDGES):
                self._edges[name.removesuffix(EDGES)] = table.unbind()
            else:
                self._rows[name] = [row.unbind() for row in table.unbind()]

    def apply(self, module: nn.Module, edge: Edge, x: Tensor) -> Tensor:
        """Run a mixed edge on its source state ``(B, C, H, W)``."""
        y: Tensor = module(x, self._rows[edge.group][edge.row])
        weights = self._edges.get(edge.group)
        return y if weights is None else weights[edge.row] * y


class PlainSupernet(Supernet):
    """A supernet that runs the operations one by one.

    Args:
        network: What the space's builder made with ``Mixed``.
        edges: The space's edges.
        edge_weights: Whether to learn betas (PC-DARTS).

    Attributes:
        network: The network of ``MixedEdge`` modules, without alphas.
    """

    def __init__(
        self, network: nn.Module, edges: Sequence[Edge], *, edge_weights: bool = False
    ) -> None:
        super().__init__(edges, edge_weights=edge_weights)
        self.network = network

    def logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        y: Tensor = self.network(x, mixture)
        return y

    def forget(self, edge: Edge, keep: str | None) -> None:
        for module in self._mixed(edge.name):
            module.forget(keep)

    def _mixed(self, edge: str) -> list[MixedEdge]:
        modules = (m for m in self.network.modules() if isinstance(m, MixedEdge))
        return [module for module in modules if module.edge.name == edge]


@torch.no_grad()
def copy_decided_weights(
    supernet: PlainSupernet, network: nn.Module, operations: Mapping[str, str]
) -> None:
    """Give a discrete network the weights that its operations have in a supernet.

    Args:
        supernet: The source; it may still hold other operations.
        network: Made by the same builder at the same scale with ``Fixed(operations, SEARCH)``.
        operations: Edge name to operation, as given to ``Fixed``.

    Raises:
        SpaceError: A weight has no counterpart: another scale or form, partial channels, or an
            operation that the supernet has given up.
    """
    source = supernet.network.state_dict()
    names = dict(_edge_paths(supernet.network))
    for key, target in network.state_dict().items():
        path = next((path for path in names if key.startswith(path + ".")), None)
        origin = key
        if path is not None:
            operation = operations.get(names[path].name)
            origin = f"{path}.operations.{operation}{key.removeprefix(path)}"
        if origin not in source or source[origin].shape != target.shape:
            raise SpaceError(
                f"the supernet has no weight of the shape of {key!r}",
                "build the network in search form, at the supernet's scale, from its decisions",
            )
        target.copy_(source[origin])


def _edge_paths(network: nn.Module) -> list[tuple[str, Edge]]:
    modules = network.named_modules()
    return [(path, module.edge) for path, module in modules if isinstance(module, MixedEdge)]
