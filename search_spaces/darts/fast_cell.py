"""One cell of the fast DARTS supernet, for one or several variants at a time."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from search_spaces.darts.leaving import OPERATIONS, plan_leaving
from search_spaces.darts.network import Cell
from search_spaces.fast_nodes import FastNodes
from search_spaces.gains import Gains
from search_spaces.lanes import each
from search_spaces.layers import FactorizedReduce, ReLUConvNorm
from search_spaces.leaving import Leave
from search_spaces.normalise import normalise
from search_spaces.orders import join, mix_channels

__all__ = ["FastCell"]


class FastCell:
    """Runs a cell from the weights of its modules.

    Args:
        cell: The cell.
        partial: K of PC-DARTS, 1 without partial channels.

    Attributes:
        nodes: The cell's nodes.
    """

    def __init__(self, cell: Cell, partial: int) -> None:
        self._cell = cell
        self.nodes = FastNodes(cell.inner, 2, OPERATIONS, plan_leaving, partial)

    def run(
        self, first: Sequence[Tensor], second: Sequence[Tensor], gains: Gains, leave: Leave
    ) -> list[Tensor]:
        """Run the cell.

        Args:
            first: Per lane, ReLU of the output of the cell before the last, ``(N, H, W, C)``.
            second: Per lane, ReLU of the output of the last cell.
            gains: The mixtures.
            leave: How to compute what leaves a state.

        Returns:
            Per lane, the output ``(N, H', W', 4 * C')``.
        """
        inputs = [
            each(lambda x: _preprocess(self._cell.preprocess0, x), first),
            each(lambda x: _preprocess(self._cell.preprocess1, x), second),
        ]
        nodes = self.nodes.run(inputs, gains, leave)
        return each(lambda *states: join(states), *nodes)


def _preprocess(module: nn.Module, active: Tensor) -> Tensor:
    """Run a cell's input layer behind its ReLU, on ``(N, H, W, C)``."""
    if isinstance(module, ReLUConvNorm):
        return normalise(mix_channels(active, module.conv.weight))
    assert isinstance(module, FactorizedReduce)
    height, width = active.shape[1:3]
    if height % 2 or width % 2:
        active = functional.pad(active, (0, 0, 0, width % 2, 0, height % 2))
    even = mix_channels(active[:, ::2, ::2], module.even.weight)
    odd = mix_channels(active[:, 1::2, 1::2], module.odd.weight)
    return normalise(join([even, odd]))
