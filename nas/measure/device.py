"""Figures of a network on the device at hand: how long a forward pass takes, what memory it needs.

They are measured, not counted: another machine, or other work beside it, gives other figures, and
of two measurements of one network neither is wrong. Searches that name them should run on a machine
that does nothing else, one worker at a time.
"""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.measure.counts import evaluating
from nas.measure.figures import Subject
from nas.measure.settings import LatencySettings, MemorySettings

MEGA = 1e6


def latency_ms(subject: Subject, settings: LatencySettings) -> float:
    """Median milliseconds of a forward pass of a batch, in evaluation mode and float32.

    On a CUDA device each pass is timed by events on the device, on others by the clock.
    """
    device = torch.device(subject.device)
    images = torch.zeros((settings.batch, *subject.data.input_shape), device=device)
    with passing(subject.network, images, settings.threads) as run:
        end = time.perf_counter() + settings.warmup_s
        run()
        while time.perf_counter() < end:
            run()
        wait(device)
        times = [_timed(run, device) for _ in range(settings.passes)]
    return float(statistics.median(times))


def memory_mb(subject: Subject, settings: MemorySettings) -> float:
    """Most megabytes (10^6 bytes) held at a time in a forward pass of a batch, weights included.

    In evaluation mode and float32. On a CUDA device what torch's allocator counts, with what
    kernels allocate for themselves; on others the tensors alive, without that.
    """
    device = torch.device(subject.device)
    images = torch.zeros((settings.batch, *subject.data.input_shape), device=device)
    state = [*subject.network.parameters(), *subject.network.buffers()]
    if device.type == "cuda":
        with passing(subject.network, images, None) as run:
            run()
            wait(device)
            before = torch.cuda.memory_allocated(device)
            torch.cuda.reset_peak_memory_stats(device)
            run()
            wait(device)
            during = torch.cuda.max_memory_allocated(device) - before
        return (_bytes([*state, images]) + during) / MEGA
    with passing(subject.network, images, None) as run, _Alive() as alive:
        run()
    return float(_bytes([*state, images]) + alive.most) / MEGA


@contextmanager
def passing(network: nn.Module, images: Tensor, threads: int | None) -> Iterator[Callable[[], Any]]:
    """A forward pass as a function; the number of threads is put back afterwards."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with evaluating(network), torch.inference_mode():
            yield lambda: network(images)
    finally:
        torch.set_num_threads(before)


def _timed(run: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)


def wait(device: torch.device) -> None:
    """Wait until a device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages that operations make, for as long as they live.

    Attributes:
        most: Most bytes alive at a time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id_of(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and id_of(tensor) not in given:
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()

        def gone(_: Any) -> None:
            self._now -= size
            del self._seen[key]

        self._seen[key] = weakref.ref(storage, gone)
        self._now += size
        self.most = max(self.most, self._now)


def id_of(tensor: Tensor) -> int:
    """Of the storage that a tensor is a view of."""
    found: int = tensor.untyped_storage()._cdata
    return found
