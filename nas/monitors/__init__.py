"""What watches a run: monitors are told of events and change nothing.

A monitor is called with plain mappings; `"event"` is the kind. It must ignore
kinds and keys that it does not know, so new ones break nobody. Shapes used
here (a key in brackets may be absent):

`start`
    `{"event": "start", "run": str, ["config": mapping], ["versions": mapping],
    ["command": str]}`
`progress` (live, may be lost)
    `{"event": "progress", "phase": "search" | "tune" | "train" | ..., "step": number,
    "scalars": {name: number}, ["candidate": id, "budget", "seed", "split"]}`; the step is the
    epoch (or batch) within the phase. Names such as "train_loss", "error", "accuracy",
    "learning_rate", "alpha_rate". With a candidate the curve is kept apart from the run's own,
    by the four last keys, which should be those of its outcome.
`alphas`
    `{"event": "alphas", "step": number, "groups": {group: [[weight, ...] per edge]},
    "operations": [name, ...] | {group: [name, ...] | [[name, ...] per edge]},
    "edges": [edge name, ...] | {group: [edge name, ...]}, ["decided": {edge: operation | None}]}`;
    weights are mixture weights (each row sums to one, or is zero for a removed edge). A flat list
    of edges names them as 'group/...', in the order of the rows.
`collapse`
    `{"event": "collapse", "step": number, ["skips": number | {group: number}],
    ["entropy": number | {group: number}], ["eigenvalue": number], ["alarm": str]}`; the alarm is
    empty as long as there is none.
`decision`
    `{"event": "decision", "step": number, "edge": str, "group": str, "operation": str | None,
    "measurements": {name: {["loss"], ["error"], ["mean_difference"], ["confidence"]}},
    ["images": int], ["reason": str], ["kind": "operation" | "topology"]}`; `error` and `loss`
    are what is left without that part; `mean_difference`, if given, how much worse that is, with
    half the width of its interval as `confidence`. For a topology decision the measured names
    are edges, `edge` names the node, and `operation` the edges that were kept, with commas
    between.
`cells`
    `{"event": "cells", "step": number, "architecture": Architecture.to_dict(), ["label": str]}`
`samples` (live, may be lost)
    `{"event": "samples", "step": number, "png": str, ["phase": str], ["candidate": id, "budget",
    "seed", "split"]}`; what a generator makes after so many epochs: a PNG in base64.
`outcome`
    `{"event": "outcome", "candidate": Candidate.to_dict(), "id": str, "status": "ok" | "failed",
    "figures": {name: number}, ["curve": {name: [number per epoch]}], ["budget": number | None],
    ["seed": int | None], ["split": str], ["tags": mapping], ["error": str], ["step": int]}`
`front`
    `{"event": "front", "step": number, "points": [{"id": str, "figures": mapping, ["arm": str],
    ["label": str], ["front": bool]}], ["hypervolume": number]}`
`stop`
    `{"event": "stop", "status": str, ["spent": mapping]}`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from nas.core.registry import Registry

__all__ = ["Event", "Monitor", "Painter", "monitors"]

Event: TypeAlias = Mapping[str, Any]
Painter: TypeAlias = Callable[[Mapping[str, Any]], bytes]
"""Draws a payload; returns the bytes of a PNG."""


@runtime_checkable
class Monitor(Protocol):
    """Told of every event of a run, in one thread, in order."""

    def handle(self, event: Event) -> None:
        """Take note of an event; unknown kinds are ignored."""
        ...

    def close(self) -> None:
        """Write what is left; nothing is told after this."""
        ...


monitors: Registry[type[Monitor]] = Registry("monitor", "nas.monitors")
monitors.add(
    "tensorboard",
    "nas.monitors.tensorboard:TensorBoardMonitor",
    "curves, heat maps, decisions, cells, front and hparams for TensorBoard",
)
