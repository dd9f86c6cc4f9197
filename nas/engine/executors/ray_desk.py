"""What cannot wait for the end of a job: a small actor beside the driver, and the lines to it.

Through the `Desk` workers hear that they are to stop, and tell that they have begun, how far they
are, and why they end themselves. One that is lost or restarted costs messages, never a job.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from nas.engine.executors.base import Said
from nas.engine.executors.ray_module import on_node, ray
from nas.engine.records import dump, load

ASK: Final = 0.5
"""Seconds between a worker's questions whether it is to stop."""

LOOK: Final = 0.25
"""Seconds between the driver's looks at the desk."""

KEPT: Final = 1000
"""What workers said and the driver has not taken is dropped beyond so many."""

UNDERWAY: Final = 64
"""Messages of one worker that may be on their way; more are dropped."""


class Desk:
    """An actor: what has to be known before a job is over.

    Args:
        setup: The run's, as Ray would send it: this process need not be able to make it.
    """

    def __init__(self, setup: bytes) -> None:
        self._setup = setup
        self._halted = False
        self._said: deque[tuple[int, str, str]] = deque(maxlen=KEPT)
        self._begun: dict[int, int] = {}
        self._verdicts: dict[int, tuple[int, str]] = {}

    def setup(self) -> bytes:
        """The run's setup, for a worker that begins."""
        return self._setup

    def halt(self) -> None:
        """Running works are to raise `Interrupted`."""
        self._halted = True

    def halted(self) -> bool:
        """Whether they are."""
        return self._halted

    def say(self, job: int, topic: str, payload: str) -> None:
        """Progress of a job."""
        self._said.append((job, topic, payload))

    def begin(self, job: int, attempt: int) -> None:
        """A worker begins a job; until then it was queued."""
        self._begun[job] = attempt

    def judge(self, job: int, attempt: int, verdict: str) -> None:
        """A worker is about to end itself because of what its job did."""
        self._verdicts[job] = attempt, verdict

    def take(self) -> tuple[list[tuple[int, str, str]], dict[int, int], dict[int, Any]]:
        """All that was told since the last time."""
        taken = list(self._said), dict(self._begun), dict(self._verdicts)
        self._said.clear()
        self._begun.clear()
        self._verdicts.clear()
        return taken


class WorkerLine:
    """A job's line to the desk.

    Args:
        desk: The actor's handle.
        job: Number of the job.
        attempt: How often it was begun, this time included.

    Attributes:
        said: Something was told to the desk.
    """

    def __init__(self, desk: Any, job: int, attempt: int) -> None:
        self._ray = ray()
        self._desk = desk
        self._job = job
        self._attempt = attempt
        self._underway: list[Any] = []
        self._question: Any = None
        self._asked = time.monotonic()
        self._halted = False
        self.said = False

    def begin(self) -> None:
        """The job begins; until now it was queued."""
        self._desk.begin.remote(self._job, self._attempt)

    def emit(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Say something, unless too much of it is on its way already."""
        if len(self._underway) >= UNDERWAY:
            _, self._underway = self._ray.wait(
                self._underway, num_returns=len(self._underway), timeout=0
            )
        if len(self._underway) < UNDERWAY:
            self.said = True
            self._underway.append(self._desk.say.remote(self._job, topic, dump(dict(payload))))

    def flush(self) -> None:
        """Have all that was said arrive before the report."""
        if self._underway:
            self._ray.wait(self._underway, num_returns=len(self._underway), timeout=1.0)

    def halted(self) -> bool:
        """Whether the job is to stop, as far as the desk has answered; never waits."""
        if self._halted:
            return True
        if self._question is None:
            if time.monotonic() - self._asked >= ASK:
                self._question = self._desk.halted.remote()
            return False
        ready, _ = self._ray.wait([self._question], timeout=0)
        if ready:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._halted = bool(self._ray.get(self._question))
            self._question, self._asked = None, time.monotonic()
        return self._halted

    def judge(self, verdict: str) -> None:
        """Say why this process is about to end itself, and have that arrive."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(self._desk.judge.remote(self._job, self._attempt, verdict), timeout=5.0)


class DriverLine:
    """The driver's line to the desk; until `open` and after `close` there is none.

    Args:
        name: By which workers find the desk; new in each executor's life.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._ray: Any = None
        self._desk: Any = None
        self._looked = 0.0
        self._halted = False
        self._verdicts: dict[int, tuple[int, str]] = {}  # of workers that ended themselves

    def open(self, setup: bytes) -> None:
        """Set the desk up on this node, to give workers the pickled setup."""
        self._ray = ray()
        here = on_node(self._ray.get_runtime_context().get_node_id())
        self._desk = (
            self._ray.remote(Desk)
            .options(name=self._name, num_cpus=0, max_restarts=-1, scheduling_strategy=here)
            .remote(setup)
        )

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() - self._looked > LOOK

    def take(self) -> tuple[list[Said], Mapping[int, int]]:
        """What was said since the last time, and which attempt at which job has begun."""
        self._looked = time.monotonic()
        if self._halted:
            self._desk.halt.remote()  # again and again: the desk may have been restarted
        try:
            said, begun, verdicts = self._ray.get(self._desk.take.remote(), timeout=5.0)
        except self._ray.exceptions.RayError:
            return [], {}  # it is being restarted
        self._verdicts.update(verdicts)
        return [Said(number, topic, load(payload)) for number, topic, payload in said], begun

    def verdict(self, job: int, attempt: int) -> str:
        """Why the worker of this attempt ended itself, asked once; empty if it did not."""
        judged, verdict = self._verdicts.pop(job, (0, ""))
        return verdict if judged == attempt else ""

    def halt(self) -> None:
        """Make `should_stop` true in every worker, those to come as well."""
        self._halted = True
        if self._desk is not None:
            self._desk.halt.remote()

    def close(self) -> None:
        """Take the desk away."""
        desk, self._desk = self._desk, None
        if desk is not None and self._ray.is_initialized():
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(desk)
