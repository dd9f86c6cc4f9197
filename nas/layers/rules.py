"""What operations do to channels: the rules of `nas.layers.tracing`.

What is traced is used to remove channels, so each rule must hold in a strong sense: where a channel
is zero in all that goes in, it is zero in what comes out, or it is pinned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from nas.layers.tracing import Ids, Trace

__all__ = ["RULES"]

UNCHANGED: Final = frozenset(
    {
        *("alias", "clone", "contiguous", "detach", "_to_copy", "lift_fresh", "native_dropout"),
        *("neg", "abs", "relu", "leaky_relu", "elu", "gelu", "silu", "mish", "hardswish", "tanh"),
        *("avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "zeros_like"),
        *("upsample_nearest2d", "upsample_bilinear2d", "reflection_pad2d", "replication_pad2d"),
    }
)
"""Operations that treat each channel alone and keep a zero one zero."""

WITH_INDICES: Final = frozenset(
    {"max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d"}
)
GATES: Final = frozenset({"sigmoid", "hardsigmoid"})
"""Operations that make something else of a zero, to multiply with."""

OVER_PIXELS: Final = frozenset({"mean", "sum", "amax"})
NORMS: Final = frozenset({"native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit"})


def _unchanged(to: Trace, result: Any, x: Tensor, *_: Any, **__: Any) -> None:
    ids = to.of(x)
    if ids is None:
        raise to.refused("an operation on its weights")
    to.give(result[0] if isinstance(result, tuple) else result, ids)


def _convolution(to: Trace, result: Tensor, x: Tensor, weight: Tensor, *more: Any) -> None:
    bias, *_, transposed, _, groups = more
    ids = _ids(to, x)
    if transposed:
        raise to.refused("a transposed convolution")
    if groups == 1:
        to.read(weight, ids)
        made = to.outputs(weight, len(weight))
    elif groups == len(ids):  # a depthwise one: each channel is made of one alone
        to.read(weight, ids)
        made = to.scaled(weight, ids.repeat(len(weight) // groups))
    else:  # equal numbers would have to go from each group: none does
        to.pin(ids)
        made = to.outputs(weight, len(weight))
        to.pin(made)
    to.give(result, to.scaled(bias, made))


def _linear(to: Trace, result: Tensor, x: Tensor, weight: Tensor, bias: Any = None) -> None:
    to.read(weight, _ids(to, x))
    to.give(result, to.scaled(bias, to.outputs(weight, weight.shape[1])))


def _addmm(to: Trace, result: Tensor, bias: Tensor, x: Tensor, weight: Tensor) -> None:
    _linear(to, result, x, weight, bias)


def _norm(to: Trace, result: Any, x: Tensor, *more: Any) -> None:
    ids = _ids(to, x)
    for tensor in more[:4]:
        if isinstance(tensor, Tensor):
            to.scaled(tensor, ids)
    to.give(result[0], ids)


def _add(to: Trace, result: Tensor, a: Any, b: Any, **_: Any) -> None:
    first, second = to.of(a), to.of(b)
    if first is None or second is None:
        raise to.refused("a constant that is added")
    to.give(result, to.join(first, second))


def _mul(to: Trace, result: Tensor, a: Any, b: Any, **_: Any) -> None:
    sides = [ids for ids in map(to.of, (a, b)) if ids is not None]
    if len(sides) == 1:
        other = b if to.of(a) is not None else a
        if isinstance(other, Tensor) and other.numel() != 1:
            raise to.refused("a tensor that scales it")
    ids = sides[0] if len(sides) == 1 else to.join(*sides)
    scales = [to.gates(side) for side in (a, b) if to.of(side) is not None]
    (to.gate if all(scales) else to.give)(result, ids)


def _gate(to: Trace, result: Tensor, x: Tensor) -> None:
    to.gate(result, _ids(to, x))


def _div(to: Trace, result: Tensor, a: Any, b: Any, **_: Any) -> None:
    if to.of(b) is not None:
        raise to.refused("a division by channels")
    _mul(to, result, a, b)


def _cat(to: Trace, result: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> None:
    if dim % result.dim() != 1:
        raise to.refused("images laid side by side")
    to.give(result, np.concatenate([_ids(to, tensor) for tensor in tensors]))


def _slice(
    to: Trace,
    result: Tensor,
    x: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> None:
    ids = _ids(to, x)
    if dim % x.dim() == 1:
        if start or step != 1:
            raise to.refused("channels that are picked")
        ids = ids[: result.shape[1]]
        to.narrow(ids)
    to.give(result, ids)


def _view(to: Trace, result: Tensor, x: Tensor, *_: Any) -> None:
    ids = _ids(to, x)
    if result.dim() < 2 or result.shape[0] != x.shape[0]:
        raise to.refused("another arrangement")
    if result.dim() == 2:  # the pixels of a channel become features that go with it
        ids = ids.repeat(math.prod(x.shape[2:]))
    to.give(result, ids)


def _over_pixels(
    to: Trace, result: Tensor, x: Tensor, dims: Any = None, *_: Any, **__: Any
) -> None:
    dims = [dims] if isinstance(dims, int) else dims
    if not dims or min(dim % x.dim() for dim in dims) < 2:
        raise to.refused("a sum over images or channels")
    to.give(result, _ids(to, x))


def _pad(to: Trace, result: Tensor, x: Tensor, pad: Sequence[int], value: float = 0) -> None:
    if value or len(pad) // 2 > x.dim() - 2:
        raise to.refused("a border of other channels or of a constant")
    to.give(result, _ids(to, x))


def _clamp(to: Trace, result: Tensor, x: Tensor, low: Any = -1.0, high: Any = 1.0) -> None:
    if (low or 0) > 0 or (high or 0) < 0:
        raise to.refused("limits without zero between")
    to.give(result, _ids(to, x))


def _prelu(to: Trace, result: Tensor, x: Tensor, slope: Tensor) -> None:
    if slope.numel() != 1:
        raise to.refused("slopes of its own for each channel")
    to.give(result, _ids(to, x))


def _noise(to: Trace, result: Tensor, x: Tensor, **_: Any) -> None:
    ids = _ids(to, x)
    to.pin(ids)
    to.give(result, ids)


def _ids(to: Trace, x: Any) -> Ids:
    ids = to.of(x)
    if ids is None:
        raise to.refused("something that does not depend on the input")
    return ids


RULES: Final[Mapping[str, Callable[..., None]]] = {
    **dict.fromkeys(UNCHANGED | WITH_INDICES, _unchanged),
    **dict.fromkeys(GATES, _gate),
    **dict.fromkeys(OVER_PIXELS, _over_pixels),
    **dict.fromkeys(NORMS, _norm),
    "convolution": _convolution,
    "addmm": _addmm,
    "mm": _linear,
    "add": _add,
    "sub": _add,
    "mul": _mul,
    "div": _div,
    "cat": _cat,
    "slice": _slice,
    "view": _view,
    "_unsafe_view": _view,
    "_reshape_alias": _view,
    "constant_pad_nd": _pad,
    "hardtanh": _clamp,
    "clamp": _clamp,
    "_prelu_kernel": _prelu,
    "randn_like": _noise,
    "rand_like": _noise,
}
"""From an operation's name to `rule(trace, result, *arguments)`."""
