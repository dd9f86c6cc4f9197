"""Weights of few bits after training: rounded to the nearest point of a grid, or as it is learnt.

Each output (a row of the weights) has a grid of its own, symmetric: a step times the whole numbers
from -2^(bits - 1) to 2^(bits - 1) - 1. FlexRound (Lee et al., ICML 2023) divides each weight by
learnt factors before it is rounded, so that the layer gives what it gave before on some images.
Biases, normalisations and what flows between layers keep their precision.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.layers.order import weighted_layers

__all__ = ["Divided", "Reconstruction", "flexround", "grid", "nearest", "quantize"]

CLIPS: Final = 80
"""Steps of a grid that are tried."""

PIXELS: Final = 1 << 23
"""Numbers that patches of images may take at a time."""

TINY: Final = 1e-12

_KINDS: Final = (nn.Conv2d, nn.Linear)


class _Reached(Exception):  # noqa: N818 - no mistake: the rest of the network need not run
    """The layer was applied."""


def nearest(weight: Tensor, bits: int) -> Tensor:
    """Weights rounded to the nearest point of their row's grid, of the same shape.

    Args:
        weight: (outputs, ...).
        bits: 2 to 8.
    """
    rows = weight.flatten(1)
    found: Tensor = _rounded(rows, grid(rows, bits), bits).view_as(weight)
    return found


def grid(rows: Tensor, bits: int) -> Tensor:
    """Step (outputs, 1) of each row's grid: the one with the least squared error of 80.

    Args:
        rows: (outputs, weights).
        bits: 2 to 8.
    """
    # The largest one still has the largest weight on the grid, on its shorter side.
    largest: Tensor = rows.abs().amax(1, keepdim=True).clamp_min(TINY) / (2 ** (bits - 1) - 1)
    best, least = largest, torch.full_like(largest, torch.inf)
    for number in range(CLIPS, 0, -1):
        step = largest * (number / CLIPS)
        error = (_rounded(rows, step, bits) - rows).square().sum(1, keepdim=True)
        best, least = torch.where(error < least, step, best), torch.minimum(error, least)
    return best


def _rounded(rows: Tensor, step: Tensor, bits: int, divisor: Tensor | None = None) -> Tensor:
    scaled = rows / (step if divisor is None else divisor)
    whole = scaled.round().detach() + (scaled - scaled.detach())  # the gradient passes straight on
    clipped: Tensor = whole.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return step * clipped


class Divided(nn.Module):
    """What FlexRound learns of a layer, in logarithms that are all zero at first.

    Weights become step * clip(round(weight / (step * each * row * column))).

    Args:
        weight: (outputs, inputs a group, ...).
        bits: 2 to 8.
    """

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__()
        self._rows, self._bits = weight.flatten(1), bits
        self._grid = grid(self._rows, bits)
        self.step = nn.Parameter(torch.zeros_like(self._grid))
        self.each = nn.Parameter(torch.zeros_like(self._rows))
        self.row = nn.Parameter(torch.zeros_like(self._grid))
        # One for each input of a convolution; of a linear layer that would be another `each`.
        inputs = weight.shape[1] if weight.ndim > 2 else 1
        self.column = nn.Parameter(weight.new_zeros((inputs, 1)), requires_grad=weight.ndim > 2)

    def forward(self) -> Tensor:
        """The rounded weights (outputs, weights)."""
        kernel = self._rows.shape[1] // len(self.column)
        columns = self.column.expand(-1, kernel).reshape(1, -1)
        divisor = self._grid * (self.step + self.each + self.row + columns).exp()
        return _rounded(self._rows, self._grid * self.step.exp(), self._bits, divisor)


class Reconstruction:
    """Squared error of a layer's outputs with other weights, on all images at once.

    The outputs are linear in the weights, so second moments of what the layer reads are all that
    counts: with D the change of the weights, x what is read now and r what the old weights lack of
    the output that was when they read it, the error is E|D x - r|^2, the trace of
    D E[x x'] D' - 2 D E[x r'] and something that no weight changes. All images are seen before the
    error is asked for.

    Args:
        layer: A two-dimensional convolution or a linear layer.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        self._layer = layer
        self._groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
        groups, weight = self._groups, layer.weight
        reads = weight[0].numel()
        self._second = weight.new_zeros((groups, reads, reads))
        self._cross = weight.new_zeros((groups, reads, len(weight) // groups))
        self._old = weight.detach().flatten(1)

    @torch.no_grad()
    def see(self, now: Tensor, was: Tensor) -> None:
        """Take in some images.

        Args:
            now: What the layer reads, of the network whose earlier layers are rounded.
            was: What it gave in the network that was.
        """
        lack = was - self._layer(now)
        each = max(1, PIXELS // max(1, lack[0, :1].numel() * self._old.shape[1] * self._groups))
        for start in range(0, len(now), each):
            patches = self._patches(now[start : start + each])
            self._second += patches @ patches.mT
            self._cross += patches @ self._by_group(lack[start : start + each]).mT

    def _by_group(self, outputs: Tensor) -> Tensor:
        """(images, outputs, ...) as (groups, outputs a group, positions)."""
        if isinstance(self._layer, nn.Linear):
            return outputs.reshape(1, -1, outputs.shape[-1]).mT
        images, channels = outputs.shape[:2]
        parts = outputs.reshape(images, self._groups, channels // self._groups, -1)
        return parts.permute(1, 2, 0, 3).flatten(2)

    def _patches(self, inputs: Tensor) -> Tensor:
        """What each output reads, (groups, weights, positions)."""
        layer = self._layer
        if isinstance(layer, nn.Linear):
            return self._by_group(inputs)
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padded = functional.pad(inputs, _padding(layer), mode)
        kernel: Any = layer.kernel_size
        dilation: Any = layer.dilation
        stride: Any = layer.stride
        return self._by_group(functional.unfold(padded, kernel, dilation, 0, stride))

    @cached_property
    def _unit(self) -> Tensor:
        """Squared length of what the old weights give."""
        return self._squares(self._old).clamp_min(TINY)

    def error(self, weights: Tensor) -> Tensor:
        """The error of weights (outputs, weights) as a share of the outputs, less that of the old.

        The scalar is negative where they make up for what earlier layers have lost.
        """
        change = weights - self._old
        crossed = (change.view(self._groups, -1, change.shape[1]) * self._cross.mT).sum()
        return (self._squares(change) - 2 * crossed) / self._unit

    def _squares(self, change: Tensor) -> Tensor:
        parts = change.view(self._groups, -1, change.shape[1])
        return ((parts @ self._second) * parts).sum()


def _padding(layer: nn.Conv2d) -> list[int]:
    """Pixels before and after, the last axis first, as `pad` takes them."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    found = []
    for axis in (1, 0):
        if layer.padding == "same":
            both = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            found += [both // 2, both - both // 2]
        else:
            found += [int(layer.padding[axis])] * 2
    return found


def flexround(
    weight: Tensor, bits: int, error: Callable[[Tensor], Tensor], steps: int, learning_rate: float
) -> Tensor:
    """Weights of a layer on their grids, of the same shape; those of the least error on the way.

    Never worse than the first ones, which are rounded to nearest.

    Args:
        weight: (outputs, inputs a group, ...).
        bits: 2 to 8.
        error: Of weights (outputs, weights), a scalar.
        steps: Of Adam; a cosine takes its rate to 0.
        learning_rate: Of Adam, in logarithms of divisors.
    """
    learnt = Divided(weight.detach(), bits)
    optimizer = torch.optim.Adam([p for p in learnt.parameters() if p.requires_grad], learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, least = learnt().detach(), weight.new_full((), torch.inf)
    with torch.enable_grad():
        for _ in range(steps + 1):
            rounded = learnt()
            loss = error(rounded)
            better = loss.detach() < least  # a tensor: the host does not wait
            best = torch.where(better, rounded.detach(), best)
            least = torch.where(better, loss.detach(), least)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    found: Tensor = best.view_as(weight)
    return found


@torch.no_grad()
def quantize(
    network: nn.Module,
    batches: Sequence[Tensor],
    bits: int,
    *,
    ends: int | None = None,
    learn: tuple[int, float] | None = (200, 0.01),
) -> list[str]:
    """Round the weights of all two-dimensional convolutions and linear layers, in place.

    FlexRound goes through the layers in the order they are applied in; each reads what the ones
    before give that are rounded already. Layers that no image reaches in evaluation are rounded to
    nearest.

    Args:
        network: Any module with plain weights; left in evaluation mode.
        batches: Images that outputs are compared on, (batch, channels, height, width) each.
        bits: 2 to 8.
        ends: Bits of the first and the last layer instead; None for the same.
        learn: Steps and rate of FlexRound, None to round all to nearest.

    Returns:
        Names of the layers, those that images pass first and in order.
    """
    network.eval()
    calls = weighted_layers(network, batches[0])
    names = list(calls)
    modules = dict(network.named_modules())
    names += [n for n, m in modules.items() if isinstance(m, _KINDS) and n not in calls]
    outer = {names[0], list(calls)[-1]} if calls else set()
    was = copy.deepcopy(network)
    originals = dict(was.named_modules())
    for name in names:
        layer, own = modules[name], bits if ends is None or name not in outer else ends
        assert isinstance(layer, _KINDS)
        if learn is None or name not in calls:
            layer.weight.copy_(nearest(layer.weight, own))
            continue
        seen = Reconstruction(layer)
        for images in batches:
            before = _at(was, originals[name], images, calls[name])
            after = _at(network, layer, images, calls[name])
            for (_, output), (inputs, _) in zip(before, after, strict=True):
                seen.see(inputs, output)
        layer.weight.copy_(flexround(layer.weight, own, seen.error, *learn))
    return names


def _at(
    network: nn.Module, layer: nn.Module, images: Tensor, calls: int
) -> list[tuple[Tensor, Tensor]]:
    """What a layer reads and gives, each time it is applied."""
    found: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Where it comes back, operations in place may change what it has given.
        found.append((inputs[0], output.clone() if calls > 1 else output))
        if len(found) == calls:
            raise _Reached

    handle = layer.register_forward_hook(keep)
    try:
        network(images)
    except _Reached:
        pass
    finally:
        handle.remove()
    return found
