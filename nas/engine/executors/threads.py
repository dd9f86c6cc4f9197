"""How many CPU threads a worker's torch may use."""

from __future__ import annotations

import os
import sys
from typing import Final

VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def fair_share(workers: int) -> int:
    """Threads for each of `workers`: the cores this process may use, divided.

    Never more than the environment allows by OMP_NUM_THREADS.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    share = max(1, cores // max(1, workers))
    allowed = os.environ.get(VARIABLES[0], "")
    return min(share, max(1, int(allowed))) if allowed.isdigit() else share


def limit_threads(threads: int) -> None:
    """Let torch, loaded now or later, use `threads` CPU threads in this process."""
    for variable in VARIABLES:
        os.environ[variable] = str(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
