"""The main function of a worker process."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from nas.core.errors import NasError
from nas.engine.executors.base import Job, Setup
from nas.engine.executors.bench import Bench, one_line
from nas.engine.executors.threads import limit_threads
from nas.engine.records import dump


def main(setup: Setup, slot: int, threads: int, jobs: Connection, control: Connection) -> None:
    """Do jobs until the parent is gone or says so.

    The parent alone decides what a signal means, so the worker ignores those that reach the
    whole process group. The control pipe's end is the parent's: when it closes, the parent
    died, however it died, and so does the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.dup2(2, 1)  # stdout is for the parent's results
    limit_threads(threads)
    halted = threading.Event()
    threading.Thread(target=_obey, args=(control, halted), daemon=True).start()
    lock = threading.Lock()

    def send(kind: str, body: Mapping[str, Any]) -> None:
        with lock:
            jobs.send_bytes(dump({"kind": kind, **body}).encode())

    try:
        bench = Bench(setup, slot, halted.is_set)
    except NasError as error:
        send("broken", {"error": error.message, "hint": error.hint})
        return
    except Exception as error:  # a user's evaluator may raise anything when it is made
        send("broken", {"error": f"{type(error).__name__}: {one_line(str(error))}", "hint": ""})
        return
    send("ready", {})
    try:
        while True:
            _serve(bench, json.loads(jobs.recv_bytes()), send)
    except (EOFError, OSError):
        return


def _serve(bench: Bench, data: Mapping[str, Any], send: Callable[..., None]) -> None:
    job = Job.from_dict(data)

    def emit(topic: str, payload: Mapping[str, Any]) -> None:
        send("said", {"job": job.id, "topic": topic, "payload": dict(payload)})

    send("report", {"report": bench.perform(job, emit).to_dict()})


def _obey(control: Connection, halted: threading.Event) -> None:
    try:
        while True:
            control.recv_bytes()
            halted.set()
    except (EOFError, OSError):
        os._exit(1)
