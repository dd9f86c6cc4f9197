"""What leaves a state, tuned for CPUs: one node of the graph with a derivative of its own.

The same function as ``leave_merged`` (which it falls back on for second derivatives), with

- the last pointwise convolution, its batch normalisation and the mixture weight folded into one
  affine map, so that no operation's output is ever stored (see ``fastops.fold``);
- dilated depthwise convolutions as ordinary ones on the four parity grids;
- quick kernels for the weight gradient of 5x5 depthwise convolutions;
- pools and identity, which all edges share, mixed by one small matrix product;
- on small feature maps, 3x3 kernels embedded in 5x5 ones: half as many calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces import fastops
from search_spaces.darts.leaving import Convolution, Leaving
from search_spaces.darts.merged import leave_merged
from search_spaces.darts.tuned_backward import Backward
from search_spaces.darts.tuned_state import Branch, Shared, Sources, State, blocks, is_phased
from search_spaces.fastops import Fold
from search_spaces.layers import average_pool
from search_spaces.normalise import centre_, normalise_

__all__ = ["leave_tuned"]

_SMALL = 1 << 15
"""Up to this many numbers in a state, calls cost more than arithmetic."""


def leave_tuned(h: Tensor, gains: Tensor, spec: Leaving, weights: Sequence[Tensor]) -> Tensor:
    """Map a state ``(N, H, W, C)`` to contributions ``(E, N, H', W', C)``.

    For the arguments see `search_spaces.leaving.Leave`.
    """
    if not torch.is_grad_enabled():
        with torch.autocast("cpu", enabled=False):
            return _forward(h.to(gains.dtype), gains, spec, weights)[0]
    result: Tensor = _Leave.apply(h, gains, spec, *weights)  # type: ignore[no-untyped-call]
    return result


class _Leave(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, h: Tensor, gains: Tensor, spec: Leaving, *weights: Tensor) -> Tensor:
        h = h.contiguous()
        output, state = _forward(h, gains, spec, weights)
        tensors: list[Tensor] = [h, gains, *weights]
        ctx.given = len(tensors)
        ctx.layout = _strip(state, tensors)
        ctx.spec = spec
        ctx.save_for_backward(*tensors)
        return output

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        h, gains, *weights = saved[: ctx.given]
        if torch.is_grad_enabled():  # asked for a graph of the derivative
            return _differentiable(ctx, h, gains, weights, gradients[0])
        state = _restore(ctx.layout, iter(saved[ctx.given :]))
        needs = (ctx.needs_input_grad[0], any(ctx.needs_input_grad[3:]))
        work = Backward(h, ctx.spec, state, gradients[0], needs)
        return (work.input, work.gains, None, *work.weights)


def _differentiable(
    ctx: Any, h: Tensor, gains: Tensor, weights: Sequence[Tensor], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    # Aliases of this call alone: `gains` shares its graph node with those of other states, and
    # autograd would take every path to that node for needed, upstream states and all.
    inputs = [x.view_as(x) if x.requires_grad else x for x in (h, gains, *weights)]
    output = leave_merged(inputs[0], inputs[1], ctx.spec, inputs[2:])
    used = [x for x in inputs if x.requires_grad]
    found = iter(torch.autograd.grad(output, used, gradient, create_graph=True, allow_unused=True))
    result = [next(found) if x.requires_grad else None for x in inputs]
    return (*result[:2], None, *result[2:])


def _strip(tree: Any, tensors: list[Tensor]) -> Any:
    """Replace the tensors in nested tuples by places, collecting them."""
    if isinstance(tree, Tensor):
        tensors.append(tree)
        return ...
    if not isinstance(tree, tuple):
        return tree
    parts = [_strip(part, tensors) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def _restore(tree: Any, tensors: Iterator[Tensor]) -> Any:
    if tree is ...:
        return next(tensors)
    if not isinstance(tree, tuple):
        return tree
    parts = [_restore(part, tensors) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def _forward(
    h: Tensor, gains: Tensor, spec: Leaving, weights: Sequence[Tensor]
) -> tuple[Tensor, State]:
    x = h.contiguous().permute(0, 3, 1, 2)
    batch, channels, *sides = x.shape
    size = (batch, *(-(-side // spec.stride) for side in sides))
    active = functional.relu(x)
    convolutions = sum(len(kind.edges) for kind in spec.convolutions)
    shared = _share(x, gains[convolutions:], spec)
    if shared is None:
        output = x.new_zeros(spec.edges, size[0] * size[1] * size[2], channels)
    else:
        output = torch.mm(shared.coefficients, shared.values)
        output = output.view(spec.edges, -1, channels)
    branches: tuple[Branch, ...] = ()
    inner = outer = None
    if spec.convolutions:
        branches, first, last = _stack(spec, weights, small=x.numel() <= _SMALL)
        branches, inner = _convolve(Sources(active, spec.stride), branches, first)
        outer = _fold(branches, -1, last, gains[:convolutions])
        _mix(output, branches, outer, size, spec)
    grids = reduce = None
    if spec.skip and spec.stride > 1:
        used = sum(kind.parts * len(kind.edges) for kind in spec.convolutions)
        grids = _grids(active)
        reduce = _fold_reduce(grids, weights[used:], gains[len(gains) - len(spec.skip) :])
        for edge, matrix in zip(spec.skip, reduce.matrix, strict=True):
            output[edge].addmm_(grids, matrix.t())
    state = State(shared, branches, inner, outer, grids, reduce)
    return output.view(spec.edges, *size, channels), state


def _stack(
    spec: Leaving, weights: Sequence[Tensor], *, small: bool
) -> tuple[tuple[Branch, ...], list[Tensor], list[Tensor]]:
    """Merge the weights of each branch over its edges.

    Returns:
        Branches with nothing but depthwise weights yet; the first pointwise weights of all
        separable convolutions; the last pointwise weights of all convolutions.
    """
    first: list[Tensor] = []
    last: list[Tensor] = []
    branches = []
    used = 0
    groups = groupby(spec.convolutions, lambda kind: (kind.twice, small or kind.kernel))
    for (twice, _), group in groups:
        kinds = tuple(group)
        kernel = max(kind.kernel for kind in kinds)
        depthwise: list[list[Tensor]] = [[], []] if twice else [[]]
        for kind in kinds:
            edges = len(kind.edges)
            parts = [weights[used + i * edges : used + (i + 1) * edges] for i in range(kind.parts)]
            used += kind.parts * edges
            for merged, part in zip(depthwise, parts[::2], strict=True):
                whole = torch.cat(list(part))
                rim = (kernel - kind.kernel) // 2
                merged.append(functional.pad(whole, [rim] * 4) if rim else whole)
            last += parts[-1]
            if twice:
                first += parts[1]
        merged_parts = tuple(d[0] if len(d) == 1 else torch.cat(d) for d in depthwise)
        branches.append(Branch(kinds, merged_parts, (), None))
    return tuple(branches), first, last


def _share(x: Tensor, gains: Tensor, spec: Leaving) -> Shared | None:
    members = spec.shared
    if not members:
        return None
    values = []
    indices = None
    if spec.max_pool:
        y, indices = torch.ops.aten.max_pool2d_with_indices(x, [3, 3], [spec.stride] * 2, [1, 1])
        values.append(y)
    if spec.avg_pool:
        values.append(average_pool(x, spec.stride))
    normalised = len(values)
    if len(members) > normalised:
        values.append(x)
    table = torch.stack([y.permute(0, 2, 3, 1) for y in values])
    scales = normalise_(table[:normalised].flatten(1, 3)) if normalised else x.new_empty(0)
    if all(len(edges) == spec.edges for edges in members):
        coefficients = gains[: spec.edges * len(members)].view(len(members), -1).t()
    else:
        coefficients = x.new_zeros(spec.edges, len(members))
        taken = 0
        for column, edges in enumerate(members):
            coefficients[list(edges), column] = gains[taken : taken + len(edges)]
            taken += len(edges)
    return Shared(table.flatten(1), coefficients, scales, indices)


def _convolve(
    sources: Sources, branches: Sequence[Branch], first: Sequence[Tensor]
) -> tuple[tuple[Branch, ...], Fold | None]:
    """Run everything up to the last pointwise convolutions."""
    done = []
    for branch in branches:
        stride, dilation = sources.steps(branch)
        y = fastops.depthwise(sources.repeated(branch), branch.depthwise[0], stride, dilation)
        done.append(branch._replace(outputs=(y,)))
    del sources  # so that its memory is used again
    twice = [branch for branch in done if branch.twice]
    if not twice:
        return tuple(done), None
    inner = _fold(twice, 0, first, None)
    used = 0
    for index, branch in enumerate(done):
        if not branch.twice:
            continue
        piece = slice(used, used + branch.edges)
        used += branch.edges
        y = branch.outputs[0]
        middle = torch.empty_like(y)
        matrix = inner.matrix[piece].transpose(1, 2)
        blocks(middle, branch.edges).baddbmm_(blocks(y, branch.edges), matrix, beta=0.0)
        middle.relu_()
        second = fastops.depthwise(middle, branch.depthwise[1], 1)
        done[index] = branch._replace(outputs=(y, second), middle=middle)
    return tuple(done), inner


def _fold(
    branches: Sequence[Branch], part: int, weights: Sequence[Tensor], gains: Tensor | None
) -> Fold:
    """Centre the outputs of a part of some branches; fold the convolutions behind them."""
    channels = weights[0].shape[0]
    weight = torch.cat(list(weights)).view(-1, channels, channels)
    gram = torch.empty_like(weight)
    used = 0
    for branch in branches:
        centre_(fastops.rows(branch.outputs[part]))
        z = blocks(branch.outputs[part], branch.edges)
        torch.bmm(z.transpose(1, 2), z, out=gram[used : used + branch.edges])
        used += branch.edges
    return fastops.fold(weight, gram, z.shape[1], gains)


def _mix(
    output: Tensor, branches: Sequence[Branch], outer: Fold, size: Sequence[int], spec: Leaving
) -> None:
    """Add what the convolutions contribute."""
    phased: Tensor | None = None
    used = 0
    for branch in branches:
        target = output
        fresh = False
        if is_phased(branch.dilation, spec.stride, size[1:]):
            if phased is None:
                phased = torch.empty_like(output)
                fresh = True
            target = phased
        z = blocks(branch.outputs[-1], branch.edges)
        start = 0
        for kind in branch.kinds:
            count = len(kind.edges)
            matrix = outer.matrix[used : used + count].transpose(1, 2)
            _add_product(target, kind, z[start : start + count], matrix, fresh=fresh)
            fresh = False
            start += count
            used += count
    if phased is not None:
        batch, height, width = size
        grid = phased.view(spec.edges, 2, 2, batch, height // 2, width // 2, -1)
        fastops.phases(output.view(spec.edges, *size, -1)).add_(grid)


def _add_product(
    target: Tensor, kind: Convolution, z: Tensor, matrix: Tensor, *, fresh: bool
) -> None:
    """Add to what is there, or write if nothing is there yet."""
    if len(kind.edges) == len(target):
        if fresh:
            torch.bmm(z, matrix, out=target)
        else:
            target.baddbmm_(z, matrix)
        return
    if fresh:
        target.zero_()
    for edge, block, part in zip(kind.edges, z, matrix, strict=True):
        target[edge].addmm_(block, part)


def _grids(active: Tensor) -> Tensor:
    """Both pixel grids of a strided skip connection as ``(rows, 2 * C)``, centred."""
    height, width = active.shape[-2:]
    if height % 2 or width % 2:
        active = functional.pad(active, (0, width % 2, 0, height % 2))
    grids = torch.cat([active[:, :, ::2, ::2], active[:, :, 1::2, 1::2]], dim=1)
    return centre_(fastops.rows(grids))


def _fold_reduce(grids: Tensor, weights: Sequence[Tensor], gains: Tensor) -> Fold:
    edges = len(gains)
    channels = grids.shape[1] // 2
    half = weights[0].shape[0]
    weight = grids.new_zeros(edges, channels, 2 * channels)
    weight[:, :half, :channels] = torch.stack(list(weights[:edges])).flatten(2)
    weight[:, half:, channels:] = torch.stack(list(weights[edges:])).flatten(2)
    gram = grids.t() @ grids
    return fastops.fold(weight, gram.unsqueeze(0), len(grids), gains)
