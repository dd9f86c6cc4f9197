"""Whole searches by `darts` that take seconds, and how to compare two of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nas.core.config import merge
from nas.engine.run import Run

TINY: Mapping[str, Any] = {
    "strategy": "darts",
    "data_settings": {"limit": 20},
    "executor": "serial",
    "workers": 1,
    "device": "cpu",
    "objectives": ["error:min", "params:min"],
    "settings": {
        "epochs": 2,
        "weights": {"batch_size": 5},
        "alarm": {"every": 1},
        "selection": {"interval": 1, "at_least": 4, "batch_size": 5},
    },
    "recipe": {"epochs": 1, "batch_size": 10},
    "final": {
        "seeds": 2,
        "epochs": 1,
        "recipe": {"label_smoothing": 0.05},
        "random_limit": 2,
        "random_epochs": 1,
    },
}
SCALES: Mapping[str, list[dict[str, int]]] = {
    "nasbench201": [{"channels": 2, "layers": 1}, {"channels": 4, "layers": 1}],
    "darts": [{"channels": 2, "layers": 3}, {"channels": 4, "layers": 4}],
}


def tiny(space: str = "nasbench201", **over: Any) -> dict[str, Any]:
    """Fields of a configuration; `over` goes on top."""
    scales = SCALES.get(space, SCALES["darts"])
    chosen = {"space": space, "network": scales[0], "final": {"scales": scales}}
    # A copy without shared parts: YAML would write those as aliases, which are refused.
    return json.loads(json.dumps(merge(merge(TINY, chosen), over)))  # type: ignore[no-any-return]


def log(run: Run, *, ordered: bool = True) -> list[str]:
    """Everything that a run's store says, but for times and places."""
    rows = [
        json.dumps(
            {
                "work": [e.phase, e.work.to_dict()],
                "found": [e.status, e.figures, e.value, e.curve, e.error],
                "spent": [e.spent.epochs, e.spent.evaluations, e.spent.macs],
            },
            sort_keys=True,
        )
        for e in run.history
    ]
    told = [json.dumps(announced, sort_keys=True) for announced in run.announced]
    return [*(rows if ordered else sorted(rows)), *told]


def outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without times and places."""
    kept = {k: v for k, v in result.items() if k not in ("run", "spent", "event", "schema")}
    kept["epochs"] = result["spent"]["epochs"]
    comparison = kept.get("baseline")
    if comparison:
        kept["baseline"] = {k: v for k, v in comparison.items() if not k.endswith("_seconds")}
    return json.loads(json.dumps(kept))  # type: ignore[no-any-return]
