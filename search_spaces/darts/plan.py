"""Geometry of a DARTS network: channels, strides and stems, as plain data; no torch here."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CELL_NODES",
    "LARGE_INPUT",
    "STEM_MULTIPLIER",
    "CellPlan",
    "auxiliary_cell",
    "is_large",
    "plan_cells",
]

CELL_NODES = 4
"""Intermediate nodes of a cell; its output is their concatenation."""

LARGE_INPUT = 128
"""Images at least this high and wide get the ImageNet stem, which divides the size by 8."""

STEM_MULTIPLIER = 3
"""Channels of the CIFAR stem, in units of the first cell's."""


@dataclass(frozen=True)
class CellPlan:
    """One cell of a network.

    Attributes:
        group: ``normal`` or ``reduce``.
        inputs: Channels of the two input states (output of cell k-2, output of cell k-1).
        channels: Channels of every inner state; the output has four times as many.
        halve_first: Whether the first input has twice the resolution of the second.
    """

    group: str
    inputs: tuple[int, int]
    channels: int
    halve_first: bool

    @property
    def outputs(self) -> int:
        """Channels of the cell's output."""
        return CELL_NODES * self.channels

    def stride(self, source: int) -> int:
        """Stride of the edges that leave a state: 2 from the inputs of a reduction cell."""
        return 2 if self.group == "reduce" and source < 2 else 1


def is_large(input_shape: tuple[int, int, int]) -> bool:
    """Whether an input ``(channels, height, width)`` gets the ImageNet stem."""
    return min(input_shape[1:]) >= LARGE_INPUT


def plan_cells(channels: int, layers: int, *, large: bool) -> tuple[CellPlan, ...]:
    """Lay out the cells: reductions, which double the channels, at ``L // 3`` and ``2 L // 3``.

    Args:
        channels: Channels of the first cell's inner states, at least 2.
        layers: Number of cells, at least 1.
        large: Whether the network has the ImageNet stem (stems of ``channels`` channels at 1/4
            and 1/8 of the size) or the CIFAR stem (3 x ``channels`` at full size).
    """
    before = last = channels if large else STEM_MULTIPLIER * channels
    halve_first = large
    cells = []
    for index in range(layers):
        reduction = index in (layers // 3, 2 * layers // 3)
        channels *= 2 if reduction else 1
        cell = CellPlan("reduce" if reduction else "normal", (before, last), channels, halve_first)
        cells.append(cell)
        before, last, halve_first = last, cell.outputs, reduction
    return tuple(cells)


def auxiliary_cell(layers: int) -> int:
    """Index of the cell whose output feeds the auxiliary head."""
    return 2 * layers // 3
