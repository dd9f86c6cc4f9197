"""What our own optimizers share: the step, what is refused, and arithmetic on many tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

import torch
from torch import Tensor

from nas.core.errors import ConfigError

SYNCHRONOUS: Final = frozenset({"cpu"})
"""Devices that have computed what they are told when the call returns.

There launching is free and numbers can be looked at without waiting: one tensor after the other
takes the fewest passes over memory, and what is not needed is not computed. Elsewhere all is
computed, of many tensors at once.
"""


class Closure(Protocol):
    """Computes loss and gradients of a batch, as often as it is called; what trainers give a step.

    Optimizers that only ever call it as `closure()` are content with any function. The others may
    say what else they want; `asked` does so, and says clearly if a closure does not know it.

    - `closure(backward=False)`: the loss alone, to be differentiated by the optimizer itself if
      gradients are enabled.
    - `closure(drawn=True)`: gradients of the loss to labels that are drawn from what the network
      says, instead of the batch's own.
    - `closure(inputs=True)`: the gradient of the loss in the inputs, a tensor of their shape in
      units of pixels from 0 to 1. Weights get no gradient.
    - `closure(moved=way)`: loss and gradients at inputs that are moved by `way`, a tensor of their
      shape in the same units; pixels that would leave 0 to 1 stay at that end.

    Its attribute `examples`, which few need, is the number of examples in the batch.
    """

    def __call__(self) -> Any:
        """Loss and gradients."""
        ...


@runtime_checkable
class TwoFaced(Protocol):
    """An optimizer that trains at other weights than those that it is for.

    Trainers have it show the others while they measure, and at the end.
    """

    def eval(self) -> Any:
        """Give the network the weights to measure and to keep."""
        ...

    def train(self) -> Any:
        """Give it those again at which gradients are wanted."""
        ...


def grouped(params: Iterable[Any]) -> list[Any]:
    """Parameters or groups as a list: iterables are looked at twice.

    Raises:
        ConfigError: There is none.
    """
    groups = list(params)
    if groups and isinstance(groups[0], dict):
        groups = [{**group, "params": list(group["params"])} for group in groups]
    if not tensors_of(groups):
        raise ConfigError("there is no parameter to optimize", "does the network have weights?")
    return groups


def tensors_of(groups: Iterable[Any]) -> list[Any]:
    """All parameters of what `grouped` gives."""
    found: list[Any] = []
    for item in groups:
        found += item["params"] if isinstance(item, dict) else [item]
    return found


HALVES: Final = frozenset({torch.float16, torch.bfloat16})


def listed(params: Iterable[Any], without: frozenset[torch.dtype] = frozenset()) -> list[Any]:
    """As `grouped`, of what our rules are for.

    Args:
        params: Parameters or groups.
        without: Types in which a rule loses what it is about.

    Raises:
        ConfigError: There is no parameter, or one that none of our rules is for.
    """
    groups = grouped(params)
    for tensor in tensors_of(groups):
        real = isinstance(tensor, Tensor) and tensor.is_floating_point() and not tensor.is_sparse
        if not real or tensor.dtype in without:
            kind = getattr(tensor, "dtype", type(tensor).__name__)
            fix = "float32" if real else "real and dense ones"
            raise ConfigError(f"a parameter of {kind} cannot be optimized by this rule", fix)
    return groups


def synchronous(tensor: Tensor) -> bool:
    """Whether a tensor's device is one of those."""
    return tensor.device.type in SYNCHRONOUS


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """A copy of each, laid out in memory as it is."""
    if not tensors or synchronous(tensors[0]):
        return [tensor.clone() for tensor in tensors]
    found = [torch.empty_like(tensor) for tensor in tensors]
    torch._foreach_copy_(found, list(tensors))
    return found


def chance(seed: int) -> Callable[[torch.device], torch.Generator]:
    """A generator of that seed for each device that is asked for, always the same one."""

    @cache
    def on(device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(seed)

    return on


def evaluated(closure: Closure | None) -> Any:
    """Loss and gradients of the batch.

    Raises:
        ConfigError: There is no closure.
    """
    with torch.enable_grad():
        return _there(closure)()


def asked(closure: Closure | None, **wish: Any) -> Any:
    """What a closure gives for a wish; see `Closure`. Gradients are as the caller has them.

    Raises:
        ConfigError: There is no closure, or it does not know the wish.
    """
    known: Any = _there(closure)
    try:
        return known(**wish)
    except TypeError as error:
        (name,) = wish
        if name not in str(error):
            raise
        raise ConfigError(
            f"the closure does not take {name!r}, which this optimizer asks for",
            "see nas.optimizers.rule.Closure",
        ) from error


def _there(closure: Closure | None) -> Closure:
    if closure is None:
        raise ConfigError("the step needs a closure that computes loss and gradients", "give one")
    return closure


def dense(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Those that have a gradient.

    Raises:
        ConfigError: A gradient is sparse.
    """
    found = [parameter for parameter in parameters if parameter.grad is not None]
    for parameter in found:
        if parameter.grad is not None and parameter.grad.is_sparse:
            raise ConfigError("a gradient is sparse", "use an embedding with sparse=False")
    return found


class Counting(torch.optim.Optimizer):
    """An optimizer whose state holds whole numbers beside what it keeps of each weight.

    Attributes:
        numbers: Names of the attributes that hold them.
        taken: Steps taken.
    """

    numbers: ClassVar[tuple[str, ...]] = ("taken",)
    taken = 0

    def state_dict(self) -> dict[str, Any]:
        """State, the numbers included."""
        return {**super().state_dict(), **{name: getattr(self, name) for name in self.numbers}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Become what gave `state_dict`.

        Raises:
            ConfigError: It is of another optimizer.
        """
        rest = dict(state_dict)
        found = {name: rest.pop(name, None) for name in self.numbers}
        if None in found.values():
            kind = type(self).__name__
            raise ConfigError(f"the state is of another optimizer than {kind}", "begin anew")
        super().load_state_dict(rest)
        for name, value in found.items():
            setattr(self, name, int(value))


class Rule(torch.optim.Optimizer):
    """An optimizer that asks for one gradient and moves each group by it.

    A subclass says how in `_move`; nothing in it may wait for the device.
    """

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Take a step; what the closure gave, None without one (gradients are there then).

        Raises:
            ConfigError: A gradient is sparse. Nothing has moved then.
        """
        loss = None if closure is None else evaluated(closure)
        groups = [(group, dense(group["params"])) for group in self.param_groups]
        for group, parameters in groups:
            if parameters:
                gradients = [p.grad for p in parameters if p.grad is not None]
                self._move(group, parameters, gradients)
        return loss

    @abstractmethod
    def _move(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        """Move some weights by their gradients.

        Args:
            group: Their settings; `group["lr"]` is the rate at hand.
            weights: At least one, each with a gradient.
            gradients: In the same order.
        """

    def _kept(self, weights: Sequence[Tensor], name: str) -> list[Tensor]:
        """A tensor like each weight that the state keeps under a name, zero at first."""
        states = [self.state[weight] for weight in weights]
        for weight, state in zip(weights, states, strict=True):
            if name not in state:
                state[name] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        return [state[name] for state in states]

    def _adam(
        self, weight: Tensor, gradient: Tensor, betas: tuple[float, float], epsilon: float
    ) -> Tensor:
        """Adam's direction (Kingma and Ba, ICLR 2015): unbiased mean over root of mean square."""
        beta1, beta2 = betas
        (mean,), (square,) = self._kept([weight], "mean"), self._kept([weight], "square")
        state = self.state[weight]
        step = state["step"] = state.get("step", 0) + 1
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2**step)).sqrt_().add_(epsilon)
        direction: Tensor = (mean / (1 - beta1**step)).div_(root)
        return direction

    def _adams(
        self,
        weights: list[Tensor],
        gradients: list[Tensor],
        betas: tuple[float, float],
        epsilon: float,
    ) -> list[Tensor]:
        """As `_adam`, of many weights at once; each has taken steps of its own number."""
        beta1, beta2 = betas
        means, squares = self._kept(weights, "mean"), self._kept(weights, "square")
        steps = []
        for weight in weights:
            state = self.state[weight]
            state["step"] = state.get("step", 0) + 1
            steps.append(state["step"])
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = torch._foreach_div(squares, [1 - beta2**step for step in steps])
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, epsilon)
        directions = torch._foreach_div(means, [1 - beta1**step for step in steps])
        torch._foreach_div_(directions, roots)
        return list(directions)
