"""Who does the work: in this process (`serial`), or in supervised ones (`processes`)."""

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

__all__ = ["EXECUTORS", "Executor", "Job", "Report", "Setup"]
