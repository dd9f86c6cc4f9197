"""What is told of works whose workers died or had to be ended."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nas.core.work import Call, Spent
from nas.engine.executors.base import Job, Report

PATIENCE: Final = 5.0
"""Seconds beyond its time-out that a job gets to stop by itself before it is ended."""


def failure(job: Job, error: str, seconds: float) -> Report:
    """Evaluations fail; a call cannot, because its strategy could not go on without it.

    Args:
        job: The job.
        error: Why, in one line.
        seconds: How long it had been running.
    """
    if isinstance(job.work, Call):
        message = f"session {job.work.session!r} in {job.work.method!r}: {error}"
        return Report(job.id, "fatal", error=message, hint="resume the run to try again")
    spent = Spent(float(job.work.budget or 0.0), 1, seconds)
    return Report(job.id, "failed", error=error, spent=spent.to_dict())


def died(attempts: int, how: str) -> str:
    """The error of a work that was not tried again."""
    times = "" if attempts == 1 else f" {attempts} times"
    return f"the worker process died{times} ({how})"


def timed_out(seconds: float) -> str:
    """The error of a work that took too long, however it was ended."""
    return f"timed out after {seconds:g} s"


def out_of_memory(pid: int | None, limit: float) -> str:
    """The error of a process above `limit` megabytes; empty if it is not."""
    used = resident_mb(pid)
    return f"out of memory: {used:.0f} MB of {limit:g} MB allowed" if used > limit else ""


def resident_mb(pid: int | None) -> float:
    """Megabytes of memory that a process has now; 0 where that cannot be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * 4096 / 1e6
