"""Channels of a NAS-Bench-101 network, and of each vertex of its cells; no torch here."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["STACKS", "vertex_channels"]

STACKS = 3
"""Stacks of equal resolution; each has twice the channels of the one before."""


def vertex_channels(matrix: Sequence[Sequence[int]], inputs: int, outputs: int) -> list[int]:
    """Channels of every vertex (Ying et al. 2019, supplement S2).

    The vertices that enter the output share its channels evenly, the first ones one more where
    that does not divide; every other vertex has the most of those that read it, who take as many
    as they need from its first ones.

    Args:
        matrix: Upper-triangular adjacency of a pruned cell.
        inputs: Channels of the cell's input.
        outputs: Channels of its output, at least as many as vertices enter it.
    """
    last = len(matrix) - 1
    channels = [inputs, *[0] * (last - 1), outputs]
    entering = [v for v in range(1, last) if matrix[v][last]]
    for place, vertex in enumerate(entering):
        channels[vertex] = outputs // len(entering) + (place < outputs % len(entering))
    for vertex in range(last - 1, 0, -1):
        if not matrix[vertex][last]:
            readers = (channels[v] for v in range(vertex + 1, last) if matrix[vertex][v])
            channels[vertex] = max(readers)
    return channels
