"""A run as TensorBoard shows it."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from nas.core.objective import parse_objectives
from nas.monitors import Event, Painter
from nas.monitors.tables import tables
from nas.monitors.writer import RunWriter

OPEN_RUNS: Final = 16  # candidates whose files are kept open at once


class TensorBoardMonitor:
    """Writes event files: the run's own in `folder`, one sub-run per candidate.

    Tags of the run: `PHASE/NAME` (progress), `alphas/GROUP` (heat map),
    `alphas/entropy_GROUP`, `alphas/skips_GROUP`, `collapse/NAME` (skips, entropy, eigenvalue,
    alarm), `decisions/EDGE` (text and bars), `cells/LABEL`, `front`,
    `front/hypervolume`, `search/best_METRIC`. Tags of a candidate:
    `curve/NAME`, its hparams, and `samples` of a generator over time.

    Args:
        folder: The run's `tb` folder.
        purge_step: Step a resumed run goes on from; None finds out from the first event.
        painters: Draws pictures by name: "alphas", "decision", "cells", "front". Without one
            its pictures are left out.
        objectives: Figures whose best values so far are drawn, as `METRIC:min` or `METRIC:max`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        purge_step: int | None = None,
        painters: Mapping[str, Painter] | None = None,
        objectives: Sequence[str] = ("error:min",),
    ) -> None:
        self._folder = folder
        self._painters = dict(painters or {})
        self._main = RunWriter(folder, purge_step)
        self._runs: dict[str, RunWriter] = {}
        self._live: set[str] = set()
        self._objectives = parse_objectives(objectives)
        self._best: dict[str, float] = {}
        self._outcomes = 0

    def handle(self, event: Event) -> None:
        """Take note of an event; unknown kinds are ignored."""
        handler = {
            "start": self._start,
            "progress": self._progress,
            "alphas": self._alphas,
            "collapse": self._collapse,
            "decision": self._decision,
            "cells": self._cells,
            "samples": self._samples,
            "outcome": self._outcome,
            "front": self._front,
        }.get(event.get("event", ""))
        if handler is not None:
            handler(event)

    def close(self) -> None:
        """Write what is waiting."""
        for writer in (*self._runs.values(), self._main):
            writer.close()
        self._runs.clear()

    def _start(self, event: Event) -> None:
        parts = [f"**{_clean(event.get('run', 'run'))}**"]
        if event.get("command"):
            parts.append(f"    {_clean(event['command'])}")
        for name in ("config", "versions"):
            rows = [f"| {k} | {_clean(v)} |" for k, v in _flat(event.get(name) or {})]
            if rows:
                parts.append("\n".join([f"| {name} | |", "|---|---|", *rows]))
        self._main.text("run", "\n\n".join(parts), 0)

    def _live_run(self, event: Event) -> RunWriter:
        """Of the candidate that a live event is about, or the run's own."""
        if event.get("candidate") is None:
            return self._main
        name = _run_name(str(event["candidate"]), event)
        self._live.add(name)
        return self._run(name)

    def _samples(self, event: Event) -> None:
        png = base64.b64decode(event["png"])
        self._live_run(event).image("samples", png, _step(event))

    def _progress(self, event: Event) -> None:
        writer = self._live_run(event)
        for name, value in _numbers(event["scalars"]):
            writer.scalar(f"{event.get('phase', 'run')}/{name}", value, _step(event))

    def _alphas(self, event: Event) -> None:
        step = _step(event)
        for table in tables(event):
            self._main.scalar(f"alphas/entropy_{table.group}", table.entropy(), step)
            self._main.scalar(f"alphas/skips_{table.group}", table.skips(), step)
            picture = {**table.payload(), "step": step, "decided": event.get("decided") or {}}
            self._paint("alphas", f"alphas/{table.group}", picture, step)

    def _collapse(self, event: Event) -> None:
        step = _step(event)
        for name in ("skips", "entropy", "eigenvalue"):
            value = event.get(name)
            parts = value if isinstance(value, Mapping) else {"": value}
            for group, number in _numbers(parts):
                suffix = f"_{group}" if group else ""
                self._main.scalar(f"collapse/{name}{suffix}", number, step)
        alarm = event.get("alarm") or ""
        self._main.scalar("collapse/alarm", float(bool(alarm)), step)
        if alarm:
            self._main.text("collapse/alarm", _clean(alarm), step)

    def _decision(self, event: Event) -> None:
        step, edge = _step(event), str(event["edge"])
        self._main.text(f"decisions/{edge}", decision_text(event), step)
        if event.get("measurements"):
            self._paint("decision", f"decisions/{edge}", event, step)

    def _cells(self, event: Event) -> None:
        label = event.get("label") or "found"
        self._paint("cells", f"cells/{label}", event, _step(event))

    def _outcome(self, event: Event) -> None:
        self._outcomes += 1
        figures = dict(_numbers(event.get("figures") or {}))
        candidate = event.get("candidate") or {}
        key = str(event.get("id") or self._outcomes)
        name = _run_name(key, event)
        done = self._candidate_folder(name) / "done"
        if done.exists():
            return  # an outcome that is told again on resume
        writer = self._run(name)
        if name not in self._live:
            for curve, values in (event.get("curve") or {}).items():
                for epoch, value in enumerate(values, start=1):
                    if _finite(value):
                        writer.scalar(f"curve/{curve}", float(value), epoch)
        for metric, value in figures.items():
            writer.scalar(metric, value, self._outcomes)
        writer.hparams(_settings(event, candidate), figures, ok=event.get("status") == "ok")
        done.touch()
        if event.get("split", "validation") == "validation":
            self._track_best(figures, _step(event) if "step" in event else self._outcomes)

    def _track_best(self, figures: Mapping[str, float], step: int) -> None:
        for objective in self._objectives:
            metric = objective.metric
            if objective.cost(figures) < objective.cost(self._best):
                self._best[metric] = figures[metric]
            if metric in self._best:
                self._main.scalar(f"search/best_{metric}", self._best[metric], step)

    def _front(self, event: Event) -> None:
        step = _step(event)
        if _finite(event.get("hypervolume")):
            self._main.scalar("front/hypervolume", float(event["hypervolume"]), step)
        self._paint("front", "front", event, step)

    def _paint(self, painter: str, tag: str, payload: Mapping[str, Any], step: int) -> None:
        draw = self._painters.get(painter)
        if draw is not None:
            self._main.image(tag, draw(payload), step)

    def _candidate_folder(self, name: str) -> Path:
        return self._folder / "candidates" / re.sub(r"[^A-Za-z0-9._=-]", "_", name)[:120]

    def _run(self, name: str) -> RunWriter:
        writer = self._runs.pop(name, None) or RunWriter(self._candidate_folder(name))
        self._runs[name] = writer  # the latest used stands last
        while len(self._runs) > OPEN_RUNS:
            oldest = next(iter(self._runs))
            self._runs.pop(oldest).close()
        return writer


def _run_name(candidate: str, event: Event) -> str:
    """One sub-run per candidate, budget, seed and split."""
    parts = [f"{key}={event[key]}" for key in ("budget", "seed") if event.get(key) is not None]
    if event.get("split", "validation") != "validation":
        parts.append(str(event["split"]))
    return "-".join([candidate, *parts])


def decision_text(event: Event) -> str:
    """A decision and the figures it was based on, as Markdown."""
    operation = event.get("operation")
    lines = [f"**{_clean(event['edge'])}**: kept **{_clean(operation or 'nothing')}**"]
    notes = [f"{event['images']:,} images"] if isinstance(event.get("images"), int) else []
    notes += [_clean(event["reason"])] if event.get("reason") else []
    if notes:
        lines.append("; ".join(notes))
    measured = event.get("measurements") or {}
    names = [
        name
        for name in ("error", "loss", "mean_difference", "confidence")
        if any(name in row for row in measured.values())
    ]
    if names:
        head = [
            "| | " + " | ".join(names).replace("_", " ") + " |",
            "|---" * (len(names) + 1) + "|",
        ]
        rows = [
            f"| {_clean(key)} | " + " | ".join(_number(row.get(name)) for name in names) + " |"
            for key, row in measured.items()
        ]
        lines.append("\n".join([*head, *rows]))
    return "\n\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.5g}" if _finite(value) else "\u2013"


def _clean(value: Any) -> str:
    return " ".join(str(value).replace("|", "/").split())


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((name, float(value)) for name, value in values.items() if _finite(value))


def _step(event: Event) -> int:
    step = event.get("step", 0)
    return round(step) if _finite(step) else 0


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, bool | int | float | str):
            yield f"{above}{name}", value


def _settings(event: Event, candidate: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a candidate in the hparams table."""
    architecture = candidate.get("architecture") or {}
    settings: dict[str, Any] = {
        "space": architecture.get("space", ""),
        "architecture": architecture.get("id", ""),
    }
    settings.update(_flat(candidate.get("scale") or {}))
    settings.update((f"recipe.{k}", v) for k, v in _flat(candidate.get("recipe") or {}))
    settings.update((k, event[k]) for k in ("budget", "seed") if event.get(k) is not None)
    settings.update((f"tag.{k}", v) for k, v in _flat(event.get("tags") or {}))
    return settings
