"""Colours, widths, control characters, closed pipes."""

from __future__ import annotations

import json
import math
import os
import pty
import subprocess
import sys

import numpy as np
import pytest

from nas.cli.streams import Streams, clean, jsonable

SCRIPT = "import sys; from nas.cli.main import run; sys.exit(run(sys.argv[1:]))"
ESCAPE = "\x1b"


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command writes to stderr when that is a terminal."""
    master, slave = pty.openpty()
    settings = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=slave,
        env=settings | {"TERM": "xterm-256color"} | environment,
    )
    os.close(slave)
    written = b""
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        written += chunk
    process.wait(timeout=60)
    os.close(master)
    return written.decode()


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_on_a_terminal(environment: dict[str, str], coloured: bool) -> None:
    written = on_a_terminal("show", "dart", **environment)
    assert "error: " in written.replace(ESCAPE + "[1;31m", "").replace(ESCAPE + "[0m", "")
    assert (ESCAPE in written) is coloured


def test_forced_colours_in_a_pipe(program, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ESCAPE not in program("show", "dart").err
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ESCAPE in program("show", "dart").err


def test_a_pipe_is_no_place_for_a_panel(capsys: pytest.CaptureFixture[str]) -> None:
    assert not Streams().live


def test_a_closed_pipe_is_quiet() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "show", "darts", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0
    process.stderr.close()


def test_one_line_without_control_characters() -> None:
    assert clean("a\nb\tc") == "a b c"
    assert clean("two  spaces\x1b[31m\x00") == "two  spaces\\x1b[31m\\x00"
    assert clean("é, 漢") == "é, 漢"


def test_json_of_anything() -> None:
    value = {"a": math.nan, "b": (1, math.inf), "c": np.float64(0.5), "d": np.arange(2), 1: None}
    text = json.dumps(jsonable(value), allow_nan=False)
    assert json.loads(text) == {"a": None, "b": [1, None], "c": 0.5, "d": [0, 1], "1": None}
