"""Exact cost of a NAS-Bench-201 network without building it; no torch here."""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.costs import Cost, Size, conv, halve

__all__ = ["network_cost"]

_STAGES = 3
_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


def network_cost(
    operations: Mapping[str, str],
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    channels: int,
    layers: int,
) -> Cost:
    """Count a ``NasBench201Network`` in evaluation form.

    Args:
        operations: Edge name to operation.
        input_shape: Channels, height, width.
        num_classes: Number of logits.
        channels: Channels of the first stage.
        layers: Cells per stage.
    """
    size: Size = (input_shape[1], input_shape[2])
    total = conv(input_shape[0], channels, 3, size)
    for stage in range(_STAGES):
        if stage:
            size = halve(size)
            total += conv(channels, 2 * channels, 3, size)
            total += conv(2 * channels, 2 * channels, 3, size)
            total += conv(channels, 2 * channels, 1, size, norm=False)
            channels *= 2
        for name in operations.values():
            if name in _KERNELS:
                total += conv(channels, channels, _KERNELS[name], size) * layers
    return total + Cost(2 * channels + (channels + 1) * num_classes, channels * num_classes)
