"""Exact cost of a DARTS network without building it; no torch here."""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.costs import (
    Cost,
    Size,
    conv,
    factorized_reduce,
    halve,
    hypercomplex,
    linear,
    soft_attention,
)
from search_spaces.darts.plan import CellPlan, is_large, plan_cells
from search_spaces.edges import split_edge
from search_spaces.scale import Skeleton

__all__ = ["network_cost"]


def network_cost(operations: Mapping[str, str], skeleton: Skeleton) -> Cost:
    """Count a ``DartsNetwork``, operations by edge, in evaluation form without auxiliary head."""
    inputs, channels = skeleton.input_shape[0], skeleton.channels
    large = is_large(skeleton.input_shape)
    plans = plan_cells(channels, skeleton.layers, large=large)
    before = last = skeleton.size
    if large:
        half, before, last = (halve(last, times) for times in (1, 2, 3))
        total = conv(inputs, channels // 2, 3, half)
        total += conv(channels // 2, channels, 3, before) + conv(channels, channels, 3, last)
    else:
        total = conv(inputs, plans[0].inputs[1], 3, last)
    for plan in plans:
        total += _cell(plan, operations, last)
        before, last = last, halve(last) if plan.group == "reduce" else last
    return total + linear(plans[-1].outputs, skeleton.num_classes)


def _cell(plan: CellPlan, operations: Mapping[str, str], size: Size) -> Cost:
    """Cost of one cell whose second input has this size; the first is brought to it, too."""
    channels = plan.channels
    reduce = factorized_reduce if plan.halve_first else _project
    total = reduce(plan.inputs[0], channels, size) + _project(plan.inputs[1], channels, size)
    output = halve(size) if plan.group == "reduce" else size
    for name, operation in operations.items():
        group, _, source = split_edge(name)
        if group == plan.group:
            total += _operation(operation, channels, plan.stride(source), output)
    return total


def _project(inputs: int, outputs: int, size: Size) -> Cost:
    return conv(inputs, outputs, 1, size)


def _operation(name: str, channels: int, stride: int, size: Size) -> Cost:
    if name == "skip_connect" and stride == 2:
        return factorized_reduce(channels, channels, size)
    if name == "soft_attention":
        return soft_attention(channels, size)
    kind, _, kernel = name.partition("_conv_")
    if kind.startswith("phc"):
        return hypercomplex(channels, channels, int(kernel[0]), size, int(kind[3:]))
    if kind not in ("sep", "dil") or not kernel:
        return Cost()
    depthwise = conv(channels, channels, int(kernel[0]), size, groups=channels, norm=False)
    return (depthwise + conv(channels, channels, 1, size)) * (2 if kind == "sep" else 1)
