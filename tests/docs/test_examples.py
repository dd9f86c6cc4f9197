"""What the documents say: their examples run, their commands parse, their names exist."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from nas.cli.main import app
from nas.engine.folder import OURS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PACKAGES = ("nas", "search_spaces", "predictors", "evolution", "configs", "benchmarks", "docs")


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text()) if kind == language]


def commands() -> list[tuple[str, str]]:
    found = []
    for page in (*PAGES, ROOT / "README.md"):
        text = "\n".join(blocks(page, "sh"))
        for line in text.replace("\\\n", " ").splitlines():
            line = line.partition(" #")[0].partition(" > ")[0].strip()
            for command in re.findall(r"(?:^|/)nas (.*?)(?: &&|$)", line):
                found.append((page.name, command))
    return found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name
)
def test_python_examples_run(page: Path, tmp_path: Path) -> None:
    examples = blocks(page, "python")
    script = tmp_path / "examples.py"
    script.write_text("\n\n".join(examples))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_parse(page: str, command: str) -> None:
    """Every option exists and takes what it is given; nothing is run."""
    program = typer.main.get_command(app)
    name, *arguments = shlex.split(command)
    assert name in program.commands, f"{page}: nas {command}"  # type: ignore[attr-defined]
    program.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_modules_and_files_exist(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"\b(?:nas|search_spaces)\.[a-z_0-9.]*[a-z_0-9]", text):
        module, parts = name, []
        while True:
            try:
                found = importlib.import_module(module)
                break
            except ModuleNotFoundError:
                module, _, part = module.rpartition(".")
                assert module, f"{page.name} names {name}, which is not there"
                parts.insert(0, part)
        for part in parts:
            assert hasattr(found, part), f"{page.name} names {name}, which is not there"
            found = getattr(found, part)
    for name in re.findall(r"`([\w/-]+/[\w/.-]+\.\w+)`", text):
        if name.split("/")[0] in PACKAGES:
            assert (ROOT / name).is_file(), f"{page.name} names {name}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), f"{page.name} links to {link}, which is not there"


def test_the_import_rules_are_those_that_are_enforced() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = [c for c in settings["tool"]["importlinter"]["contracts"] if "layers" in c]
    text = (ROOT / "docs" / "architecture.md").read_text()
    written = re.search(r"<!-- layers -->\n```\n(.*?)```", text, re.DOTALL)
    assert written is not None
    assert written[1].splitlines() == contract["layers"]


def test_the_drawing_names_all_files_of_a_run() -> None:
    (drawing,) = blocks(ROOT / "docs" / "architecture.md", "mermaid")
    missing = [name for name in OURS if name not in drawing]
    assert not missing
