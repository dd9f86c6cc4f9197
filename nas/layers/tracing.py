"""Which channels of a network belong together, found by following one small input through it.

Every channel of every tensor has a number. A convolution gives new ones, a pooling passes on those
it gets, an addition makes those of both sides one, and so on for each operation that our spaces and
plain convolutional and fully connected networks are made of. Nothing is computed: the tensors have
no storage.

The rules are in `nas.layers.rules`; an operation without one is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.core.errors import NasError, UnsupportedError
from nas.layers.rules import RULES

__all__ = ["Ids", "Trace", "trace"]

Ids: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
"""Numbers of channels, in the order in which they lie in a tensor."""

IMAGES: Final = 2


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What an input met on its way through a network.

    Attributes:
        rows: Of a parameter or buffer by name: the channels that its first dimension makes or
            scales.
        columns: Of a weight by name: the channels that it reads.
        narrowed: Of a module that takes the first channels only, by name: those it gives.
        states: The channels of every tensor on the way.
    """

    def __init__(self, names: Mapping[int, str], modules: Mapping[str, nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows: dict[str, Ids] = {}
        self.columns: dict[str, Ids] = {}
        self.narrowed: dict[str, Ids] = {}
        self.states: list[Ids] = []
        self.inside = [""]
        self._names, self._modules = dict(names), modules
        self._parents: list[int] = []
        self._pinned: list[int] = []
        self._ids: dict[int, Ids] = {}
        self._gates: set[int] = set()
        self._alive: list[Tensor] = []  # so that no other tensor gets the id of one that is gone

    # -- channels ------------------------------------------------------------------------

    def root(self, number: int) -> int:
        """The number that stands for all channels that go together with this one."""
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def roots(self) -> Ids:
        """The root of every channel there is."""
        return np.array([self.root(number) for number in range(len(self._parents))], np.int64)

    def pinned(self) -> Ids:
        """The channels that must stay: what is read from outside, or is never zero."""
        return np.array(self._pinned, np.int64)

    def pin(self, ids: Ids) -> None:
        """These channels stay."""
        self._pinned += ids.tolist()

    def new(self, count: int) -> Ids:
        """Channels that go together with no other."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def join(self, first: Ids, second: Ids) -> Ids:
        """Make channels of two tensors go together, one by one."""
        if first is second:
            return first
        if len(first) != len(second):
            raise self.refused(f"{len(first)} channels beside {len(second)}")
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted((self.root(a), self.root(b)))
            self._parents[high] = low
        return first

    def of(self, tensor: Any) -> Ids | None:
        """The channels of a tensor; None for one that does not depend on the input."""
        return self._ids.get(id(tensor))

    def gates(self, tensor: Any) -> bool:
        """Whether a tensor is not zero where its channels are, and so may only scale another."""
        return id(tensor) in self._gates

    def gate(self, tensor: Tensor, ids: Ids) -> None:
        """Say which channels a tensor scales, along its second dimension."""
        self.give(tensor, ids)
        self._gates.add(id(tensor))

    def give(self, tensor: Tensor, ids: Ids) -> None:
        """Say which channels a tensor has, along its second dimension."""
        if tensor.dim() < 2 or tensor.shape[1] != len(ids):
            raise self.refused(f"a tensor of shape {tuple(tensor.shape)}")
        self._ids[id(tensor)] = ids
        self._alive.append(tensor)
        self.states.append(ids)

    # -- weights -------------------------------------------------------------------------

    def name(self, tensor: Tensor) -> str:
        """The name of a parameter or buffer.

        Raises:
            UnsupportedError: It is none.
        """
        try:
            return self._names[id(tensor)]
        except KeyError:
            raise self.refused("weights that are computed from others") from None

    def scaled(self, tensor: Tensor | None, ids: Ids) -> Ids:
        """A parameter or buffer makes or scales these channels, as whatever it did before."""
        if tensor is None:
            return ids
        return self.join(self.rows.setdefault(self.name(tensor), ids), ids)

    def read(self, weight: Tensor, ids: Ids) -> None:
        """A weight reads these channels, as whatever it read before."""
        self.join(self.columns.setdefault(self.name(weight), ids), ids)

    def outputs(self, weight: Tensor, count: int) -> Ids:
        """The channels that a dense weight makes: the same ones whenever it is used."""
        known = self.rows.get(self.name(weight))
        return self.scaled(weight, self.new(count) if known is None else known)

    def narrow(self, ids: Ids) -> None:
        """The module at hand gives the first channels of what it gets; it must say how many."""
        place = self.inside[-1]
        if getattr(self._modules[place], "channels", None) != len(ids):
            raise self.refused("channels that are picked")
        self.join(self.narrowed.setdefault(place, ids), ids)

    # -- operations ----------------------------------------------------------------------

    def refused(self, what: str) -> UnsupportedError:
        """The error about what no rule is for."""
        place = self.inside[-1]
        where = f"{place!r}, a {type(self._modules[place]).__name__}" if place else "the network"
        return UnsupportedError(
            f"channels cannot be removed around {what} (in {where})", "train it without pruning"
        )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        operation = func._overloadpacket.__name__
        if any(self.of(part) is not None for part in tree_leaves((args, kwargs))):
            name = operation.rstrip("_")
            rule = RULES.get(name)
            if rule is None:
                raise self.refused(f"the operation {name!r}")
            if name != "mul" and any(map(self.gates, tree_leaves((args, kwargs)))):
                raise self.refused(f"a gate that is read by {name!r}")
            rule(self, result, *args, **kwargs)
        elif operation == "t" and id(args[0]) in self._names:
            self._names[id(result)] = self._names[id(args[0])]
            self._alive.append(result)
        return result


@torch.no_grad()
def trace(network: nn.Module, input_shape: Sequence[int]) -> Trace:
    """Follow an input through a network, which is left as it was.

    Its layers are in evaluation mode and the network itself in training mode, in which it also
    gives what an auxiliary head says.

    Args:
        network: Gives logits (batch, classes), or several tensors.
        input_shape: Of one input; channels, height and width of an image.

    Raises:
        UnsupportedError: There is an operation without a rule, or the network cannot be run
            without computing.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shadow = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    x = torch.empty((IMAGES, *input_shape), device="meta", dtype=dtype)
    modules = dict(network.named_modules())
    found = Trace({id(tensor): name for name, tensor in shadow.items()}, modules)
    modes = [(module, module.training) for module in modules.values()]
    hooks: list[Any] = []
    try:
        network.eval()
        network.training = True
        for name, module in modules.items():
            hooks.append(module.register_forward_pre_hook(_entering(found, name)))
            hooks.append(module.register_forward_hook(lambda *_: _left(found)))
        channels = found.new(input_shape[0])
        found.pin(channels)
        found.give(x, channels)
        with found:
            outputs = functional_call(network, shadow, (x,))
        for tensor in tree_leaves(outputs):
            ids = found.of(tensor)
            if ids is not None:
                found.pin(ids)
    except NasError:
        raise
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise UnsupportedError(
            f"the network cannot be followed without computing: {reason}",
            "train it without pruning",
        ) from error
    finally:
        for handle in hooks:
            handle.remove()
        for module, training in modes:
            module.training = training
    return found


def _entering(to: Trace, name: str) -> Callable[..., None]:
    return lambda *_: to.inside.append(name)


def _left(to: Trace) -> None:
    to.inside.pop()
