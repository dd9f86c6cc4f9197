"""The tables of docs/zoo.md are the declarations; run this file to write them anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nas.core.registry import Registry
from nas.layers import NORMALIZATIONS, WEIGHTS
from nas.measure import MEASURES, Figure
from nas.optimizers import OPTIMIZERS, STEPS
from nas.training.criteria import LOSSES
from nas.training.pruning import HessoSettings
from nas.training.reweighting import REWEIGHTINGS
from nas.training.schedules import SCHEDULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "zoo.md"


def settings_of(model: type, hidden: tuple[str, ...] = ("learning_rate", "weight_decay")) -> str:
    fields = getattr(model, "model_fields", {})
    return ", ".join(f"`{n}` {f.default}" for n, f in fields.items() if n not in hidden) or "none"


def optimizers() -> str:
    head = (
        "| name | | source | rate | worth trying | gradients a step | copies | settings |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    rows = []
    for name in own(OPTIMIZERS):
        member = OPTIMIZERS.get(name)
        t = member.traits
        what = OPTIMIZERS.summary(name) + (f"; **{t.warning}**" if t.warning else "")
        if t.schedules:
            what += f"; schedule {' or '.join(sorted(t.schedules))} only"
        low, high = t.rates
        whose = {"sgd": " of SGD's", "adamw": " of AdamW's", "free": ", whatever the task"}
        rate = f"{t.rate:g}{whose[t.family]}"
        rows.append(
            f"| `{name}` | {what} | {t.source} | {rate} | {low:g} to {high:g}"
            f" | {t.gradients:.3g} | {t.copies:g} | {settings_of(member.settings)} |\n"
        )
    return head + "".join(rows)


def steps() -> str:
    head = (
        "| name | | source | gradients a step | more copies | settings |\n"
        "|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| `{name}` | {STEPS.summary(name)} | {row.source} | {row.gradients(row.settings()):.3g}"
        f" | {row.copies:g} | {settings_of(row.settings)} |\n"
        for name, row in ((name, STEPS.get(name)) for name in own(STEPS))
    )


def schedules() -> str:
    head = "| name | | settings |\n|---|---|---|\n"
    return head + "".join(
        f"| `{name}` | {SCHEDULES.summary(name)} | {settings_of(SCHEDULES.get(name).settings)} |\n"
        for name in own(SCHEDULES)
    )


def pruning() -> str:
    rows = re.findall(r"^ {8}(\w+): (.*)", HessoSettings.__doc__ or "", re.MULTILINE)
    fields = HessoSettings.model_fields
    assert [name for name, _ in rows] == list(fields)
    return "| setting of `prune_settings` | |\n|---|---|\n" + "".join(
        f"| `{name}` {fields[name].default} | {text} |\n" for name, text in rows
    )


def sourced(table: Registry[Any]) -> str:
    """Of rows with settings and a source; figures that are bare functions have neither."""
    head = "| name | | source | settings |\n|---|---|---|---|\n"
    rows = [(name, table.get(name)) for name in own(table)]
    ours = [(name, row) for name, row in rows if table is not MEASURES or isinstance(row, Figure)]
    return head + "".join(
        f"| `{name}` | {table.summary(name)} | {row.source} | {settings_of(row.settings, ())} |\n"
        for name, row in ours
    )


def own(registry: Registry[object]) -> list[str]:
    """Members of this project, not those that tests add."""
    return [
        n for n in registry.names() if "test" not in n and not n.startswith(("visiting", "wrong"))
    ]


TABLES = {
    "optimizers": optimizers,
    "steps": steps,
    "schedules": schedules,
    "normalizations": lambda: sourced(NORMALIZATIONS),
    "weights": lambda: sourced(WEIGHTS),
    "losses": lambda: sourced(LOSSES),
    "measures": lambda: sourced(MEASURES),
    "pruning": pruning,
    "reweightings": lambda: sourced(REWEIGHTINGS),
}


def between(name: str) -> re.Pattern[str]:
    return re.compile(f"(<!-- {name}: begin -->\n)(.*?)(<!-- {name}: end -->)", re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_the_declarations(name: str) -> None:
    found = between(name).search(PAGE.read_text())
    assert found is not None
    assert found[2] == TABLES[name](), "run python tests/docs/test_zoo.py"


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_members_declare_what_a_recipe_space_needs(name: str) -> None:
    traits = OPTIMIZERS.get(name).traits
    low, high = traits.rates
    assert 0 < low < high
    assert traits.rate > 0
    assert traits.gradients > 0
    if name in own(OPTIMIZERS):
        assert traits.source
        assert traits.excludes <= set(STEPS.names())
        assert traits.schedules <= set(SCHEDULES.names())


if __name__ == "__main__":
    text = PAGE.read_text()
    for name, table in TABLES.items():
        text = between(name).sub(lambda m, t=table: m[1] + t() + m[3], text)  # type: ignore[misc]
    PAGE.write_text(text)
