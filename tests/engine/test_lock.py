"""A run folder has one writer, also after somebody died."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nas.core.errors import StoreError
from nas.engine.lock import NAME, RunLock, holder

HOLD = """
import sys, time
from pathlib import Path
from nas.engine.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert lock.notice == ""
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()} on"):
        RunLock(tmp_path)
    found = holder(tmp_path)
    assert found is not None
    assert found["pid"] == os.getpid()
    lock.release()
    lock.release()
    assert holder(tmp_path) is None
    again = RunLock(tmp_path)
    assert again.notice == ""
    again.release()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match=f"in use by process {child.pid}"):
        RunLock(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    lock = RunLock(tmp_path)
    assert f"process {child.pid} on {socket.gethostname()}" in lock.notice
    lock.release()


def test_a_dead_holder_whose_child_lives_is_waited_for(tmp_path: Path) -> None:
    first = RunLock(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    text = json.dumps({"pid": dead.pid, "host": socket.gethostname()})
    (tmp_path / NAME).write_text(text)
    with pytest.raises(StoreError, match="in use"):
        RunLock(tmp_path, wait=0.2)
    first.release()
    RunLock(tmp_path, wait=0.2).release()


def test_no_folder_and_garbage_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write in"):
        RunLock(tmp_path / "none")
    (tmp_path / NAME).write_text("[garbage")
    lock = RunLock(tmp_path)
    assert lock.notice == ""
    lock.release()
    assert holder(tmp_path / "none") is None
