"""The program starts without torch, explains itself and completes names."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

COMMANDS = (
    "search",
    "resume",
    "status",
    "train",
    "export",
    "show",
    "list",
    "report",
    "check",
    "doctor",
)
LIGHT = (
    ["--help"],
    ["search", "--help"],
    ["list", "spaces"],
    ["list", "strategies"],
    ["show", "darts:DARTS_V2"],
    ["status"],
)
SCRIPT = """
import sys
from nas.cli.main import run
codes = [run(arguments) for arguments in {commands!r}]
heavy = [name for name in ("torch", "sklearn", "matplotlib", "scipy") if name in sys.modules]
print("HEAVY", codes, heavy)
"""


def test_nothing_light_imports_torch() -> None:
    script = SCRIPT.format(commands=LIGHT)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[-1] == f"HEAVY {[0] * len(LIGHT)} []"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(program, command: str) -> None:
    said = program(command, "--help")
    assert said.code == 0
    assert f"nas {command}" in said.out
    assert said.err == ""


def test_help_lists_all_commands_and_exit_codes(program) -> None:
    said = program("--help")
    assert all(re.search(rf"\b{command}\b", said.out) for command in COMMANDS)
    assert "nothing feasible" in said.out
    assert "130/143" in said.out


def test_every_flag_of_the_contract_is_there(program) -> None:
    text = program("search", "--help").out
    flags = (
        "--space --strategy --data --objective --config --set --scale --budget --seed --device "
        "--executor --workers --out --plugin --dry-run --print-config --quiet --json"
    )
    assert [flag for flag in flags.split() if flag not in text] == []


def test_version(program) -> None:
    assert program("--version").out.startswith("nas ")


def test_piped_help_has_no_control_characters(program) -> None:
    for command in COMMANDS:
        text = program(command, "--help").out
        assert all(char.isprintable() or char == "\n" for char in text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nas search --space nasb", "nasbench201"),
        ("nas search --space darts --strategy reg", "regularized-evolution"),
        ("nas search --data im", "images"),
        ("nas search --executor p", "processes"),
        ("nas show darts:DARTS_V", "DARTS_V2"),
        ("nas list opti", "optimizers"),
        ("nas export darts:DARTS_V2 --to on", "onnx"),
    ],
)
def test_completion(program, monkeypatch: pytest.MonkeyPatch, line: str, expected: str) -> None:
    monkeypatch.setenv("_NAS_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    assert expected in program().out


def test_completion_needs_no_torch() -> None:
    environment = os.environ | {
        "_NAS_COMPLETE": "complete_bash",
        "COMP_WORDS": "nas search --space d",
        "COMP_CWORD": "3",
        "_TYPER_COMPLETE_ARGS": "nas search --space d",
    }
    script = "import sys\nfrom nas.cli.main import run\nrun([])\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=environment,
    )
    assert done.stdout.split()[-1] == "False"
    assert "darts-s1" in done.stdout
