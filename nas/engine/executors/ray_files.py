"""The files of a run's folder, on nodes of a Ray cluster that may not share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.engine.checkpoints import scratch_folder, seal
from nas.engine.executors.base import Job
from nas.engine.executors.parcels import Parcel, pack, unpack
from nas.engine.executors.ray_cluster import ask_nodes
from nas.engine.executors.ray_module import ray
from nas.engine.records import Checkpoint


class RunFiles:
    """Sends what a job needs of the run's folder, and keeps what comes back.

    Args:
        folder: The run's checkpoints; empty for none.
        name: Of the marker file; new in each executor's life.
        shared: Whether the nodes share the folder; None to find out.
    """

    def __init__(self, folder: str, name: str, shared: bool | None) -> None:
        self._folder = folder
        self._name = name
        self._shared = shared
        self._marker: Path | None = None

    @property
    def marker(self) -> str:
        """Name of the file by which a worker sees the folder; empty if it surely does."""
        return "" if self._marker is None else self._marker.name

    def settle(self, address: str) -> None:
        """Find out whether all nodes have our package and share the run's folder.

        Args:
            address: The cluster's; empty for one of our own.

        Raises:
            ClusterError: A node cannot do our work.
        """
        if self._shared is None and not address:
            self._shared = True  # a cluster of our own is this machine
        if self._folder and not self._shared:
            self._marker = Path(self._folder) / f".{self._name}"
            if self._shared is None:
                self._marker.touch()
        if not address:
            return
        seen = ask_nodes(self._folder, self.marker)
        if self._shared is None:
            self._shared = seen
        if self._shared and self._marker is not None:
            self._marker.unlink(missing_ok=True)
            self._marker = None

    def send(self, job: Job) -> list[Any]:
        """A reference to what a node that does not share the folder needs of it, if anything."""
        if self._marker is None:
            return []
        folder = self._marker.parent
        parcel = pack(folder, scratch_folder(folder, job.work))
        if job.checkpoint is not None and job.calls is None:
            parcel.update(pack(folder, folder / job.checkpoint.file))
        return [ray().put(parcel)] if parcel else []

    def keep(self, parcel: Parcel, checkpoint: Checkpoint | None) -> bool:
        """Put what came back into the folder; whether the job's checkpoint, if any, is whole."""
        if self._marker is None or not parcel:
            return True
        folder = self._marker.parent
        unpack(folder, parcel)
        if checkpoint is None:
            return True
        return seal(folder / checkpoint.file) == (checkpoint.size, checkpoint.crc)

    def close(self) -> None:
        """Take the marker away."""
        if self._marker is not None:
            self._marker.unlink(missing_ok=True)
