"""The derivative of the tuned layout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces import fastops
from search_spaces.darts.leaving import Leaving
from search_spaces.darts.tuned_state import Branch, Shared, Sources, State, blocks, is_phased
from search_spaces.fastops import Fold, FoldGradient
from search_spaces.normalise import normalise_backward

__all__ = ["Backward"]


class Backward:
    """Goes back from the contributions of a state to everything they were computed from.

    Args:
        h: The state ``(N, H, W, C)``.
        spec: The operations.
        state: What the forward pass kept.
        gradient: Gradient of the contributions ``(E, N, H', W', C)``.
        needs: Whether the gradients of the state and of the weights are wanted. Without either,
            only the ends of the operations are gone through.

    Attributes:
        input: Gradient of the state, if wanted.
        gains: Gradient of the gains.
        weights: Gradients of the weights; all None if they are not wanted.
    """

    def __init__(
        self, h: Tensor, spec: Leaving, state: State, gradient: Tensor, needs: tuple[bool, bool]
    ) -> None:
        self._spec = spec
        self._state = state
        self._into_input, self._into_weights = needs
        self._x = h.permute(0, 3, 1, 2)
        self._active = functional.relu(self._x)
        self._sources = Sources(self._active, spec.stride)
        self._size = gradient.shape[1:4]
        self._gradient = gradient.contiguous().flatten(1, 3)
        self._sums = self._gradient.sum(1)
        self._phased: Tensor | None = None
        self._active_gradient: Tensor | None = None
        self._phased_gradient: Tensor | None = None
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
        self.gains = gains[0] if len(gains) == 1 else torch.cat(gains)
        total = self._through_relu()
        if total is None:
            total = direct
        elif direct is not None:
            total += direct
        self.input = None if total is None else total.permute(0, 2, 3, 1)
        if not self._into_weights:
            self.weights = [None] * _count(spec)

    def _through_relu(self) -> Tensor | None:
        if self._phased_gradient is not None:
            if self._active_gradient is None:
                self._active_gradient = torch.zeros_like(self._active)
            grid = fastops.phases(self._active_gradient.permute(0, 2, 3, 1))
            grid.add_(self._phased_gradient.permute(0, 2, 3, 1).view(grid.shape))
        if self._active_gradient is None:
            return None
        return fastops.mask_(self._active_gradient, self._active)

    # -- convolutions -----------------------------------------------------------------------

    def _convolutions(self, outer: Fold) -> Tensor:
        """Go back through all convolutions; returns the gradient of their gains."""
        branches = self._state.branches
        deep = self._into_input or self._into_weights
        edges = [edge for kind in self._spec.convolutions for edge in kind.edges]
        if self._spec.uniform:
            sums = self._sums.repeat(len(edges) // len(self._sums), 1)
        else:
            sums = self._sums[edges]
        targets = [self._targets(branch) for branch in branches]
        last, slopes = self._fold_backward(branches, -1, targets, sums, outer, deep=deep)
        assert last.gain is not None
        if not deep:
            return last.gain
        first, depthwise = self._separable(slopes)
        if self._into_weights:
            self._collect(depthwise, first, last.weight)
        return last.gain

    def _targets(self, branch: Branch) -> list[Tensor]:
        """Gradients of what a branch contributes, ``(E, rows, C)`` by kind, in its row order."""
        gradient = self._gradient
        if is_phased(branch.dilation, self._spec.stride, self._size[1:]):
            if self._phased is None:
                grid = gradient.view(-1, *self._size, gradient.shape[-1])
                self._phased = fastops.phases(grid).reshape(gradient.shape)
            gradient = self._phased
        return [
            gradient if len(kind.edges) == len(gradient) else gradient[list(kind.edges)]
            for kind in branch.kinds
        ]

    def _separable(
        self, slopes: Sequence[Tensor]
    ) -> tuple[Tensor | None, list[tuple[Tensor | None, ...]]]:
        """Go back from the gradients of the last depthwise outputs to the state.

        Returns:
            Gradient of the first pointwise weights of separable convolutions, and those of each
            branch's depthwise weights.
        """
        branches = self._state.branches
        second: dict[int, Tensor | None] = {}
        inner = []
        for index, (branch, slope) in enumerate(zip(branches, slopes, strict=True)):
            if branch.middle is not None:
                back = fastops.depthwise_input_gradient(slope, slope, branch.depthwise[1], 1)
                second[index] = None
                if self._into_weights:
                    kernel = branch.depthwise[1].shape[-1]
                    second[index] = fastops.depthwise_weight_gradient(
                        slope, branch.middle, kernel, 1
                    )
                inner.append(fastops.mask_(back, branch.middle))
        final = list(slopes)
        first = None
        if self._state.inner is not None:
            members = [branches[index] for index in second]
            targets = [[blocks(y, b.edges)] for y, b in zip(inner, members, strict=True)]
            sums = torch.cat([fastops.rows(y).sum(0) for y in inner])
            sums = sums.view(len(self._state.inner.weight), -1)
            found, starts = self._fold_backward(
                members, 0, targets, sums, self._state.inner, deep=True
            )
            first = found.weight
            for index, slope in zip(second, starts, strict=True):
                final[index] = slope
        depthwise: list[tuple[Tensor | None, ...]] = []
        for index, (branch, slope) in enumerate(zip(branches, final, strict=True)):
            gradient = self._into_source(branch, slope)
            depthwise.append((gradient, second[index]) if index in second else (gradient,))
        return first, depthwise

    def _fold_backward(
        self,
        branches: Sequence[Branch],
        part: int,
        gradients: Sequence[Sequence[Tensor]],
        sums: Tensor,
        folded: Fold,
        *,
        deep: bool,
    ) -> tuple[FoldGradient, list[Tensor]]:
        """Gradients of pointwise weights and gains and, if ``deep``, of depthwise outputs."""
        matrix = torch.empty_like(folded.weight)
        triples = []  # gradient, input and place of each kind
        used = 0
        for branch, parts in zip(branches, gradients, strict=True):
            z = blocks(branch.outputs[part], branch.edges)
            start = 0
            for gradient in parts:
                piece = slice(used, used + len(gradient))
                block = z[start : start + len(gradient)]
                torch.bmm(gradient.transpose(1, 2), block, out=matrix[piece])
                triples.append((gradient, block, piece))
                start += len(gradient)
                used += len(gradient)
        count = triples[0][1].shape[1]
        found = fastops.fold_backward(folded, matrix, sums, count, weights=self._into_weights)
        slopes: list[Tensor] = []
        if not deep:
            return found, slopes
        remaining = iter(triples)
        used = 0
        for branch, parts in zip(branches, gradients, strict=True):
            slope = torch.empty_like(branch.outputs[part])
            offset = found.offset[used : used + branch.edges]
            used += branch.edges
            fastops.rows(slope).copy_(offset.flatten())
            view = blocks(slope, branch.edges)
            start = 0
            for _ in parts:
                gradient, block, piece = next(remaining)
                target = view[start : start + len(gradient)]
                target.baddbmm_(gradient, folded.matrix[piece])
                target.baddbmm_(block, found.mixing[piece])
                start += len(gradient)
            slopes.append(slope)
        return found, slopes

    def _into_source(self, branch: Branch, slope: Tensor) -> Tensor | None:
        """Go back through a first depthwise convolution; returns its weight gradient."""
        weight = branch.depthwise[0]
        x = self._sources.plain(branch)
        stride, dilation = self._sources.steps(branch)
        if self._into_input:
            shape = slope
            if stride > 1:
                shape = slope.new_empty(len(slope), *x.shape[2:], slope.shape[1])
                shape = shape.permute(0, 3, 1, 2)
            back = fastops.depthwise_input_gradient(slope, shape, weight, stride, dilation)
            back = fastops.sum_repeats(back, branch.edges)
            self._add_source(branch, back)
        if not self._into_weights:
            return None
        return fastops.depthwise_weight_gradient(
            slope, x, weight.shape[-1], stride, dilation, branch.edges
        )

    def _add_source(self, branch: Branch, back: Tensor) -> None:
        if is_phased(branch.dilation, self._spec.stride, self._size[1:]):
            self._phased_gradient = _accumulate(self._phased_gradient, back)
            return
        if branch.dilation > 1 and self._spec.stride == 2:
            spread = torch.zeros_like(self._active)
            spread[:, :, ::2, ::2] = back
            back = spread
        self._active_gradient = _accumulate(self._active_gradient, back)

    def _collect(
        self,
        depthwise: Sequence[tuple[Tensor | None, ...]],
        first: Tensor | None,
        last: Tensor | None,
    ) -> None:
        """Split the gradients of merged weights, in the order of ``Leaving``."""
        pointwise = {part: _pieces(whole) for part, whole in (("first", first), ("last", last))}
        places = {"first": 0, "last": 0}
        for branch, parts in zip(self._state.branches, depthwise, strict=True):
            names = ("first", "last") if branch.twice else ("last",)
            channels = 0
            for kind in branch.kinds:
                edges = len(kind.edges)
                for gradient, name in zip(parts, names, strict=True):
                    assert gradient is not None
                    width = len(gradient) // branch.edges
                    whole = gradient[channels * width : (channels + edges) * width]
                    rim = (gradient.shape[-1] - kind.kernel) // 2
                    if rim:
                        whole = whole[..., rim:-rim, rim:-rim]
                    self.weights += whole.split(width)  # type: ignore[no-untyped-call]
                    place = places[name]
                    self.weights += pointwise[name][place : place + edges]
                    places[name] += edges
                channels += edges

    # -- pools, identity, strided skip connections ------------------------------------------

    def _shared(self, shared: Shared) -> tuple[Tensor | None, list[Tensor]]:
        gradient = self._gradient.flatten(1)
        values = shared.values
        members = self._spec.shared
        slopes = torch.mm(gradient, values.t())
        if all(len(edges) == len(gradient) for edges in members):
            mixed = [slopes.t().flatten()]
        else:
            mixed = [slopes[list(edges), column] for column, edges in enumerate(members)]
        if not self._into_input:
            return None, mixed
        back = torch.mm(shared.coefficients.t(), gradient)
        back = back.view(len(members), -1, self._gradient.shape[-1])
        values = values.view(back.shape)
        total: Tensor | None = None
        for index, scale in enumerate(shared.scales):
            slope = normalise_backward(back[index], values[index], scale)
            indices = shared.indices if index == 0 else None
            y = fastops.images(slope, self._size)
            total = _accumulate(total, self._pool_backward(y, indices))
        if len(members) > len(shared.scales):
            total = _accumulate(total, fastops.images(back[-1], self._size))
        return total, mixed

    def _pool_backward(self, y: Tensor, indices: Tensor | None) -> Tensor:
        stride = [self._spec.stride] * 2
        if indices is None:
            result: Tensor = torch.ops.aten.avg_pool2d_backward(
                y, self._x, [3, 3], stride, [1, 1], False, False, None
            )
            return result
        result = torch.ops.aten.max_pool2d_with_indices_backward(
            y, self._x, [3, 3], stride, [1, 1], [1, 1], False, indices
        )
        return result

    def _reduce(self, reduce: Fold) -> Tensor:
        spec, grids = self._spec, self._state.grids
        assert grids is not None
        edges = list(spec.skip)
        gradient = self._gradient[edges]
        matrix = torch.matmul(gradient.transpose(1, 2), grids)
        found = fastops.fold_backward(
            reduce, matrix, self._sums[edges], len(grids), weights=self._into_weights
        )
        assert found.gain is not None
        channels = grids.shape[1] // 2
        if self._into_input:
            back = torch.addmm(found.offset.sum(0), grids, found.mixing.sum(0))
            for block, part in zip(gradient, reduce.matrix, strict=True):
                back.addmm_(block, part)
            even, odd = fastops.images(back, self._size).chunk(2, dim=1)
            height, width = self._active.shape[-2:]
            spread = torch.zeros_like(self._active)
            spread[:, :, ::2, ::2] = even
            spread[:, :, 1::2, 1::2] = odd[:, :, : height // 2, : width // 2]
            self._active_gradient = _accumulate(self._active_gradient, spread)
        if found.weight is not None:
            half = channels // 2
            self.weights += found.weight[:, :half, :channels, None, None].unbind()
            self.weights += found.weight[:, half:, channels:, None, None].unbind()
        return found.gain


def _accumulate(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total.add_(term)


def _pieces(whole: Tensor | None) -> tuple[Tensor, ...]:
    return () if whole is None else whole[:, :, :, None, None].unbind()


def _count(spec: Leaving) -> int:
    """Number of weights."""
    strided = 2 * len(spec.skip) if spec.stride > 1 else 0
    return strided + sum(kind.parts * len(kind.edges) for kind in spec.convolutions)
