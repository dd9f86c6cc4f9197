"""What the tuned layout keeps between the forward and the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from search_spaces import fastops
from search_spaces.darts.leaving import Convolution
from search_spaces.fastops import Fold

__all__ = ["Branch", "Shared", "Sources", "State", "blocks", "is_phased"]


class Branch(NamedTuple):
    """Convolutions computed by one depthwise call: one kind, or both kernels embedded in one.

    Attributes:
        kinds: Kinds with the same structure; their edges follow one another in the channels.
        depthwise: Depthwise weights of each part, merged over edges.
        outputs: Outputs of the depthwise convolutions ``(N, E * C, H', W')``, centred.
        middle: Input of the second depthwise convolution, if there is one.
    """

    kinds: tuple[Convolution, ...]
    depthwise: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    middle: Tensor | None

    @property
    def edges(self) -> int:
        """Number of convolutions merged."""
        return sum(len(kind.edges) for kind in self.kinds)

    @property
    def twice(self) -> bool:
        """Whether they are separable convolutions, applied twice."""
        return self.kinds[0].twice

    @property
    def dilation(self) -> int:
        """Dilation of the depthwise kernels."""
        return self.kinds[0].dilation


class Shared(NamedTuple):
    """Pools and identity, computed once for all edges.

    Attributes:
        values: ``(P, rows * C)``, normalised.
        coefficients: Mixture weights ``(E, P)``.
        scales: What the pools were multiplied by when they were normalised, ``(P', C)``.
        indices: Where the maxima are, if there is max pooling.
    """

    values: Tensor
    coefficients: Tensor
    scales: Tensor
    indices: Tensor | None


class State(NamedTuple):
    """What the derivative needs.

    Attributes:
        shared: Pools and identity.
        branches: Convolutions.
        inner: First pointwise convolutions of the separable ones, folded.
        outer: Last pointwise convolutions, folded.
        grids: Both pixel grids of the strided skip connections, ``(rows, 2 * C)``,
            centred.
        reduce: Strided skip connections, folded.
    """

    shared: Shared | None
    branches: tuple[Branch, ...]
    inner: Fold | None
    outer: Fold | None
    grids: Tensor | None
    reduce: Fold | None


def blocks(x: Tensor, edges: int) -> Tensor:
    """View merged images ``(N, E * C, H, W)`` as ``(E, rows, C)``."""
    flat = fastops.rows(x)
    return flat.view(len(flat), edges, -1).transpose(0, 1)


def is_phased(dilation: int, stride: int, sides: Sequence[int]) -> bool:
    """Whether a dilated convolution works on the four parity grids of these images."""
    return dilation > 1 and stride == 1 and all(side % 2 == 0 for side in sides)


class Sources:
    """Inputs of the first depthwise convolutions, each computed once.

    Args:
        active: ReLU of the state ``(N, C, H, W)``.
        stride: Stride of the edges.
    """

    def __init__(self, active: Tensor, stride: int) -> None:
        self._active = active
        self._stride = stride
        self._plain: dict[int, Tensor] = {}
        self._repeated: dict[tuple[int, int], Tensor] = {}

    def steps(self, branch: Branch) -> tuple[int, int]:
        """Stride and dilation that are left to the convolution itself."""
        if branch.dilation == 1:
            return self._stride, 1
        if self._stride == 2 or is_phased(branch.dilation, 1, self._active.shape[2:]):
            return 1, 1
        return 1, branch.dilation

    def plain(self, branch: Branch) -> Tensor:
        """The input ``(N, C, H, W)``."""
        if branch.dilation not in self._plain:
            self._plain[branch.dilation] = self._make(branch.dilation)
        return self._plain[branch.dilation]

    def repeated(self, branch: Branch) -> Tensor:
        """The input once for each edge ``(N, E * C, H, W)``."""
        key = (branch.dilation, branch.edges)
        if key not in self._repeated:
            self._repeated[key] = fastops.repeat_channels(self.plain(branch), branch.edges)
        return self._repeated[key]

    def _make(self, dilation: int) -> Tensor:
        if dilation == 1:
            return self._active
        if self._stride == 2:  # a dilated convolution of stride 2 reads the even pixels only
            even = self._active[:, :, ::2, ::2]
            return even.contiguous(memory_format=torch.channels_last)
        if is_phased(dilation, 1, self._active.shape[2:]):
            return fastops.split_phases(self._active)
        return self._active
