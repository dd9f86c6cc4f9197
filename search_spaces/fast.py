"""What the fast supernets have in common.

They hold the same modules as the plain supernet, under the same names, and use them as storage for
weights.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import final

from torch import Tensor, nn

from search_spaces.choose import Choose, Mixed, forget_operations
from search_spaces.edges import Edge
from search_spaces.fast_nodes import FastNodes
from search_spaces.supernet import Forward, Mixture, Supernet

__all__ = ["FastSupernet"]


class FastSupernet(Supernet):
    """A supernet that computes the same as the plain one, faster.

    Gradients are those of the plain supernet, to any order.

    A given mixture that requires no gradient has the operations whose weight is zero skipped (on
    CPUs; on a GPU it would need a look at the values): their weights then get no gradient at all
    where the plain supernet gives zeros.

    Args:
        build: Makes the network for a ``Choose``: ``space.build`` with everything else given.
        edges: The space's edges.
        partial: K of PC-DARTS; its betas exist where K > 1.

    Attributes:
        network: The network whose weights are used; state dicts equal those of the plain
            supernet.
    """

    network: nn.Module

    def __init__(
        self, build: Callable[[Choose], nn.Module], edges: Sequence[Edge], *, partial: int = 1
    ) -> None:
        super().__init__(edges, edge_weights=partial > 1)
        self.network = build(Mixed(partial))

    @final
    def logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Compute logits ``(B, classes)`` of images ``(B, C, H, W)`` under a mixture."""
        return self._lanes(x, [mixture])[0]

    @final
    def forget(self, edge: Edge, keep: str | None) -> None:
        """Free the weights of an edge's operations, except the one to keep, if any."""
        forget_operations(self.network, edge, keep)
        for nodes in self._nodes_of_cells():
            nodes.refresh()

    def _compare(
        self, x: Tensor, variants: Mapping[str, Mixture], forward: Forward | None
    ) -> dict[str, Tensor]:
        if forward is not None or not variants:
            return super()._compare(x, variants, forward)
        with self.replayed_randomness(x.device):
            return dict(zip(variants, self._lanes(x, list(variants.values())), strict=True))

    # -- what a layout provides -------------------------------------------------------------

    @abstractmethod
    def _lanes(self, x: Tensor, mixtures: Sequence[Mixture]) -> list[Tensor]:
        """Compute logits under several mixtures, what they share once."""

    @abstractmethod
    def _nodes_of_cells(self) -> Iterable[FastNodes]:
        """The nodes of every cell."""
