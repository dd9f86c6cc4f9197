"""What depends on the device: precision, memory, determinism."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

import torch

from nas.core.errors import CandidateError, ConfigError

MEMORY_WORDS: Final = re.compile(
    r"out of memory|not enough memory|can't allocate memory|cannot allocate memory", re.IGNORECASE
)


def resolve(device: str) -> torch.device:
    """The device of that name; "auto" is the first CUDA device, else the CPU.

    Raises:
        ConfigError: There is no such device.
    """
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"{device!r} is no device", "say auto, cpu, cuda or cuda:1") from None
    if found.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (found.index or 0) >= count:
            raise ConfigError(
                f"device {device!r} is not there ({count} CUDA device(s))", "say --device cpu"
            )
    return found


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """A fresh context for a forward pass in the precision of a recipe.

    "auto" is bfloat16 on CUDA devices that have it; on the CPU it measured slower than float32.
    """
    if precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported():
        precision = "bfloat16"
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that an allocation failed, on the host or the device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(MEMORY_WORDS.search(str(error)))


def out_of_memory(
    error: Exception, device: torch.device, batch_size: int | None = None
) -> CandidateError:
    """The candidate's failure that an error on a device was: memory ran out, and is given back.

    Args:
        error: Raised as it is if it was anything else.
        device: Where.
        batch_size: To be told, if there is one.
    """
    if not is_out_of_memory(error):
        raise error
    if device.type == "cuda":
        torch.cuda.empty_cache()
    at = "" if batch_size is None else f" at batch size {batch_size}"
    return CandidateError(f"out of memory on {device}{at}", "lower batch_size")


@contextmanager
def deterministic() -> Iterator[None]:
    """Let cuDNN choose only algorithms that give equal results for equal inputs."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolve and multiply in float32 proper, without TF32.

    For differences of nearly equal losses and for second derivatives: what they are about is
    smaller than the rounding of TF32 (and of bfloat16, see `autocast`).
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
