"""Writes a comparison down: tables as CSV, an account as JSON, curves as a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.bench.account import Line, Truth, cost_note, regret_curve
from nas.bench.curves import Charge, Curve, as_rows, curve, hypervolume_of, regret_of, test_error_of
from nas.bench.trace import SEARCHES, TRACES, Trace
from nas.core.errors import StoreError
from nas.engine.folder import present_in
from nas.export.axes import metric_name
from nas.export.canvas import Picture, arranged, to_png
from nas.export.charts import draw_curves
from nas.export.files import write_bytes, write_text

FILES: Final = ("account.json", "searches.csv", "curves.csv", "curves.png")

CHARGES: Final[Mapping[Charge, str]] = {
    "spent": "epochs, longer trainings continued",
    "anew": "epochs, every training from nothing",
    "evaluations": "evaluations",
}


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written or holds something else than a comparison.

    Raises:
        StoreError: It is a file, may not be written, or holds something else.
    """
    present = present_in(folder)
    if TRACES not in present and present - {*FILES, SEARCHES}:
        raise StoreError(
            f"folder {str(folder)!r} holds something else than a comparison", "choose another --out"
        )
    present_in(folder / TRACES)


def write_comparison(
    folder: Path, groups: Mapping[str, Sequence[Trace]], lines: Sequence[Line], truth: Truth
) -> list[Path]:
    """Write `account.json`, `searches.csv`, `curves.csv` and `curves.png`; returns their paths.

    Args:
        folder: Where to.
        groups: Traces by arm.
        lines: The account.
        truth: What is known of the problem.

    Raises:
        ExportError: A file cannot be written.
    """
    charges = _charges(groups)
    files = [folder / name for name in FILES]
    data = {
        "format": 1,
        "best": truth.named.sign * truth.best if np.isfinite(truth.best) else None,
        "best_is_exact": truth.exact,
        "hypervolume": truth.volume or None,
        "note": cost_note(lines),
        "arms": [line.to_dict(truth.named) for line in lines],
    }
    write_text(files[0], json.dumps(data, indent=2) + "\n")
    write_text(files[1], _table(_searches(groups, truth)))
    write_text(files[2], _table(_curves(groups, truth, charges)))
    write_bytes(files[3], to_png(draw(groups, truth, charges)))
    return files


def draw(groups: Mapping[str, Sequence[Trace]], truth: Truth, charges: Sequence[Charge]) -> Picture:
    """Regret (and hypervolume) over what was spent, with 95 % bands of the mean."""
    panels = []
    for charge in charges:
        regrets = [regret_curve(arm, group, truth, charge) for arm, group in groups.items()]
        metric = truth.named.metric
        panels.append(_panel(regrets, _title(metric, truth.exact), charge, metric))
        if truth.volume > 0:
            shares = _shares(groups, truth, charge)
            panels.append(_panel(shares, "Share of the exact hypervolume", charge, ""))
    return arranged(panels)


def _title(metric: str, exact: bool) -> str:
    """Of a panel of regrets."""
    name = "regret" if exact else "distance from the best found"
    if metric == "error":
        return f"Validation {name}"
    return f"{name[:1].upper()}{name[1:]}, {metric_name(metric)}"


def _panel(curves: Sequence[Curve], title: str, charge: Charge, metric: str) -> Picture:
    values = np.concatenate([c.mean[np.isfinite(c.mean)] for c in curves])
    log = bool(metric) and len(values) > 0 and bool((values > 0).all())
    return draw_curves(
        {c.arm: list(zip(c.x, c.mean, strict=True)) for c in curves},
        title=title,
        x_name=CHARGES[charge],
        metric=metric,
        size=(620.0, 380.0),
        bands={
            c.arm: [(x, max(low, 0.0) if not log else low, high) for x, low, high in _band(c, log)]
            for c in curves
        },
        log=log,
    )


def _band(c: Curve, log: bool) -> list[tuple[float, float, float]]:
    """The band; on a logarithmic axis it ends where the mean's digits do."""
    rows = zip(c.x, c.low, c.high, c.mean, strict=True)
    return [(x, max(low, mean / 10) if log else low, high) for x, low, high, mean in rows]


def _shares(groups: Mapping[str, Sequence[Trace]], truth: Truth, charge: Charge) -> list[Curve]:
    return [
        curve(arm, g, lambda t: hypervolume_of(t, truth.reference, truth.volume), charge)
        for arm, g in groups.items()
    ]


def _charges(groups: Mapping[str, Sequence[Trace]]) -> list[Charge]:
    traces = [trace for group in groups.values() for trace in group]
    if all(trace.spent[-1:] == [0.0] for trace in traces):
        return ["evaluations"]
    differ = any(trace.spent != trace.anew for trace in traces)
    return ["spent", "anew"] if differ else ["spent"]


def _searches(groups: Mapping[str, Sequence[Trace]], truth: Truth) -> list[dict[str, Any]]:
    rows, named = [], truth.named
    for arm, group in groups.items():
        for trace in group:
            if not trace.ids:
                continue
            rows.append(
                {
                    "arm": arm,
                    "seed": trace.seed,
                    "evaluations": len(trace.ids),
                    "epochs": trace.spent[-1],
                    "epochs_anew": trace.anew[-1],
                    named.column: named.sign * regret_of(trace, 0.0)[-1],
                    "regret": regret_of(trace, truth.best)[-1],
                    named.tested: test_error_of(trace)[-1],
                    "seconds": trace.seconds,
                    "answer": trace.ids[trace.incumbents()[-1] or 0],
                }
            )
    return rows


def _curves(
    groups: Mapping[str, Sequence[Trace]], truth: Truth, charges: Sequence[Charge]
) -> list[dict[str, Any]]:
    rows = []
    for charge in charges:
        curves = [regret_curve(arm, group, truth, charge) for arm, group in groups.items()]
        found = as_rows(curves, "regret")
        if all(trace.tests for group in groups.values() for trace in group):
            tests = [curve(arm, g, test_error_of, charge) for arm, g in groups.items()]
            found += as_rows(tests, truth.named.tested)
        if truth.volume > 0:
            found += as_rows(_shares(groups, truth, charge), "hypervolume")
        rows += [{"axis": charge, **row} for row in found]
    return rows


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
