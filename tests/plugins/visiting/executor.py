"""An executor of another package: jobs one by one, and a list of what was done."""

from __future__ import annotations

import os
from pathlib import Path

from nas.engine.executors.base import Job
from nas.engine.executors.serial import SerialExecutor

LIST = "VISITING_DONE"
"""Variable of the environment that names the file of the list, a key a line."""


class Listing(SerialExecutor):
    def submit(self, job: Job) -> None:
        if LIST in os.environ:
            with Path(os.environ[LIST]).open("a") as done:
                done.write(f"{job.key}\n")
        super().submit(job)
