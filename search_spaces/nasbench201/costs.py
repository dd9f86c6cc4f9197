"""Exact cost of a NAS-Bench-201 network without building it; no torch here."""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.costs import Cost, conv, halve, linear
from search_spaces.nasbench201.plan import STAGES
from search_spaces.scale import Skeleton

__all__ = ["network_cost"]

_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


def network_cost(operations: Mapping[str, str], skeleton: Skeleton) -> Cost:
    """Count a ``NasBench201Network`` in evaluation form without auxiliary head."""
    size, channels = skeleton.size, skeleton.channels
    total = conv(skeleton.input_shape[0], channels, 3, size)
    for stage in range(STAGES):
        if stage:
            size = halve(size)
            total += conv(channels, 2 * channels, 3, size)
            total += conv(2 * channels, 2 * channels, 3, size)
            total += conv(channels, 2 * channels, 1, size, norm=False)
            channels *= 2
        for name in operations.values():
            if name in _KERNELS:
                total += conv(channels, channels, _KERNELS[name], size) * skeleton.layers
    return total + Cost(2 * channels) + linear(channels, skeleton.num_classes)
