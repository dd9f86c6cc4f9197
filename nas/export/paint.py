"""Pictures of event payloads as PNG, for monitors (which may not import this package)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nas.core.architecture import Architecture
from nas.export.canvas import Picture, to_png
from nas.export.charts import draw_bars, draw_heatmap
from nas.export.front_picture import SEARCH, Dot, draw_front
from nas.export.picture_files import architecture_picture


def painters() -> dict[str, Callable[[Mapping[str, Any]], bytes]]:
    """Painter name ("alphas", "decision", "cells", "front") to a function of a payload."""
    return {
        "alphas": lambda payload: to_png(alphas_picture(payload), 1.5),
        "decision": lambda payload: to_png(decision_picture(payload), 1.5),
        "cells": lambda payload: to_png(cells_picture(payload), 1.5),
        "front": lambda payload: to_png(front_picture(payload), 1.5),
    }


def alphas_picture(payload: Mapping[str, Any]) -> Picture:
    """The mixture weights of one kind of cell as a heat map; decided edges are framed."""
    title = f"Mixture weights, {payload['group']}"
    if "step" in payload:
        title += f", step {payload['step']}"
    chosen = {edge: op for edge, op in (payload.get("decided") or {}).items() if op}
    rows, columns = payload["rows"], payload["columns"]
    return draw_heatmap(rows, columns, payload["values"], title, chosen)


def decision_picture(payload: Mapping[str, Any]) -> Picture:
    """What is lost without each alternative, what was kept in colour.

    Differences that were measured as such are drawn with their intervals; of plain errors (or of
    losses, where all errors are equal) the least is taken off, so that small gaps can be seen.
    """
    bars, metric, name = _bars(payload.get("measurements") or {})
    images = payload.get("images")
    notes = [f"{images:,} images"] if isinstance(images, int) else []
    notes += [str(payload["reason"])] if payload.get("reason") else []
    chosen = [part.strip() for part in str(payload.get("operation") or "").split(",")]
    title, note = str(payload.get("edge", "")), "; ".join(notes)[:90]
    return draw_bars(bars, title=title, note=note, chosen=chosen, metric=metric, name=name)


def _bars(
    measured: Mapping[str, Mapping[str, Any]],
) -> tuple[list[tuple[str, float, float]], str, str]:
    """Bars, their metric and the name of their axis."""
    if any("mean_difference" in row for row in measured.values()):
        bars = [
            (
                str(label),
                float(row.get("mean_difference") or 0.0),
                abs(float(row.get("confidence") or 0.0)),
            )
            for label, row in measured.items()
        ]
        return bars, "", "what is lost without it"
    errors = {float(row["error"]) for row in measured.values() if "error" in row}
    metric = "error" if len(errors) > 1 else "loss"
    values = {label: float(row.get(metric) or 0.0) for label, row in measured.items()}
    least = min(values.values(), default=0.0)
    bars = [(str(label), value - least, 0.0) for label, value in values.items()]
    unit = "error" if metric == "error" else ""
    return bars, unit, f"{metric} without it, above the least missed"


def cells_picture(payload: Mapping[str, Any]) -> Picture:
    """The cells of an architecture given as its dictionary."""
    data = payload["architecture"]
    return architecture_picture(Architecture(data["space"], data["choices"]))


def front_picture(payload: Mapping[str, Any]) -> Picture:
    """The front of a `front` event or of a parsed `front.json`."""
    dots = dots_of(payload.get("points") or [])
    goal = str(payload.get("goal") or "error")
    return draw_front(
        dots,
        target=target_of(dots, goal),
        costs=costs_of(payload, goal),
        directions=directions_of(payload),
    )


def dots_of(points: list[Mapping[str, Any]]) -> list[Dot]:
    """Points as dots; a point that does not say so is on the front."""
    return [
        Dot(
            figures=dict(point.get("figures") or {}),
            arm=str(point.get("arm") or (point.get("tags") or {}).get("arm") or SEARCH),
            label=str(point.get("label") or scale_label(point.get("scale") or {})),
            front=bool(point.get("front", True)),
        )
        for point in points
    ]


def scale_label(scale: Mapping[str, Any]) -> str:
    """A scale in a few letters: channels 16 and layers 8 are "C16 L8"."""
    numbers = {k: v for k, v in scale.items() if isinstance(v, int) and not isinstance(v, bool)}
    return " ".join(f"{name[:1].upper()}{value}" for name, value in numbers.items())


def target_of(dots: list[Dot], goal: str = "error") -> str:
    """The figure to draw: what a search sees if any dot has it, else the same on test data."""
    return goal if not dots or any(goal in dot.figures for dot in dots) else f"test_{goal}"


def costs_of(front: Mapping[str, Any], goal: str = "error") -> list[str]:
    """What to draw it against: the other objectives, and sizes in any case."""
    named = [str(objective["name"]) for objective in front.get("objectives") or ()]
    return list(dict.fromkeys([name for name in named if name != goal] + ["params", "macs"]))


def directions_of(front: Mapping[str, Any]) -> dict[str, str]:
    """Where each objective goes, "min" or "max"; one that does not say so is minimised."""
    return {
        str(objective["name"]): str(objective.get("direction") or "min")
        for objective in front.get("objectives") or ()
    }
