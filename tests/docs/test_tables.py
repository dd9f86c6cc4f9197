"""What docs/tables.md says can be done."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.cli.main import run as program
from nas.evaluators.table import TableSettings
from nas.evaluators.tables import BENCHMARKS


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "tables.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_commands_are_understood(
    page: str,
    shared_data: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shared_data("nasbench201").parent
    lines = blocks(page, "sh")[0].replace("\\\n", " ").splitlines()
    assert len(lines) == 3
    for line in lines:
        _, *arguments = shlex.split(line.replace("table:data/", f"table:{folder}/"))
        assert program([*arguments, "--dry-run"]) == 0, capsys.readouterr().err


def test_the_example_runs(page: str) -> None:
    (block,) = blocks(page, "python")
    names: dict[str, object] = {}
    exec(block, names)
    assert "2694282" in block
    space, cell = names["space"], names["cell"]
    assert space.cost(cell).params == 2_694_282  # type: ignore[attr-defined]


def test_tables_and_settings_are_all_there(page: str) -> None:
    for benchmark in BENCHMARKS:
        row = next(line for line in page.splitlines() if f"`{benchmark.file}`" in line)
        for dataset in benchmark.datasets:
            assert f"`{dataset}`" in row
            budgets = ", ".join(f"{budget:g}" for budget in benchmark.budgets(dataset))
            assert budgets in row
    for name in TableSettings.model_fields:
        assert f"| `{name}` |" in page
