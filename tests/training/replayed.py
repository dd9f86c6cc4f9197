"""A stand-in for recordings of a GPU: nothing may be read, and results do not stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

ROOM = 2**18
"""Elements of a pool."""


class NoReading(TorchDispatchMode):
    """Within, a value that is read on the host is an error, as it is in a recording."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.split(".")[0] in ("_local_scalar_dense", "nonzero", "is_nonzero"):
            raise RuntimeError(f"{func} reads a value")
        return func(*args, **(kwargs or {}))


class Replayed:
    """In place of `nas.training.graphs.Recorded`; a pool's results are written over by the next.

    What a call gives lies one behind the other from the beginning of its pool's memory, so that the
    next call of any function of that pool writes over it.
    """

    made: list[Replayed] = []  # noqa: RUF012

    def __init__(
        self, function: Callable[..., Any], pool: Any = None, *, record: bool = True
    ) -> None:
        self._function, self._record = function, record
        self._memory: dict[torch.dtype, Tensor] = (
            {} if pool is None else pool.__dict__.setdefault("memory", {})
        )
        self.calls = self.forgotten = 0
        self.made.append(self)

    def __call__(self, *inputs: Tensor) -> Any:
        if not self._record:
            return self._function(*inputs)
        self.calls += 1
        with NoReading():
            found = self._function(*(tensor.clone() for tensor in inputs))
        used: dict[torch.dtype, int] = {}

        def lay(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            memory = self._memory.setdefault(value.dtype, torch.zeros(ROOM, dtype=value.dtype))
            start = used.get(value.dtype, 0)
            used[value.dtype] = start + value.numel()
            layout = torch.empty_like(value, device="meta").stride()
            return memory.as_strided(value.shape, layout, start).copy_(value)

        return tree_map(lay, found)

    def forget(self, device: Any = None) -> None:
        self.forgotten += 1
