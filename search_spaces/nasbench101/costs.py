"""Exact cost of a NAS-Bench-101 network without building it; no torch here."""

from __future__ import annotations

from typing import Final

from search_spaces.costs import Cost, Size, conv, halve
from search_spaces.nasbench101.cell import Cell
from search_spaces.nasbench101.channels import vertex_channels

__all__ = ["network_cost"]

_STACKS: Final = 3
_KERNELS: Final = {0: 3, 1: 1}


def network_cost(
    cell: Cell,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    channels: int,
    layers: int,
) -> Cost:
    """Count a ``NasBench101Network``.

    Args:
        cell: The cell.
        input_shape: Channels, height, width.
        num_classes: Number of logits.
        channels: Channels of stem and first stack.
        layers: Cells per stack.
    """
    size: Size = (input_shape[1], input_shape[2])
    total = conv(input_shape[0], channels, 3, size)
    inputs = channels
    for stack in range(_STACKS):
        if stack:
            size = halve(size)
            channels *= 2
        total += _cell_cost(cell, inputs, channels, size)
        total += _cell_cost(cell, channels, channels, size) * (layers - 1)
        inputs = channels
    return total + Cost((channels + 1) * num_classes, channels * num_classes)


def _cell_cost(cell: Cell, inputs: int, outputs: int, size: Size) -> Cost:
    last = cell.size - 1
    channels = vertex_channels(cell.matrix, inputs, outputs)
    total = Cost()
    for vertex in range(1, last):
        if cell.matrix[0][vertex]:
            total += conv(inputs, channels[vertex], 1, size)
        kernel = _KERNELS.get(cell.ops[vertex - 1])
        if kernel:
            total += conv(channels[vertex], channels[vertex], kernel, size)
    if cell.matrix[0][last]:
        total += conv(inputs, outputs, 1, size)
    return total
