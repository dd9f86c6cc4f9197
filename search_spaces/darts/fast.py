"""The fast supernet of the DARTS spaces.

Everything that leaves a state is computed together (see ``tuned`` and ``merged``). Tensors between
cells are ``(N, H, W, C)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import SpaceError
from search_spaces.choose import Choose
from search_spaces.darts.fast_cell import FastCell
from search_spaces.darts.merged import leave_merged
from search_spaces.darts.network import Cell, DartsNetwork
from search_spaces.darts.tuned import leave_tuned
from search_spaces.edges import Edge
from search_spaces.fast import FastSupernet
from search_spaces.fast_nodes import FastNodes
from search_spaces.gains import Gains
from search_spaces.lanes import each
from search_spaces.orders import planes
from search_spaces.supernet import Mixture

__all__ = ["LAYOUTS", "FastDartsSupernet"]

LAYOUTS = ("auto", "tuned", "merged")


class FastDartsSupernet(FastSupernet):
    """The fast supernet of a DARTS space.

    Differentiating the alphas alone, ``torch.autograd.grad(loss, alphas)``, is cheapest inside
    ``alphas_only()``.

    Args:
        build: Makes the network for a ``Choose``: ``space.build`` with everything else given.
        edges: The space's edges.
        partial: K of PC-DARTS; its betas exist where K > 1.
        layout: ``tuned`` for CPUs, ``merged`` for GPUs, ``auto`` for what the input is on.

    Raises:
        SpaceError: There is no such layout.
    """

    network: DartsNetwork

    def __init__(
        self,
        build: Callable[[Choose], nn.Module],
        edges: Sequence[Edge],
        *,
        partial: int = 1,
        layout: str = "auto",
    ) -> None:
        if layout not in LAYOUTS:
            raise SpaceError(f"unknown layout {layout!r}", f"expected one of {', '.join(LAYOUTS)}")
        super().__init__(build, edges, partial=partial)
        self.layout = layout
        self._fast_cells = [FastCell(cell, partial) for cell in _cells(self.network)]

    def _nodes_of_cells(self) -> list[FastNodes]:
        return [cell.nodes for cell in self._fast_cells]

    def _lanes(self, x: Tensor, mixtures: Sequence[Mixture]) -> list[Tensor]:
        gains = Gains(mixtures)
        merged = self.layout == "merged" or (self.layout == "auto" and x.is_cuda)
        leave = leave_merged if merged else leave_tuned
        stems = [state.permute(0, 2, 3, 1) for state in self.network.stem(x)]
        if merged:
            stems = [planes(state).permute(0, 2, 3, 1) for state in stems]
        else:
            stems = [state.contiguous() for state in stems]
        before, last = ([functional.relu(state)] * len(mixtures) for state in stems)
        for cell in self._fast_cells:
            outputs = cell.run(before, last, gains, leave)
            before, last = last, each(functional.relu, outputs)
        return each(self._classify, outputs)

    def _classify(self, output: Tensor) -> Tensor:
        logits: Tensor = self.network.classifier(output.mean((1, 2)))
        return logits


def _cells(network: DartsNetwork) -> Iterator[Cell]:
    for cell in network.cells:
        assert isinstance(cell, Cell)
        yield cell
