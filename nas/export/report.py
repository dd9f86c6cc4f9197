"""`report.html`: one page that tells a run, with nothing outside itself and no script."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from nas.core.architecture import Architecture
from nas.export.axes import metric_name, short
from nas.export.canvas import ROLES, dark_rules
from nas.export.files import write_text
from nas.export.picture_files import architecture_picture
from nas.export.sections import (
    alarm_section,
    best_tiles,
    comparison_of,
    comparison_section,
    credit_section,
    curve_pictures,
    decision_rows,
    export_rows,
    front_section,
    heat_maps,
    recipe_text,
    seed_rows,
    settings_rows,
    svg,
)

__all__ = ["ReportData", "comparison_of", "render_report", "write_report"]


@dataclass(frozen=True)
class ReportData:
    """Everything a report may show, as plain data; what is empty is left out of the page.

    Attributes:
        name: The run's name.
        status: "done", "stopped", "running" or "failed".
        space: Name of the space.
        strategy: Name of the strategy.
        data: Name of the data set.
        seed: The run's seed.
        created: When it was started, as text.
        headline: One sentence on top; None writes one from the best figures.
        best: `{"architecture": Architecture.to_dict(), "figures": mapping, ["scale"]: mapping,
            ["recipe"]: mapping or None, ["notation"]: str}`.
        spent: `Spent.to_dict()`.
        settings: The resolved configuration, nested.
        versions: Name to version or description (python, torch, nas, device, ...).
        front: `{"points": [{"id", "figures", ["scale"], ["recipe"], ["arm"], ["label"],
            ["front"]}], ["hypervolume"]: number, ["objectives"]: [...]}`; as `front.json`, and
            dominated points and other arms with `"front": False` besides.
        curves: Chart title to `{"series": {name: [[x, y], ...]}, ["x"]: str, ["metric"]: str,
            ["marks"]: [x, ...]}`.
        alphas: Heat maps: `{"group", "rows", "columns", "values", ["step"], ["decided"]}`.
        decisions: `decision` events (see `nas.monitors`).
        collapse: `collapse` events, by step.
        comparison: The search against random architectures at equal training cost:
            `{"metric": str, "arms": {"search": [...], "random": [...]}, "difference": number,
            ["low"]: number, ["high"]: number, ["confidence"]: number, ["intervals"]: {arm: [mean,
            low, high]}, ["cost"]: str, ["method"]: str}`; the difference is random minus search,
            so above zero the search is better (`comparison_of` makes one of a run's "baseline").
        credit: What architectures and recipes have gained by themselves and together:
            `{"metric": str, "arms": {arm: [...]}, "sentences": [str], ["epochs"]: {arm: number}}`.
        seeds: Retrained networks: `{"seed", "arm", "figures", ["label"], ["status"]}`.
        exports: `{"form", "path", ["bytes"], ["difference"], ["detail"]}`.
        commands: Purpose to command line, e.g. `{"reproduce": "nas search ...", "resume": ...}`.
        notes: Sentences a reader must know, e.g. that a small data set was used.
        input_shape: Channels, height and width of an image, for the snippets.
    """

    name: str
    status: str = "done"
    space: str = ""
    strategy: str = ""
    data: str = ""
    seed: int | None = None
    created: str = ""
    headline: str | None = None
    best: Mapping[str, Any] | None = None
    spent: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    front: Mapping[str, Any] | None = None
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alphas: Sequence[Mapping[str, Any]] = ()
    decisions: Sequence[Mapping[str, Any]] = ()
    collapse: Sequence[Mapping[str, Any]] = ()
    comparison: Mapping[str, Any] | None = None
    credit: Mapping[str, Any] | None = None
    seeds: Sequence[Mapping[str, Any]] = ()
    exports: Sequence[Mapping[str, Any]] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    input_shape: tuple[int, int, int] | None = None


def render_report(data: ReportData) -> str:
    """The page as text; every text of the data is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = short
    environment.filters["metric"] = metric_name
    template = environment.from_string(_template("report.html.j2"))
    return template.render(
        data=data,
        best=best_tiles(data.best, data.spent, goal_of(data)),
        headline=data.headline or _headline(data),
        cells=_cells(data),
        recipe=recipe_text((data.best or {}).get("recipe")),
        front=front_section(data.front),
        comparison=comparison_section(data.comparison),
        credit=credit_section(data.credit),
        seeds=seed_rows(data.seeds),
        curves=curve_pictures(data.curves),
        alphas=heat_maps(data.alphas),
        decisions=decision_rows(data.decisions),
        alarm=alarm_section(data.collapse),
        exports=export_rows(data.exports, data.input_shape),
        settings=settings_rows(data.settings),
        versions=settings_rows(data.versions),
        light=Markup("".join(f"--{name}:{pair[0]};" for name, pair in ROLES.items())),
        dark=Markup("".join(f"--{name}:{pair[1]};" for name, pair in ROLES.items())),
        dark_svg=Markup(dark_rules()),
    )


def write_report(path: Path, data: ReportData) -> None:
    """Write `report.html` whole or not at all.

    Raises:
        ExportError: It cannot be written.
    """
    write_text(path, render_report(data))


def _template(name: str) -> str:
    folder = importlib.resources.files("nas.export").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def _cells(data: ReportData) -> Markup | None:
    if not data.best or not data.best.get("architecture"):
        return None
    described = data.best["architecture"]
    return svg(architecture_picture(Architecture(described["space"], described["choices"])))


def goal_of(data: ReportData) -> str:
    """The figure that the run is about."""
    return str((data.front or {}).get("goal") or "error")


def _headline(data: ReportData) -> str:
    figures = (data.best or {}).get("figures") or {}
    goal = goal_of(data)
    for metric in (f"test_{goal}", goal):
        if metric in figures:
            text = f"The best network found has a {metric_name(metric)} of "
            text += short(figures[metric], metric)
            if "params" in figures:
                text += f" with {short(figures['params'], 'params')} parameters"
            return text + "."
    return "No network has been evaluated yet." if data.best is None else ""
