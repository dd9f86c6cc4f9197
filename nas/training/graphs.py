"""Recording what a GPU does in a step once, and having it done again without the host.

A supernet's step is thousands of small kernels, and a host needs longer to launch them than a GPU
to run them. A CUDA graph launches all of them at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor

from nas.training.device import is_out_of_memory

__all__ = ["Pool", "Recorded"]

T = TypeVar("T")
Key: TypeAlias = tuple[tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device], ...]

EAGER_CALLS = 2
"""Calls of a shape before it is recorded: libraries choose and load their kernels in them."""


class Recorded(Generic[T]):
    """A function of tensors that is recorded on its third call of a shape, and replayed from then.

    Nothing is recorded off a GPU, and none of what does not fit into its memory twice; the function
    is then called each time. What is computed is the same.

    Args:
        function: From tensors to tensors, in any arrangement. It may read other tensors where they
            lie (parameters) and write to them, but not replace them; what is recorded must read no
            value back, draw random numbers from the device's default generator only, and keep
            nothing else.
        pool: Memory to share. A result is overwritten by the next call of any function that has
            the same.
        record: Whether to record at all.
    """

    def __init__(
        self, function: Callable[..., T], pool: Pool | None = None, *, record: bool = True
    ) -> None:
        self._function = function
        self._pool = pool or Pool()
        self._record = record
        self._calls: dict[Key, int] = {}
        self._graphs: dict[Key, _Graph[T]] = {}
        _EVERY.add(self)

    def __call__(self, *inputs: Tensor) -> T:
        """What the function gives for some tensors."""
        if not self.records(inputs[0].device):
            return self._function(*inputs)
        key = tuple((tuple(t.shape), t.stride(), t.dtype, t.device) for t in inputs)
        if key not in self._graphs:
            calls = self._calls[key] = self._calls.get(key, 0) + 1
            if calls <= EAGER_CALLS or not self._pool.roomy:
                return self._function(*inputs)
            device = inputs[0].device
            usual, chance = torch.cuda.current_stream(device), _chance(device)
            before = chance.clone_state()
            try:
                self._graphs[key] = _Graph(self._function, inputs, self._pool)
            except RuntimeError as error:
                # Where recording broke off torch stays on its own stream, and its generator goes on
                # taking itself for recorded. It is given another state, and whatever was recorded
                # before draws from the old one: nobody may go on with that.
                torch.cuda.set_stream(usual)
                for recorded in list(_EVERY):
                    recorded.forget(device)
                chance.graphsafe_set_state(before)
                self._pool.roomy = False
                if not is_out_of_memory(error):
                    # It costs time and no result: what is wrong with the function itself, the call
                    # below says.
                    warnings.warn(f"nothing is recorded from here on: {error}", stacklevel=2)
                return self._function(*inputs)
        return self._graphs[key].replay(inputs)

    def records(self, device: torch.device) -> bool:
        """Whether what is on a device is recorded."""
        return self._record and device.type == "cuda"

    def forget(self, device: torch.device | None = None) -> None:
        """Drop the recordings, because tensors that they read are gone or no longer in use.

        Args:
            device: Only those that run there; None for all.
        """
        if device is None:
            self._calls.clear()
        dropped = [key for key in self._graphs if device is None or key[0][-1] == device]
        for where in {key[0][-1] for key in dropped}:
            torch.cuda.synchronize(where)  # the last replay may still run
        for key in dropped:
            del self._graphs[key]
            self._calls.pop(key, None)
        if dropped:
            self._pool.renew()


_EVERY: WeakSet[Recorded[Any]] = WeakSet()


def _chance(device: torch.device) -> torch.Generator:
    index = torch.cuda.current_device() if device.index is None else device.index
    found: torch.Generator = torch.cuda.default_generators[index]
    return found


class Pool:
    """Memory of one device that several recordings share, which never run at the same time.

    Attributes:
        roomy: Whether there was room for a recording so far, and none failed.
    """

    def __init__(self) -> None:
        self.roomy = True
        self._handle: Any = None
        self._stream: torch.cuda.Stream | None = None

    def renew(self) -> None:
        """Take other memory from now on: torch gives a pool up once nothing recorded is left in it.

        Recordings that others still have in the old one keep it.
        """
        self._handle = None

    @contextmanager
    def recording(self, graph: torch.cuda.CUDAGraph, device: torch.device) -> Iterator[None]:
        """Record into `graph` what is done inside, on the device that is meant.

        Left to itself torch records on whichever device is current: nothing at all, if the work is
        done on another (pytorch/pytorch#87894).
        """
        with torch.cuda.device(device):
            if self._handle is None:
                self._handle = torch.cuda.graph_pool_handle()
            if self._stream is None:
                self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            # Other threads of this process may allocate meanwhile: progress, data.
            with torch.cuda.graph(
                graph, pool=self._handle, stream=self._stream, capture_error_mode="thread_local"
            ):
                yield


class _Graph(Generic[T]):
    def __init__(self, function: Callable[..., T], inputs: Sequence[Tensor], pool: Pool) -> None:
        self._inputs = [t.detach().clone() for t in inputs]
        self._graph = torch.cuda.CUDAGraph()
        with pool.recording(self._graph, inputs[0].device):
            self._outputs = function(*self._inputs)

    def replay(self, inputs: Sequence[Tensor]) -> T:
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._outputs
