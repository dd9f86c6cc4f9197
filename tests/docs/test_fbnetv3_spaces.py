"""What docs/fbnetv3-spaces.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nas.core.architecture import Architecture
from nas.core.choices import Integer
from search_spaces import get_space


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "fbnetv3-spaces.md").read_text()


def test_its_program_runs(page: str) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(program, "fbnetv3-spaces.md", "exec"), {})


@pytest.mark.parametrize(("column", "name"), [(0, "fbnetv3"), (1, "fbnetv3-small")])
def test_its_table_is_right(page: str, column: int, name: str) -> None:
    rows = dict(re.findall(r"^\| ([a-z\-]+) \| (.*) \|$", page, re.MULTILINE))
    told = {row: text.split(" | ")[column] for row, text in rows.items()}
    space = get_space(name)
    choices = {choice.name: choice for choice, _ in space.tree.slots}
    size, width = f"{space.size:.1e}".replace("+", ""), space.tree.encoding_size
    assert told["members"].startswith(f"{size}, {len(choices)} choices, {width} numbers")
    assert (told["published"] == "none") == (not space.members)
    assert all(member in told["published"] for member in space.members)
    stem = choices["stem/channels"]
    assert isinstance(stem, Integer)
    assert told["stem"].startswith(f"{stem.low} to {stem.high}")
    ends = [
        space.architecture({c.name: list(c.values())[place] for c in choices.values()})
        for place in (0, -1)
    ]
    for text, shape, classes in (
        [("138 M to 4.0 G", (3, 224, 224), 1000)]
        if column == 0
        else [("80 k to 2.9 M", (1, 8, 8), 10), ("1.2 M to 44 M", (3, 32, 32), 10)]
    ):
        assert text in told["multiply-adds"]
        low, high = re.findall(r"([0-9.]+) ([kMG])", text)
        for (number, unit), end in zip((low, high), ends, strict=True):
            assert isinstance(end, Architecture)
            macs = space.cost(end, shape, classes).macs
            assert macs == pytest.approx(float(number) * {"k": 1e3, "M": 1e6, "G": 1e9}[unit], 0.03)
