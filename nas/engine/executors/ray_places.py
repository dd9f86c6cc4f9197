"""Room on a Ray cluster: how many jobs may be under way, and the actors that sessions hold."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from nas.engine.executors.ray_cluster import Share, share
from nas.engine.executors.ray_module import ray
from nas.engine.executors.ray_worker import SessionHand

COUNT: Final = 10.0
"""Seconds between counts of the GPUs there are."""


@dataclass
class _Actor:
    """A session's actor."""

    handle: Any
    used: float = 0.0
    busy: bool = False


class Places:
    """Where jobs find room.

    On CPUs Ray queues what finds none. GPUs are held by sessions' actors as long as they live, so
    no job may be queued for one: nobody would let an idle actor go for it.

    Args:
        workers: Jobs that may be under way at the same time.
        per_device: Workers that share a GPU.
        size: What one worker takes; how many find room is counted anew where GPUs are used.
        tasks: How many jobs are under way as tasks.
    """

    def __init__(
        self, workers: int, per_device: int, size: Share, tasks: Callable[[], int]
    ) -> None:
        self._workers = workers
        self._per_device = per_device
        self._size = size
        self._tasks = tasks
        self._actors: dict[str, _Actor] = {}
        self._counted = 0.0

    @property
    def threads(self) -> int:
        """CPU threads of one worker."""
        return self._size.threads

    @property
    def resources(self) -> dict[str, Any]:
        """What one worker takes, as Ray's options."""
        taken: dict[str, Any] = {"num_cpus": self._size.threads}
        if self._size.gpus:
            taken["num_gpus"] = self._size.gpus
        return taken

    def room(self) -> int:
        """Jobs that may be under way now."""
        if not self._size.gpus:
            return self._workers
        if time.monotonic() - self._counted > COUNT:  # nodes come and go
            self._size = share(self._workers, self._per_device, True, self._size.threads)
            self._counted = time.monotonic()
        return min(self._workers, self._size.runnable)

    def make_room(self) -> None:
        """Let idle sessions go whose actors hold GPUs that the next job needs."""
        if not self._size.gpus:
            return
        tasks = self._tasks()
        idle = sorted((actor.used, name) for name, actor in self._actors.items() if not actor.busy)
        for _, name in idle:
            if tasks + len(self._actors) < self.room():
                return
            self.dismiss(name)

    def busy(self, session: str) -> bool:
        """Whether the session's actor does a call."""
        actor = self._actors.get(session)
        return actor is not None and actor.busy

    def take(self, session: str) -> Any:
        """The handle of the session's actor, busy from now on; a new one if there is none."""
        actor = self._actors.get(session)
        if actor is None:
            self.make_room()
            # On CPUs, actors would block tasks by merely living; the executor counts what runs.
            options = self.resources if self._size.gpus else {}
            handle = ray().remote(SessionHand).options(max_restarts=0, **options).remote()
            actor = self._actors[session] = _Actor(handle)
        actor.busy = True
        return actor.handle

    def rest(self, session: str) -> None:
        """The session's call is over, one way or the other."""
        actor = self._actors.get(session)
        if actor is not None:
            actor.busy, actor.used = False, time.monotonic()

    def dismiss(self, session: str) -> None:
        """End the session's actor, whatever it is doing; nothing if there is none."""
        actor = self._actors.pop(session, None)
        if actor is not None:
            with contextlib.suppress(ray().exceptions.RayError):
                ray().kill(actor.handle)

    def close(self) -> None:
        """End all actors."""
        for session in list(self._actors):
            self.dismiss(session)
