"""Who does the work: this process (`serial`), supervised ones (`processes`), a cluster (`ray`).

A work's seed comes from what it is, a session's from its run, and all executors do a job by the
same code. A strategy that asks in batches is therefore told the same by all, to the last bit as
long as the training code is a function of its seed: same machine, same library versions and the
same number of CPU threads a worker (`Setup.threads`: sums may round otherwise on more threads).
A strategy that uses `Next` is told the same figures, in an order that several workers decide;
the order is stored, so that a resumed run repeats it.
"""

from __future__ import annotations

from nas.core.registry import Registry
from nas.engine.executors.base import Executor, Job, Report, Setup

EXECUTORS: Registry[type[Executor]] = Registry("executor", "nas.executors")
EXECUTORS.add(
    "serial",
    "nas.engine.executors.serial:SerialExecutor",
    "one work after another, in this process",
)
EXECUTORS.add(
    "processes",
    "nas.engine.executors.processes:ProcessExecutor",
    "one supervised process per worker, restarted when it dies",
)
EXECUTORS.add(
    "ray",
    "nas.engine.executors.ray:RayExecutor",
    "tasks and actors of a Ray cluster, this machine's or the one at --address",
)

__all__ = ["EXECUTORS", "Executor", "Job", "Report", "Setup"]
