"""Exact cost of a NAS-Bench-101 network without building it; no torch here."""

from __future__ import annotations

from typing import Final

from search_spaces.costs import Cost, Size, conv, halve, linear
from search_spaces.nasbench101.cell import Cell
from search_spaces.nasbench101.channels import STACKS, vertex_channels
from search_spaces.scale import Skeleton

__all__ = ["network_cost"]

_KERNELS: Final = {0: 3, 1: 1}


def network_cost(cell: Cell, skeleton: Skeleton) -> Cost:
    """Count a ``NasBench101Network``."""
    size, channels = skeleton.size, skeleton.channels
    total = conv(skeleton.input_shape[0], channels, 3, size)
    inputs = channels
    for stack in range(STACKS):
        if stack:
            size = halve(size)
            channels *= 2
        total += _cell_cost(cell, inputs, channels, size)
        total += _cell_cost(cell, channels, channels, size) * (skeleton.layers - 1)
        inputs = channels
    return total + linear(channels, skeleton.num_classes)


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
