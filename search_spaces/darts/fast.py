"""The fast supernet of the DARTS spaces.

It holds the same modules as the plain supernet, under the same names, and uses them as storage for
weights: everything that leaves a state is computed together (see ``tuned`` and ``merged``).
Tensors between cells are ``(N, H, W, C)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import SpaceError
from search_spaces.choose import Choose, Mixed, MixedEdge
from search_spaces.darts.fast_cell import FastCell
from search_spaces.darts.merged import leave_merged
from search_spaces.darts.network import Cell, DartsNetwork
from search_spaces.darts.tuned import leave_tuned
from search_spaces.edges import Edge
from search_spaces.gains import Gains
from search_spaces.lanes import each
from search_spaces.orders import planes
from search_spaces.supernet import Forward, Mixture, Supernet

__all__ = ["LAYOUTS", "FastDartsSupernet"]

LAYOUTS = ("auto", "tuned", "merged")


class FastDartsSupernet(Supernet):
    """A supernet of a DARTS space that computes the same as the plain one, faster.

    Gradients are those of the plain supernet, to any order. Differentiating the alphas alone,
    ``torch.autograd.grad(loss, alphas)``, is cheapest inside ``alphas_only()``.

    A given mixture that requires no gradient has the operations whose weight is zero skipped (on
    CPUs; on a GPU it would need a look at the values): their weights then get no gradient at all
    where the plain supernet gives zeros.

    Args:
        build: Makes the network for a ``Choose``: ``space.build`` with everything else given.
        edges: The space's edges.
        partial: K of PC-DARTS; its betas exist where K > 1.
        layout: ``tuned`` for CPUs, ``merged`` for GPUs, ``auto`` for what the input is on.

    Attributes:
        network: The network whose weights are used; state dicts equal those of the plain
            supernet.
    """

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
        super().__init__(edges, edge_weights=partial > 1)
        network = build(Mixed(partial))
        assert isinstance(network, DartsNetwork)
        self.network = network
        self.layout = layout
        self._fast_cells = [FastCell(cell, partial) for cell in _cells(network)]

    def logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Compute logits ``(B, classes)`` of images ``(B, C, H, W)`` under a mixture."""
        return self._lanes(x, [mixture])[0]

    def forget(self, edge: Edge, keep: str | None) -> None:
        """Free the weights of an edge's operations, except the one to keep, if any."""
        for module in self.network.modules():
            if isinstance(module, MixedEdge) and module.edge == edge:
                module.forget(keep)
        for cell in self._fast_cells:
            cell.nodes.refresh()

    def _compare(
        self, x: Tensor, variants: Mapping[str, Mixture], forward: Forward | None
    ) -> dict[str, Tensor]:
        if forward is not None or not variants:
            return super()._compare(x, variants, forward)
        with self.replayed_randomness(x.device):
            return dict(zip(variants, self._lanes(x, list(variants.values())), strict=True))

    def _lanes(self, x: Tensor, mixtures: Sequence[Mixture]) -> list[Tensor]:
        """Compute logits under several mixtures, what they share once."""
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
