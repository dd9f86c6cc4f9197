"""Tables of settings are those of models and presets; run this file to write them anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nas.cli.plan import expected
from nas.engine.resolve import SCALES, resolve
from nas.strategies.darts import DartsSettings
from nas.strategies.eagan.settings import EaganSettings
from nas.strategies.fbnetv3.strategy import FbnetV3Settings
from nas.strategies.rank_nosh import RankNoshSettings

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "darts.md"
PAGES: dict[Path, type[BaseModel]] = {
    PAGE: DartsSettings,
    DOCS / "gan.md": EaganSettings,
    DOCS / "fbnetv3.md": FbnetV3Settings,
    DOCS / "rank-nosh.md": RankNoshSettings,
}
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->"
KINDS = {
    "tuple[float, ...]": "numbers",
    "tuple[str, ...]": "texts",
    "dict": "KEY: VALUE",
    "tuple": "two numbers",
    "bool": "true, false",
    "str": "text",
    "int": "whole",
}
BOUNDS = {"gt": "> {}", "ge": ">= {}", "lt": "< {}", "le": "<= {}"}


def table(model: type[BaseModel]) -> str:
    head = "| setting | default | values | |\n|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows(model))


def rows(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, ...]]:
    meanings = attributes(model)
    for name, field in model.model_fields.items():
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield f"**{name}**", "", "", " ".join((below.__doc__ or "").split("\n\n")[0].split())
            yield from rows(below, f"{above}{name}.")
        else:
            meaning = re.sub(r'"([\w-]+)"', r"`\1`", meanings.get(name, ""))
            yield f"`{above}{name}`", f"`{written(field.default)}`", values(field), meaning


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """The descriptions of a class's docstring."""
    _, _, section = (model.__doc__ or "").partition("Attributes:\n")
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def written(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def values(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{option}`" for option in get_args(field.annotation))
    if field.annotation is bool:
        return "true, false"
    kinds = str(field.annotation)
    literal = [part for part in get_args(field.annotation) if get_origin(part) is Literal]
    kind = next((text for key, text in KINDS.items() if key in kinds), "number")
    if literal:
        kind = ", ".join(f"`{option}`" for option in get_args(literal[0]))
    bounds = [
        text.format(f"{getattr(part, name):g}")
        for part in field.metadata
        for name, text in BOUNDS.items()
        if hasattr(part, name)
    ]
    return ", ".join([kind, *bounds, *(["or null"] if "None" in kinds else [])])


def rewritten(page: Path) -> str:
    text = page.read_text()
    for begin, end, written in (
        (BEGIN, END, table(PAGES[page])),
        ("<!-- epochs: begin -->\n", "<!-- epochs: end -->", epochs()),
    ):
        before, found, rest = text.partition(begin)
        if not found:
            continue
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{written}{end}{after}"
    return text


def epochs() -> str:
    """What `nas search --dry-run` says of the presets."""
    spaces = ("darts", "nasbench201")
    lines = [f"| scale | {' | '.join(f'`{space}`' for space in spaces)} |", "|---|---|---|"]
    for scale in SCALES:
        configs = [resolve({"space": s, "preset": scale, "data": "digits"}) for s in spaces]
        figures = [f"{expected(config)['search']['epochs']:g}" for config in configs]
        lines.append(f"| `{scale}` | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tables_are_those_of_the_models_and_presets(page: Path) -> None:
    assert page.read_text() == rewritten(page), "write it anew: python tests/docs/test_settings.py"


def test_keys_in_the_text_are_settings() -> None:
    known = {row[0].strip("`*") for row in rows(DartsSettings)}
    sections = {name.partition(".")[0] for name in known if "." in name}
    prose = PAGE.read_text().partition(BEGIN)[0]
    named = re.findall(r"`(?:--set )?(\w+\.\w+)(?:=[\w-]+)?`", prose)
    unknown = [key for key in named if key.split(".")[0] in sections and key not in known]
    assert named
    assert not unknown


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(rewritten(each))
