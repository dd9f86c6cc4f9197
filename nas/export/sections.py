"""The parts of a report, made from its plain data: tables, pictures and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from nas.core.metrics import SHARES
from nas.export.axes import metric_name, short
from nas.export.canvas import Picture, to_svg
from nas.export.charts import draw_arms, draw_curves
from nas.export.front_picture import draw_front
from nas.export.paint import (
    alphas_picture,
    costs_of,
    decision_picture,
    directions_of,
    dots_of,
    target_of,
)

ORDER: Final = (
    "test_error",
    "error",
    "loss",
    "params",
    "macs",
    "latency_ms",
    "memory_mb",
    "energy_j",
    "epochs",
    "gradient_evaluations",
    "seconds",
)
POINTS: Final = 200  # rows of a table; a longer one ends with a note


def svg(picture: Picture) -> Markup:
    """A picture as part of the page; the canvas escapes every text in it."""
    return Markup(to_svg(picture, inline=True))


def columns(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """Metrics that occur in `rows`, the well-known ones first."""
    seen = {name for row in rows for name in row}
    known = [name for name in ORDER if name in seen]
    return known + sorted(seen - set(ORDER))


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def best_tiles(
    best: Mapping[str, Any] | None, spent: Mapping[str, float], goal: str = "error"
) -> list[dict[str, str]]:
    """The large figures on top."""
    figures = dict((best or {}).get("figures") or {})
    shown = [name for name in (f"test_{goal}", goal, "params", "macs") if name in figures]
    tiles = [{"name": metric_name(name), "value": short(figures[name], name)} for name in shown]
    for name, title in (("epochs", "epochs spent"), ("evaluations", "networks evaluated")):
        if spent.get(name):
            tiles.append({"name": title, "value": f"{spent[name]:,.4g}"})
    if spent.get("seconds"):
        tiles.append({"name": "computing time", "value": duration(spent["seconds"])})
    return tiles


def scale_text(scale: Mapping[str, Any]) -> str:
    """'channels 16, layers 8'."""
    return ", ".join(f"{name} {value}" for name, value in scale.items())


def recipe_text(recipe: Mapping[str, Any] | None) -> str:
    """'label_smoothing 0.1, learning_rate 0.05', what lies deeper as 'a.b'."""
    return ", ".join(f"{name} {text}" for name, text in sorted(settings_rows(recipe or {})))


def tells_recipes(points: Sequence[Mapping[str, Any]]) -> bool:
    """Whether recipes belong in a table: where several points have all the same they do not."""
    texts = [recipe_text(point.get("recipe")) for point in points]
    return any(texts) and (len(texts) == 1 or len(set(texts)) > 1)


def front_section(front: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The front's picture and table."""
    points = list((front or {}).get("points") or [])
    if not front or not points:
        return None
    dots = dots_of(points)
    goal = str(front.get("goal") or "error")
    target = target_of(dots, goal)
    on_front = [point for point in points if point.get("front", True)]
    metrics = columns([point.get("figures") or {} for point in on_front])
    on_front.sort(key=lambda point: (point.get("figures") or {}).get(target, float("inf")))
    costs, directions = costs_of(front, goal), directions_of(front)
    return {
        "goal": goal.replace("_", " "),
        "picture": svg(draw_front(dots, target=target, costs=costs, directions=directions)),
        "metrics": metrics,
        "recipes": tells_recipes(points),
        "rows": [
            {
                "label": point.get("label") or scale_text(point.get("scale") or {}) or "\u2013",
                "id": str(point.get("id", ""))[:8],
                "arm": (point.get("arm") or (point.get("tags") or {}).get("arm") or "search"),
                "recipe": recipe_text(point.get("recipe")) or "\u2013",
                "cells": [_cell(point.get("figures") or {}, name) for name in metrics],
            }
            for point in on_front[:POINTS]
        ],
        "more": max(0, len(on_front) - POINTS),
        "hypervolume": front.get("hypervolume"),
        "count": len(on_front),
        "others": len(points) - len(on_front),
    }


def _cell(figures: Mapping[str, float], name: str) -> str:
    return short(float(figures[name]), name) if name in figures else "\u2013"


def comparison_section(comparison: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The verdict on search against random choice, in words and as a picture."""
    if not comparison:
        return None
    metric = str(comparison.get("metric", "test_error"))
    arms = {name: list(map(float, values)) for name, values in comparison["arms"].items()}
    intervals = {
        name: (float(mean), float(low), float(high))
        for name, (mean, low, high) in (comparison.get("intervals") or {}).items()
    }
    pairs = list(arms.items())
    return {
        "verdict": verdict(comparison),
        "side": _side(comparison),
        "picture": svg(draw_arms(dict(pairs), intervals, metric=metric)) if pairs else None,
        "cost": comparison.get("cost", ""),
        "method": comparison.get("method", ""),
    }


def credit_section(credit: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What architectures, recipes and both together have gained, over a network nobody searched."""
    if not credit:
        return None
    arms = {name: list(map(float, values)) for name, values in credit["arms"].items()}
    epochs = {name: f"{float(value):.0f}" for name, value in (credit.get("epochs") or {}).items()}
    return {
        "sentences": [text[:1].upper() + text[1:] for text in credit["sentences"]],
        "picture": svg(draw_arms(arms, {}, metric=str(credit["metric"]))) if arms else None,
        "epochs": ", ".join(f"{name} {value}" for name, value in epochs.items()),
    }


def comparison_of(baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison of a run's result ("baseline") as a report takes it.

    There the difference is search minus random; an end of the interval that is infinite, as with
    a single pair, is missing.
    """
    turned = {"low": baseline.get("high"), "high": baseline.get("low")}
    search, random = baseline.get("search_macs"), baseline.get("random_macs")
    cost = str(baseline.get("cost", ""))
    if search and random:
        cost = (
            f"The search cost {short(float(search), 'macs')} multiply-adds"
            f"{_took(baseline.get('search_seconds'))}, random search "
            f"{short(float(random), 'macs')}{_took(baseline.get('random_seconds'))} for "
            f"{baseline.get('random_candidates', 'its')} architectures."
        )
    return {
        "metric": baseline.get("metric", "test_error"),
        "arms": dict(baseline["arms"]),
        "difference": -float(baseline["difference"]),
        "confidence": baseline.get("confidence", 0.95),
        **{name: -float(value) for name, value in turned.items() if value is not None},
        "cost": cost,
        "method": baseline.get("method")
        or (
            "Trained alike, paired by scale and seed; Student's t interval of the pairs. It is "
            "about these two architectures: searches with other seeds would give others."
        ),
    }


def _took(seconds: float | None) -> str:
    return f" and {duration(seconds)} of computing" if seconds else ""


def _side(comparison: Mapping[str, Any]) -> str:
    low, high = comparison.get("low"), comparison.get("high")
    if low is not None and low > 0:
        return "better"
    return "worse" if high is not None and high < 0 else "open"


def verdict(comparison: Mapping[str, Any]) -> str:
    """What a comparison shows, whichever way it falls.

    The difference is random minus search: above zero the search is better.
    """
    metric = str(comparison.get("metric", "test_error"))
    difference = float(comparison["difference"])
    counts = {name: len(values) for name, values in comparison["arms"].items()}
    several = " and ".join(f"{count} {name}" for name, count in counts.items())
    several += " network" if sum(counts.values()) == 1 else " networks"
    name, side = metric_name(metric), _side(comparison)
    if comparison.get("low") is None or comparison.get("high") is None:
        return (
            f"Random minus search is {_points(difference, metric)} in {name}, from too few "
            f"networks for any statement ({several})."
        )
    low, high = float(comparison["low"]), float(comparison["high"])
    share = f"{100 * float(comparison.get('confidence', 0.95)):g}\u00a0%"
    interval = f"{share} confidence interval {_points(low, metric)} to {_points(high, metric)}"
    if side == "better":
        return (
            f"The search found better networks than random choice: its {name} is lower by "
            f"{_points(difference, metric)} ({interval}; {several})."
        )
    if side == "worse":
        return (
            f"Random choice found better networks than the search: the search's {name} is higher "
            f"by {_points(-difference, metric)} (random minus search, {interval}; {several})."
        )
    return (
        f"No difference between the search and random choice could be shown: random minus search "
        f"is {_points(difference, metric)} in {name} ({interval}, which includes zero; {several})."
    )


def _points(value: float, metric: str) -> str:
    text = f"{100 * value:.2f}\u00a0points" if metric in SHARES else f"{value:.4g}"
    return text.replace("-", "\u2212")


def seed_rows(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The table of retrained networks."""
    if not seeds:
        return None
    metrics = columns([row.get("figures") or {} for row in seeds])
    return {
        "metrics": metrics,
        "rows": [
            {
                "arm": row.get("arm", "search"),
                "label": row.get("label", ""),
                "seed": row.get("seed", ""),
                "status": row.get("status", "ok"),
                "cells": [_cell(row.get("figures") or {}, name) for name in metrics],
            }
            for row in seeds[:POINTS]
        ],
        "more": max(0, len(seeds) - POINTS),
    }


def curve_pictures(curves: Mapping[str, Mapping[str, Any]]) -> list[Markup]:
    """One chart per title; charts without a point are left out."""
    return [
        svg(
            draw_curves(
                chart["series"],
                title=title,
                x_name=str(chart.get("x", "epoch")),
                metric=str(chart.get("metric", "")),
                marks=chart.get("marks") or (),
            )
        )
        for title, chart in curves.items()
        if any(chart["series"].values())
    ]


def heat_maps(alphas: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Pictures of mixture weights."""
    return [svg(alphas_picture(payload)) for payload in alphas if payload.get("rows")]


def decision_rows(decisions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was decided, in order, each with its picture."""
    rows = []
    for number, event in enumerate(decisions, start=1):
        rows.append(
            {
                "number": number,
                "edge": str(event.get("edge", "")),
                "operation": str(event.get("operation") or "nothing"),
                "reason": str(event.get("reason") or ""),
                "images": event.get("images"),
                "picture": svg(decision_picture(event)) if event.get("measurements") else None,
            }
        )
    return rows


def alarm_section(events: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The history of the collapse alarm."""
    if not events:
        return None
    charts = {}
    for name, title in (
        ("skips", "Skip connections"),
        ("entropy", "Entropy of the mixture"),
        ("eigenvalue", "Dominant Hessian eigenvalue"),
    ):
        series: dict[str, list[list[float]]] = {}
        for event in events:
            value = event.get(name)
            parts = value if isinstance(value, Mapping) else {name: value}
            for group, number in parts.items():
                if isinstance(number, int | float):
                    series.setdefault(str(group), []).append([float(event["step"]), float(number)])
        if series:
            charts[title] = {"series": series, "x": "step"}
    alarms = [
        {"step": short(float(event["step"])), "text": str(event["alarm"])}
        for event in events
        if event.get("alarm")
    ]
    return {"charts": curve_pictures(charts), "alarms": alarms}


SNIPPETS: Final = {
    "python": "from {stem} import load\n\nnetwork = load()\nlogits = network(images)",
    "onnx": 'import onnxruntime\n\nsession = onnxruntime.InferenceSession("{path}")\n'
    '(logits,) = session.run(None, {{"images": images}})  # float32 NumPy array',
    "pt2": 'import torch\n\nnetwork = torch.export.load("{path}").module()\n'
    "logits = network(images)",
    "json": "from pathlib import Path\n\nfrom nas.export import read_architecture\n\n"
    'architecture = read_architecture(Path("{path}"))',
}


def export_rows(
    exports: Sequence[Mapping[str, Any]], input_shape: Sequence[int] | None
) -> list[dict[str, Any]]:
    """The exported files, each with how to use it."""
    rows = []
    for item in exports:
        path = str(item["path"])
        stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        snippet = SNIPPETS.get(str(item["form"]), "").format(path=path, stem=stem)
        if snippet and input_shape and item["form"] in {"python", "pt2", "onnx"}:
            shape = ", ".join(str(size) for size in input_shape)
            snippet = f"# images: (batch, {shape}), normalised as in training\n{snippet}"
        difference = item.get("difference")
        rows.append(
            {
                "form": str(item["form"]),
                "path": path,
                "size": _size(item.get("bytes")),
                "difference": _difference(difference),
                "detail": str(item.get("detail") or ""),
                "snippet": snippet,
            }
        )
    return rows


def _difference(value: Any) -> str:
    if value is None:
        return ""
    return f"{float(value):.1e}" if value else "0"


def _size(count: Any) -> str:
    if not isinstance(count, int):
        return ""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def settings_rows(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    return list(_flat(values, above))


def _flat(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{above}{name}", ", ".join(map(str, value))
        else:
            yield f"{above}{name}", "\u2013" if value is None else str(value)
