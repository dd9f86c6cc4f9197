"""Interval bound propagation: what a network can give for any input of a box.

Bounds of each output follow from bounds of the inputs, layer by layer (Gowal et al., ICCV 2019).
Any module runs on an `Interval` unchanged, as long as there is a rule for each operation in it.
Bounds are in floating point and not rounded outwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from nas.core.errors import UnsupportedError

__all__ = ["RULES", "Interval", "bounds", "margins", "rule"]


def _operator(name: str, *, in_place: bool = False) -> Any:
    """What an operator does: as a tensor's method of that name."""

    def apply(self: Interval, *others: Any) -> Any:
        result = getattr(self, name)(*others)
        return self.become(result) if in_place else result

    return apply


class Interval:
    """A box of tensors, and perhaps one tensor in it, on their way through a network.

    Args:
        lower: Least values, of any shape.
        upper: Largest values, of the same shape.
        nominal: The tensor that goes its own way beside the box, None for none. Statistics of
            batches are its own.
        activations: Where inputs of ReLUs are noted, None for nowhere.

    Attributes:
        last: What a linear layer was applied to that gave this one directly, with its weights, for
            `margins`.
    """

    def __init__(
        self,
        lower: Tensor,
        upper: Tensor,
        nominal: Tensor | None = None,
        activations: list[Interval] | None = None,
    ) -> None:
        self.lower, self.upper, self.nominal = lower, upper, nominal
        self.activations = activations
        self.last: Head | None = None

    @property
    def center(self) -> Tensor:
        """Middle of the box."""
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Tensor:
        """Half of its width."""
        return (self.upper - self.lower) / 2

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = func.__name__
        if name not in RULES:
            raise _unknown(name)
        return RULES[name](func, *args, **(kwargs or {}))

    def become(self, other: Interval) -> Interval:
        """What an operation in place does; this interval."""
        self.lower, self.upper, self.nominal = other.lower, other.upper, other.nominal
        self.last = None
        return self

    def __getattr__(self, name: str) -> Any:
        if name in _FACTS:
            return getattr(self.lower, name)
        if name.startswith("__"):
            raise AttributeError(name)
        func = getattr(Tensor, name)  # an AttributeError where tensors have none, too
        if name not in RULES:
            raise _unknown(name)
        return lambda *args, **kwargs: RULES[name](func, self, *args, **kwargs)

    def __getitem__(self, index: Any) -> Any:
        return monotone(Tensor.__getitem__, self, index)

    def __len__(self) -> int:
        return len(self.lower)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    __add__ = __radd__ = _operator("add")
    __sub__ = _operator("sub")
    __mul__ = __rmul__ = _operator("mul")
    __truediv__ = _operator("div")
    __neg__ = _operator("neg")
    __pow__ = _operator("pow")
    __matmul__ = _operator("matmul")
    __iadd__ = _operator("add", in_place=True)
    __isub__ = _operator("sub", in_place=True)
    __imul__ = _operator("mul", in_place=True)
    __itruediv__ = _operator("div", in_place=True)


@dataclass(frozen=True)
class Head:
    """A linear layer with what it was given, an input (batch, features)."""

    input: Interval
    weight: Tensor
    bias: Tensor | None


Rule: TypeAlias = Callable[..., Any]
"""Called with torch's function and its arguments, of which some are intervals."""

R = TypeVar("R", bound=Rule)

RULES: Final[dict[str, Rule]] = {}
"""By the name of torch's function or method."""

_FACTS: Final = (
    *("shape", "ndim", "dim", "size", "numel", "stride", "is_contiguous"),
    *("dtype", "device", "is_cuda", "requires_grad"),
)
"""What code may ask of a tensor that is the same of both ends."""


def rule(*names: str) -> Callable[[R], R]:
    """Register a rule for functions of these names."""

    def decorate(function: R) -> R:
        RULES.update(dict.fromkeys(names, function))
        return function

    return decorate


def bounds(network: nn.Module, box: Interval) -> Any:
    """What a network gives, each output an `Interval`.

    Args:
        network: In training mode the statistics of batches are those of the nominal tensor.
        box: Of inputs (batch, ...).

    Raises:
        UnsupportedError: The network has an operation without a rule.
    """
    for module in network.modules():
        if not module.training and getattr(module, "running_mean", "") is None:
            raise UnsupportedError(
                f"{type(module).__name__} without running statistics has no interval bounds",
                "what an image gives depends on the others of its batch",
            )
    outputs = network(box)
    if isinstance(outputs, tuple):
        return tuple(_boxed(output, box) for output in outputs)
    return _boxed(outputs, box)


def margins(logits: Interval, labels: Tensor) -> Tensor:
    """Lower bounds (batch, classes) of the label's logit minus each other one; 0 at the label.

    Where the logits come out of a linear layer, the difference of its rows is bounded as a whole.

    Args:
        logits: (batch, classes).
        labels: (batch,).
    """
    at = labels.unsqueeze(1)
    if logits.last is None:
        found = logits.lower.gather(1, at) - logits.upper
        return found.scatter(1, at, 0.0)
    box, weight = logits.last.input, logits.last.weight
    centers = nn.functional.linear(box.center, weight, logits.last.bias)
    apart = (weight[labels].unsqueeze(1) - weight).abs()  # (batch, classes, features)
    return centers.gather(1, at) - centers - torch.bmm(apart, box.radius.unsqueeze(2)).squeeze(2)


def _boxed(output: Any, box: Interval) -> Any:
    """An output that does not depend on the input is a box without width."""
    if not isinstance(output, Tensor):
        return output
    return Interval(output, output, None if box.nominal is None else output)


def _unknown(name: str) -> UnsupportedError:
    return UnsupportedError(
        f"there are no interval bounds of the operation {name!r}",
        "there are of convolution, linear, batch normalisation, ReLU, pooling, sums and the like",
    )


def _of(value: Any, end: str) -> Any:
    """Arguments in which each interval is replaced by one of its tensors."""
    if isinstance(value, Interval):
        return getattr(value, end)
    if isinstance(value, list | tuple) and any(isinstance(part, Interval) for part in value):
        return [_of(part, end) for part in value]
    return value


def _found(value: Any) -> list[Interval]:
    if isinstance(value, Interval):
        return [value]
    return [x for part in value for x in _found(part)] if isinstance(value, list | tuple) else []


@rule(
    *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "sum"),
    *("relu6", "hardtanh", "sigmoid", "tanh", "clamp", "softplus", "cat", "stack", "pad"),
    *("flatten", "view", "reshape", "squeeze", "unsqueeze", "permute", "transpose", "expand"),
    *("contiguous", "clone", "to", "float"),
)
def monotone(func: Any, *args: Any, **kwargs: Any) -> Interval:
    """Of what rises with each of its inputs: ends go to ends."""
    given = _found(args)
    inplace = kwargs.pop("inplace", False)
    ends = _ends(func, given, args, kwargs)
    if not isinstance(ends[0], Tensor):
        raise UnsupportedError(
            f"there are no interval bounds of {func.__name__!r} with several results", "ask for one"
        )
    result = _joined(given, *ends)
    return given[0].become(result) if inplace else result


@rule("split", "chunk", "tensor_split", "unbind")
def parts(func: Any, *args: Any, **kwargs: Any) -> tuple[Interval, ...]:
    """Of what takes apart: part by part."""
    given = _found(args)
    lower, upper, nominal = _ends(func, given, args, kwargs)
    nominals = [None] * len(lower) if nominal is None else nominal
    return tuple(_joined(given, *ends) for ends in zip(lower, upper, nominals, strict=True))


def _ends(func: Any, given: Sequence[Interval], args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
    """What a function gives of each end, and of the nominal tensors where all have one."""
    names = ["lower", "upper"]
    if all(x.nominal is not None for x in given):
        names.append("nominal")
    found = [func(*(_of(arg, name) for arg in args), **kwargs) for name in names]
    return found[0], found[1], found[2] if len(found) > 2 else None


def _joined(
    given: Sequence[Interval], lower: Tensor, upper: Tensor, nominal: Tensor | None
) -> Interval:
    seen = next((x.activations for x in given if x.activations is not None), None)
    return Interval(lower, upper, nominal, seen)


@rule("add")
def add(func: Any, x: Any, y: Any, *, alpha: float = 1) -> Interval:
    """Monotone, after a change of sign where there is one."""
    return monotone(torch.add, x, y if alpha == 1 else y * alpha)


@rule("sub")
def sub(func: Any, x: Any, y: Any, *, alpha: float = 1) -> Interval:
    """A sum with what is taken away turned round."""
    return monotone(torch.add, x, y * -alpha)


@rule("relu")
def relu(func: Any, x: Interval, inplace: bool = False) -> Interval:
    """Monotone, and noted."""
    if x.activations is not None:
        x.activations.append(Interval(x.lower, x.upper, x.nominal))
    return monotone(torch.relu, x, inplace=inplace)


@rule("leaky_relu")
def leaky_relu(func: Any, x: Interval, slope: float = 0.01, **kwargs: Any) -> Interval:
    """Monotone unless it falls for negative inputs."""
    slope = kwargs.pop("negative_slope", slope)
    if slope < 0:
        raise UnsupportedError("a leaky ReLU of negative slope has no bounds", "use another")
    return monotone(nn.functional.leaky_relu, x, slope, **kwargs)


@rule("linear", "conv1d", "conv2d", "conv3d")
def affine(
    func: Any, x: Any, weight: Any, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> Interval:
    """The middle goes through, the radius through absolute weights."""
    if not isinstance(x, Interval) or _found([weight, bias]):
        raise UnsupportedError("there are no bounds of weights that inputs decide", "use others")
    center, radius = func(x.center, weight, bias, *args, **kwargs), x.radius
    radius = func(radius, weight.abs(), None, *args, **kwargs)
    nominal = None if x.nominal is None else func(x.nominal, weight, bias, *args, **kwargs)
    result = Interval(center - radius, center + radius, nominal, x.activations)
    if func.__name__ == "linear" and x.lower.ndim == 2:
        result.last = Head(Interval(x.lower, x.upper), weight, bias)
    return result


@rule("batch_norm")
def batch_norm(
    func: Any,
    x: Interval,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Interval:
    """An affine map of each channel, by running statistics or those of the nominal batch."""
    nominal = None
    if x.nominal is not None:
        nominal = func(x.nominal, running_mean, running_var, weight, bias, training, momentum, eps)
    if training:
        if x.nominal is None:
            raise UnsupportedError("a batch's statistics need its nominal inputs", "give them")
        over = [axis for axis in range(x.lower.ndim) if axis != 1]
        variance, mean = torch.var_mean(x.nominal, over, correction=0)
    else:
        assert running_mean is not None
        assert running_var is not None
        variance, mean = running_var, running_mean
    shape = (1, -1, *(1,) * (x.lower.ndim - 2))
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    center = x.center * scale.view(shape) + shift.view(shape)
    radius = x.radius * scale.abs().view(shape)
    return Interval(center - radius, center + radius, nominal, x.activations)


@rule("mul")
def mul(func: Any, x: Any, y: Any) -> Interval:
    """By what is known; a negative factor exchanges the ends."""
    x, factor = (x, y) if isinstance(x, Interval) else (y, x)
    if isinstance(factor, Interval):
        raise UnsupportedError("there are no bounds of a product of two inputs", "use sums")
    low, high = x.lower * factor, x.upper * factor
    nominal = None if x.nominal is None else x.nominal * factor
    return Interval(torch.minimum(low, high), torch.maximum(low, high), nominal, x.activations)


@rule("div")
def div(func: Any, x: Any, y: Any) -> Interval:
    """By what is known."""
    if isinstance(y, Interval):
        raise UnsupportedError("there are no bounds of a division by inputs", "multiply")
    return mul(func, x, 1 / y)


@rule("neg")
def neg(func: Any, x: Interval) -> Interval:
    """Exchanges the ends."""
    return mul(func, x, -1.0)


@rule("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
def dropout(
    func: Any, x: Interval, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Interval:
    """One mask for all; the identity in evaluation."""
    if not training:
        return x
    if "alpha" in func.__name__:
        raise UnsupportedError(f"there are no interval bounds of {func.__name__!r}", "use dropout")
    result = mul(func, x, func(torch.ones_like(x.lower), p, True))
    return x.become(result) if inplace else result


@rule("zeros_like")
def zeros_like(func: Any, x: Interval, **kwargs: Any) -> Interval:
    """A box without width."""
    return monotone(torch.zeros_like, x, **kwargs)
