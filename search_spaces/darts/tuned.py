"""What leaves a state, tuned for CPUs: one node of the graph with a derivative of its own.

The same function as ``leave_merged`` (which it falls back on for second derivatives), with

- the last pointwise convolution, its batch normalisation and the mixture weight folded into one
  affine map, so that no operation's output is ever stored (see ``fastops.fold``);
- dilated depthwise convolutions as ordinary ones on the four parity grids;
- quick kernels for the weight gradient of 5x5 depthwise convolutions;
- pools and identity, which all edges share, mixed by one small matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces import fastops
from search_spaces.darts.leaving import Convolution, Leaving
from search_spaces.darts.merged import leave_merged
from search_spaces.fastops import Fold

__all__ = ["leave_tuned"]


class Branch(NamedTuple):
    """One kind of convolution, computed.

    Attributes:
        kind: Which.
        depthwise: Depthwise weights of each part, merged over edges.
        outputs: Outputs of the depthwise convolutions ``(N, E * C, H', W')``.
        middle: Input of the second depthwise convolution, if there is one.
    """

    kind: Convolution
    depthwise: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    middle: Tensor | None


class Shared(NamedTuple):
    """Pools and identity, computed once for all edges.

    Attributes:
        values: ``(P, rows, C)``, normalised.
        coefficients: Mixture weights ``(E, P)``.
        scales: What the pools were multiplied by when they were normalised, ``(C,)`` each.
        indices: Where the maxima are, if there is max pooling.
    """

    values: Tensor
    coefficients: Tensor
    scales: tuple[Tensor, ...]
    indices: Tensor | None


class State(NamedTuple):
    """What the derivative needs.

    Attributes:
        shared: Pools and identity.
        branches: Convolutions.
        inner: First pointwise convolutions of the separable ones, folded, and how many.
        outer: Last pointwise convolutions, folded.
        grids: Both pixel grids of the strided skip connections, ``(rows, 2 * C)``.
        reduce: Strided skip connections, folded.
    """

    shared: Shared | None
    branches: tuple[Branch, ...]
    inner: Fold | None
    outer: Fold | None
    grids: Tensor | None
    reduce: Fold | None


def leave_tuned(h: Tensor, gains: Tensor, spec: Leaving, weights: Sequence[Tensor]) -> Tensor:
    """Compute what each edge that leaves a state contributes to its target.

    Args:
        h: The state ``(N, H, W, C)``.
        gains: Mixture weights in the order of ``spec``.
        spec: The operations.
        weights: Their weights in the order of ``spec``.

    Returns:
        Contributions ``(E, N, H', W', C)``.
    """
    if not torch.is_grad_enabled():
        return _forward(h, gains, spec, weights)[0]
    result: Tensor = _Leave.apply(h, gains, spec, *weights)  # type: ignore[no-untyped-call]
    return result


class _Leave(torch.autograd.Function):
    @staticmethod
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
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        h, gains, *weights = saved[: ctx.given]
        if torch.is_grad_enabled():  # asked for a graph of the derivative
            return _differentiable(ctx, h, gains, weights, gradients[0])
        state = _restore(ctx.layout, iter(saved[ctx.given :]))
        wanted = any(ctx.needs_input_grad[3:])
        work = _Backward(h, ctx.spec, state, gradients[0], wanted)
        return (work.input, work.gains, None, *work.weights)


def _differentiable(
    ctx: Any, h: Tensor, gains: Tensor, weights: Sequence[Tensor], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    output = leave_merged(h, gains, ctx.spec, weights)
    inputs = [h, gains, *weights]
    used = [x for x in inputs if x.requires_grad]
    found = iter(torch.autograd.grad(output, used, gradient, create_graph=True, allow_unused=True))
    result = [next(found) if x.requires_grad else None for x in inputs]
    return (*result[:2], None, *result[2:])


def _strip(tree: Any, tensors: list[Tensor]) -> Any:
    """Replace the tensors in nested tuples by places, collecting them."""
    if isinstance(tree, Tensor):
        tensors.append(tree)
        return ...
    if isinstance(tree, Convolution) or not isinstance(tree, tuple):
        return tree
    parts = [_strip(part, tensors) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def _restore(tree: Any, tensors: Iterator[Tensor]) -> Any:
    if tree is ...:
        return next(tensors)
    if isinstance(tree, Convolution) or not isinstance(tree, tuple):
        return tree
    parts = [_restore(part, tensors) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


# -- forward --------------------------------------------------------------------------------


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
        output = torch.unflatten(shared.coefficients @ shared.values.flatten(1), 1, (-1, channels))
    branches: tuple[Branch, ...] = ()
    inner = outer = None
    if spec.convolutions:
        stacked = _stack(spec, weights)
        branches, inner = _depthwise_parts(active, spec, stacked)
        last = [pointwise[-1] for _, pointwise in stacked]
        outer = _fold(branches, -1, last, gains[:convolutions])
        _mix(output, branches, outer, size, spec)
    grids = reduce = None
    if spec.skip and spec.stride > 1:
        used = sum(kind.parts * len(kind.edges) for kind in spec.convolutions)
        grids = _grids(active)
        reduce = _fold_reduce(grids, weights[used:], gains[len(gains) - len(spec.skip) :])
        for edge, matrix, shift in zip(spec.skip, reduce.matrix, reduce.shift, strict=True):
            output[edge].addmm_(grids, matrix.t()).add_(shift)
    state = State(shared, branches, inner, outer, grids, reduce)
    return output.view(spec.edges, *size, channels), state


Stacked = list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]


def _stack(spec: Leaving, weights: Sequence[Tensor]) -> Stacked:
    """Merge the weights of each convolution over its edges: depthwise parts, pointwise parts."""
    result = []
    used = 0
    for kind in spec.convolutions:
        edges = len(kind.edges)
        parts = [
            torch.cat(list(weights[used + part * edges : used + (part + 1) * edges]))
            for part in range(kind.parts)
        ]
        used += kind.parts * edges
        pointwise = tuple(part.view(edges, -1, part.shape[1]) for part in parts[1::2])
        result.append((tuple(parts[::2]), pointwise))
    return result


def _share(x: Tensor, gains: Tensor, spec: Leaving) -> Shared | None:
    identity = spec.skip if spec.stride == 1 else ()
    members = [edges for edges in (spec.max_pool, spec.avg_pool, identity) if edges]
    if not members:
        return None
    values = []
    scales = []
    indices = None
    if spec.max_pool:
        y, indices = torch.ops.aten.max_pool2d_with_indices(x, [3, 3], [spec.stride] * 2, [1, 1])
        values.append(y)
    if spec.avg_pool:
        values.append(functional.avg_pool2d(x, 3, spec.stride, 1, count_include_pad=False))
    size = (values[0] if values else x).permute(0, 2, 3, 1).shape
    table = x.new_empty(len(members), *size)
    for slot, y in zip(table, values, strict=False):
        normal, _, scale = torch.native_batch_norm(
            y, None, None, None, None, True, 0.0, fastops.EPSILON
        )
        slot.copy_(normal.permute(0, 2, 3, 1))
        scales.append(scale)
    if identity:
        table[-1].copy_(x.permute(0, 2, 3, 1))
    coefficients = x.new_zeros(spec.edges, len(members))
    taken = 0
    for column, edges in enumerate(members):
        values_of = gains[taken : taken + len(edges)]
        if len(edges) == spec.edges:
            coefficients[:, column] = values_of
        else:
            coefficients[list(edges), column] = values_of
        taken += len(edges)
    return Shared(table.flatten(1, 3), coefficients, tuple(scales), indices)


def _phased(kind: Convolution, stride: int, sides: Sequence[int]) -> bool:
    return kind.dilation > 1 and stride == 1 and all(side % 2 == 0 for side in sides)


def _depthwise_parts(
    active: Tensor, spec: Leaving, stacked: Stacked
) -> tuple[tuple[Branch, ...], Fold | None]:
    """Run everything up to the last pointwise convolutions."""
    branches = []
    for kind, (depthwise, _) in zip(spec.convolutions, stacked, strict=True):
        x, stride, dilation = _source(active, kind, spec.stride)
        x = fastops.repeat_channels(x, len(kind.edges))
        first = fastops.depthwise(x, depthwise[0], stride, dilation)
        branches.append(Branch(kind, depthwise, (first,), None))
    twice = [index for index, branch in enumerate(branches) if branch.kind.twice]
    if not twice:
        return tuple(branches), None
    pointwise = [stacked[index][1][0] for index in twice]
    inner = _fold([branches[index] for index in twice], 0, pointwise, None)
    used = 0
    for index in twice:
        branch = branches[index]
        edges = len(branch.kind.edges)
        matrix, shift = inner.matrix[used : used + edges], inner.shift[used : used + edges]
        used += edges
        first = branch.outputs[0]
        middle = torch.empty_like(first)
        torch.bmm(_blocks(first, edges), matrix.transpose(1, 2), out=_blocks(middle, edges))
        fastops.rows(middle).add_(shift.flatten()).relu_()
        second = fastops.depthwise(middle, branch.depthwise[1], 1)
        branches[index] = branch._replace(outputs=(first, second), middle=middle)
    return tuple(branches), inner


def _source(active: Tensor, kind: Convolution, stride: int) -> tuple[Tensor, int, int]:
    """The input of a first depthwise convolution, and the stride and dilation left to do."""
    if kind.dilation == 1:
        return active, stride, 1
    if stride == 2:  # a dilated convolution of stride 2 reads the even pixels only
        return active[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last), 1, 1
    if _phased(kind, stride, active.shape[2:]):
        return fastops.split_phases(active), 1, 1
    return active, stride, kind.dilation


def _fold(
    branches: Sequence[Branch], part: int, weights: Sequence[Tensor], gains: Tensor | None
) -> Fold:
    """Fold the pointwise convolutions behind a part of some branches."""
    weight = torch.cat(list(weights))
    gram = torch.empty_like(weight)
    total = weight.new_empty(weight.shape[:2])
    used = 0
    for branch in branches:
        edges = len(branch.kind.edges)
        z = _blocks(branch.outputs[part], edges)
        torch.bmm(z.transpose(1, 2), z, out=gram[used : used + edges])
        torch.sum(fastops.rows(branch.outputs[part]), 0, out=total[used : used + edges].view(-1))
        used += edges
    return fastops.fold(weight, gram, total, z.shape[1], gains)


def _mix(
    output: Tensor, branches: Sequence[Branch], outer: Fold, size: Sequence[int], spec: Leaving
) -> None:
    """Add what the convolutions contribute."""
    phased: Tensor | None = None
    bias = torch.zeros_like(output[:, 0])
    used = 0
    for branch in branches:
        edges = branch.kind.edges
        matrix = outer.matrix[used : used + len(edges)].transpose(1, 2)
        shift = outer.shift[used : used + len(edges)]
        used += len(edges)
        z = _blocks(branch.outputs[-1], len(edges))
        if _phased(branch.kind, spec.stride, size[1:]):
            if phased is None:
                phased = torch.zeros_like(output)
            target = phased
        else:
            target = output
        if len(edges) == spec.edges:
            target.baddbmm_(z, matrix)
            bias += shift
        else:
            for edge, block, part, value in zip(edges, z, matrix, shift, strict=True):
                target[edge].addmm_(block, part)
                bias[edge] += value
    if phased is not None:
        batch, height, width = size
        grid = phased.view(spec.edges, 4 * batch, height // 2, width // 2, -1)
        output += fastops.merge_phases(grid).reshape(output.shape)
    output += bias.unsqueeze(1)


def _grids(active: Tensor) -> Tensor:
    """Both pixel grids of a strided skip connection as ``(rows, 2 * C)``."""
    height, width = active.shape[-2:]
    if height % 2 or width % 2:
        active = functional.pad(active, (0, width % 2, 0, height % 2))
    return fastops.rows(torch.cat([active[:, :, ::2, ::2], active[:, :, 1::2, 1::2]], dim=1))


def _fold_reduce(grids: Tensor, weights: Sequence[Tensor], gains: Tensor) -> Fold:
    edges = len(gains)
    channels = grids.shape[1] // 2
    half = weights[0].shape[0]
    weight = grids.new_zeros(edges, channels, 2 * channels)
    weight[:, :half, :channels] = torch.stack(list(weights[:edges])).flatten(2)
    weight[:, half:, channels:] = torch.stack(list(weights[edges:])).flatten(2)
    gram, total = grids.t() @ grids, grids.sum(0)
    return fastops.fold(weight, gram.unsqueeze(0), total.unsqueeze(0), len(grids), gains)


def _blocks(x: Tensor, edges: int) -> Tensor:
    """View merged images ``(N, E * C, H, W)`` as ``(E, rows, C)``."""
    return torch.unflatten(fastops.rows(x), 1, (edges, -1)).transpose(0, 1)


# -- backward -------------------------------------------------------------------------------


class _Backward:
    """The derivative of ``_forward``.

    Attributes:
        input: Gradient of the state.
        gains: Gradient of the gains.
        weights: Gradients of the weights; all None if they are not wanted.
    """

    def __init__(
        self, h: Tensor, spec: Leaving, state: State, gradient: Tensor, wanted: bool
    ) -> None:
        self.spec = spec
        self.state = state
        self.wanted = wanted
        self.x = h.permute(0, 3, 1, 2)
        self.active = functional.relu(self.x)
        self.size = gradient.shape[1:4]
        self.gradient = gradient.contiguous().flatten(1, 3)
        self.sums = self.gradient.sum(1)
        self.phased: Tensor | None = None
        self.active_gradient: Tensor | None = None
        self.weights: list[Tensor | None] = []
        gains: list[Tensor] = []
        if state.outer is not None:
            gains.append(self._convolutions(state.outer))
        direct = None
        if state.shared is not None:
            direct, mixed = self._shared(state.shared)
            gains += mixed
        if state.reduce is not None:
            gains.append(self._reduce(state.reduce))
        total = None
        if self.active_gradient is not None:
            total = torch.ops.aten.threshold_backward(self.active_gradient, self.active, 0)
        if total is None:
            total = direct
        elif direct is not None:
            total += direct
        self.input: Tensor | None = None if total is None else total.permute(0, 2, 3, 1)
        self.gains = torch.cat(gains)

    def _add_active(self, gradient: Tensor) -> None:
        if self.active_gradient is None:
            self.active_gradient = gradient
        else:
            self.active_gradient += gradient

    def _targets(self, branch: Branch) -> Tensor:
        """Gradient of what a branch contributes, ``(E, rows, C)``, in its order of rows."""
        gradient = self.gradient
        if _phased(branch.kind, self.spec.stride, self.size[1:]):
            if self.phased is None:
                grid = self.gradient.view(-1, *self.size[1:], gradient.shape[-1])
                phases = fastops.split_phases(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
                # Rows come as (phase, edge, image): bring the edges to the front.
                phases = phases.reshape(4, self.spec.edges, -1, gradient.shape[-1])
                self.phased = phases.transpose(0, 1).reshape(gradient.shape)
            gradient = self.phased
        edges = branch.kind.edges
        return gradient if len(edges) == self.spec.edges else gradient[list(edges)]

    def _convolutions(self, outer: Fold) -> Tensor:
        branches = self.state.branches
        targets = [self._targets(branch) for branch in branches]
        sums = [self.sums[list(branch.kind.edges)] for branch in branches]
        found, slopes = self._fold_backward(branches, -1, targets, torch.cat(sums), outer)
        depthwise: list[list[Tensor | None]] = [[] for _ in branches]
        inner: list[Tensor] = []
        for index, (branch, slope) in enumerate(zip(branches, slopes, strict=True)):
            if branch.middle is None:
                depthwise[index].append(self._into_source(branch, slope))
                continue
            back = fastops.depthwise_input_gradient(slope, slope, branch.depthwise[1], 1)
            depthwise[index].append(
                fastops.depthwise_weight_gradient(slope, branch.middle, branch.kind.kernel, 1)
                if self.wanted
                else None
            )
            inner.append(torch.ops.aten.threshold_backward(back, branch.middle, 0))
        first = None
        if self.state.inner is not None:
            twice = [index for index, branch in enumerate(branches) if branch.kind.twice]
            members = [branches[index] for index in twice]
            blocks = [
                _blocks(y, len(branch.kind.edges)) for y, branch in zip(inner, members, strict=True)
            ]
            totals = torch.cat([fastops.rows(y).sum(0) for y in inner])
            totals = totals.view(len(self.state.inner.weight), -1)
            first, slopes = self._fold_backward(members, 0, blocks, totals, self.state.inner)
            for index, slope in zip(twice, slopes, strict=True):
                depthwise[index].insert(0, self._into_source(branches[index], slope))
        self._collect(depthwise, None if first is None else first.weight, found.weight)
        assert found.gain is not None
        return found.gain

    def _fold_backward(
        self,
        branches: Sequence[Branch],
        part: int,
        gradients: Sequence[Tensor],
        sums: Tensor,
        folded: Fold,
    ) -> tuple[fastops.FoldGradient, list[Tensor]]:
        """Gradients of some branches' weights and gains, and of their depthwise outputs."""
        matrix = torch.empty_like(folded.weight)
        blocks = [_blocks(branch.outputs[part], len(branch.kind.edges)) for branch in branches]
        used = 0
        for z, gradient in zip(blocks, gradients, strict=True):
            torch.bmm(gradient.transpose(1, 2), z, out=matrix[used : used + len(z)])
            used += len(z)
        count = blocks[0].shape[1]
        found = fastops.fold_backward(folded, matrix, sums, count, weights=self.wanted)
        slopes = []
        used = 0
        for branch, z, gradient in zip(branches, blocks, gradients, strict=True):
            piece = slice(used, used + len(z))
            used += len(z)
            slope = torch.empty_like(branch.outputs[part])
            view = _blocks(slope, len(z))
            torch.baddbmm(found.offset[piece], gradient, folded.matrix[piece], out=view)
            view.baddbmm_(z, found.mixing[piece])
            slopes.append(slope)
        return found, slopes

    def _into_source(self, branch: Branch, slope: Tensor) -> Tensor | None:
        """Go back through a first depthwise convolution; returns its weight gradient."""
        kind = branch.kind
        edges = len(kind.edges)
        x, stride, dilation = _source(self.active, kind, self.spec.stride)
        weight = branch.depthwise[0]
        shape = slope
        if stride > 1:
            shape = slope.new_empty(slope.shape[0], slope.shape[1], *x.shape[2:]).contiguous(
                memory_format=torch.channels_last
            )
        back = fastops.depthwise_input_gradient(slope, shape, weight, stride, dilation)
        back = fastops.sum_repeats(back, edges)
        if kind.dilation > 1 and self.spec.stride == 2:
            spread = torch.zeros_like(self.active)
            spread[:, :, ::2, ::2] = back
            back = spread
        elif _phased(kind, self.spec.stride, self.size[1:]):
            back = fastops.merge_phases(back.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        self._add_active(back)
        if not self.wanted:
            return None
        return fastops.depthwise_weight_gradient(slope, x, kind.kernel, stride, dilation, edges)

    def _collect(
        self, depthwise: list[list[Tensor | None]], first: Tensor | None, last: Tensor | None
    ) -> None:
        """Split the gradients of merged weights, in the order of ``Leaving``."""
        places = [0, 0]
        for branch, parts in zip(self.state.branches, depthwise, strict=True):
            edges = len(branch.kind.edges)
            pointwise = [first, last] if branch.kind.twice else [last]
            for part, gradient in enumerate(parts):
                if gradient is None:
                    self.weights += [None] * (2 * edges)
                    continue
                self.weights += gradient.chunk(edges)
                which = part if branch.kind.twice else 1
                whole = pointwise[part]
                assert whole is not None
                pieces = whole[places[which] : places[which] + edges, :, :, None, None].unbind()
                self.weights += pieces
                places[which] += edges

    def _shared(self, shared: Shared) -> tuple[Tensor, list[Tensor]]:
        spec = self.spec
        gradient = self.gradient.flatten(1)
        values = shared.values
        back = (shared.coefficients.t() @ gradient).view_as(values)
        slopes = gradient @ values.flatten(1).t()
        identity = spec.skip if spec.stride == 1 else ()
        members = [edges for edges in (spec.max_pool, spec.avg_pool, identity) if edges]
        mixed = [slopes[list(edges), column] for column, edges in enumerate(members)]
        total: Tensor | None = None
        zero, one = torch.zeros_like(values[0, 0]), torch.ones_like(values[0, 0])
        for index, scale in enumerate(shared.scales):
            normal = fastops.images(values[index], self.size)
            y = torch.ops.aten.native_batch_norm_backward(
                fastops.images(back[index], self.size), normal, scale, None, None, zero, one,
                True, 0.0, [True, False, False],
            )[0]  # fmt: skip
            term = self._pool_backward(y, shared.indices if index == 0 else None)
            total = term if total is None else total.add_(term)
        if identity:
            term = fastops.images(back[-1], self.size)
            total = term if total is None else total.add_(term)
        assert total is not None
        return total, mixed

    def _pool_backward(self, y: Tensor, indices: Tensor | None) -> Tensor:
        stride = [self.spec.stride] * 2
        if indices is None:
            result: Tensor = torch.ops.aten.avg_pool2d_backward(
                y, self.x, [3, 3], stride, [1, 1], False, False, None
            )
            return result
        result = torch.ops.aten.max_pool2d_with_indices_backward(
            y, self.x, [3, 3], stride, [1, 1], [1, 1], False, indices
        )
        return result

    def _reduce(self, reduce: Fold) -> Tensor:
        spec, grids = self.spec, self.state.grids
        assert grids is not None
        edges = list(spec.skip)
        gradient = self.gradient[edges]
        matrix = torch.matmul(gradient.transpose(1, 2), grids)
        found = fastops.fold_backward(
            reduce, matrix, self.sums[edges], len(grids), weights=self.wanted
        )
        back = torch.addmm(found.offset.sum((0, 1)), grids, found.mixing.sum(0))
        for block, part in zip(gradient, reduce.matrix, strict=True):
            back.addmm_(block, part)
        channels = grids.shape[1] // 2
        even, odd = fastops.images(back, self.size).chunk(2, dim=1)
        height, width = self.active.shape[-2:]
        spread = torch.zeros_like(self.active)
        spread[:, :, ::2, ::2] = even
        spread[:, :, 1::2, 1::2] = odd[:, :, : height // 2, : width // 2]
        self._add_active(spread)
        if found.weight is None:
            self.weights += [None] * (2 * len(edges))
        else:
            half = channels // 2
            self.weights += found.weight[:, :half, :channels, None, None].unbind()
            self.weights += found.weight[:, half:, channels:, None, None].unbind()
        assert found.gain is not None
        return found.gain
