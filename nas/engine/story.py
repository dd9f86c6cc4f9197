"""A run as monitors and the report tell it (shapes: `nas.monitors`).

The same few translations serve both: live from the engine's events, afterwards from the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from nas.core.architecture import Candidate
from nas.core.config import RunConfig
from nas.core.front import Front, Point
from nas.core.objective import parse_objectives
from nas.core.work import Call
from nas.engine.events import Announced, Event, Notice, Progress, RunStarted, WorkDone
from nas.evaluators import account_of
from search_spaces import get_space
from search_spaces.cell import CellSpace

Told = Mapping[str, Any]

FRONT_EVERY: Final = 10.0
"""Seconds between pictures of a growing front."""


class Story:
    """A listener of the engine that tells a monitor.

    What is replayed on a resume has been told before and is left out.

    Args:
        config: The run's configuration.
        tell: Told of every event.
    """

    def __init__(self, config: RunConfig, tell: Callable[[Told], None]) -> None:
        self._config = config
        self._tell = tell
        self._labels = labels(config)
        self._front = Front(parse_objectives(config.objectives))
        self._goal = account_of(config.evaluator).goal
        self._decisions = 0
        self._drawn = 0.0
        self._count = 0

    def __call__(self, event: Event) -> None:
        """Pass on what a monitor understands."""
        for told in self._translate(event):
            self._tell(told)

    def close(self) -> None:
        """Tell the last front."""
        if len(self._front):
            self._tell(self._picture())

    def _translate(self, event: Event) -> Iterator[Told]:
        if isinstance(event, RunStarted) and not event.resumed:
            yield {"event": "start", "run": event.run, "config": event.config}
        elif isinstance(event, WorkDone):
            yield from self._done(event)
        elif isinstance(event, Progress):
            yield progress(event)
        elif isinstance(event, Announced):
            self._decisions += event.topic == "decision"
            told = announced(event.topic, event.payload, self._decisions)
            if told is not None and not event.replayed:
                yield told
        elif isinstance(event, Notice):
            yield {"event": "notice", "text": event.text}

    def _done(self, event: WorkDone) -> Iterator[Told]:
        outcome = event.outcome
        if isinstance(outcome.work, Call):
            if not event.replayed and outcome.ok:
                yield from answered(outcome.value, self._labels)
            return
        self._count += 1
        if outcome.ok and self._front.add(
            Point(outcome.candidate, outcome.figures, outcome.work.tags)
        ):
            now = time.monotonic()
            if now - self._drawn >= FRONT_EVERY and not event.replayed:
                self._drawn = now
                yield self._picture()
        if not event.replayed and not event.repeated:
            yield event.to_dict()

    def _picture(self) -> Told:
        points = [
            point_of(point.candidate, point.figures, point.tags, front=True)
            for point in self._front.points
        ]
        return {
            "event": "front",
            "step": self._count,
            "points": points,
            "hypervolume": self._front.hypervolume(),
            "objectives": [{"name": objective.metric} for objective in self._front.objectives],
            "goal": self._goal,
        }


def labels(config: RunConfig) -> dict[str, Any]:
    """Names of the edges and operations in the rows and columns of a mixture."""
    space = get_space(config.space)
    if not isinstance(space, CellSpace):
        return {}
    edges: dict[str, list[str]] = {}
    operations: dict[str, list[list[str]]] = {}
    for edge in space.edges:
        edges.setdefault(edge.group, []).append(edge.name)
        operations.setdefault(edge.group, []).append(list(edge.operations))
    return {"edges": edges, "operations": operations}


def answered(value: Any, names: Mapping[str, Any]) -> Iterator[Told]:
    """What a session's answer after an epoch tells: curves and a heat map."""
    if not isinstance(value, Mapping) or "mixture" not in value or "epoch" not in value:
        return
    step = int(value["epoch"])
    scalars = {k: v for k, v in value.items() if isinstance(v, float)}
    for name in ("train_error", "error"):
        if name in scalars:
            accuracy = "train_accuracy" if name == "train_error" else "accuracy"
            scalars[accuracy] = 1 - scalars[name]
    yield {"event": "progress", "phase": "supernet", "step": step, "scalars": scalars}
    yield {"event": "alphas", "step": step, "groups": value["mixture"], **names}


def progress(event: Progress) -> Told:
    """What a worker says of a training under way."""
    told = event.to_dict()
    told.setdefault("candidate", None)
    return told


def announced(topic: str, payload: Mapping[str, Any], step: int) -> Told | None:
    """What a strategy announced; None if monitors have no shape for it."""
    if topic == "watch":
        reasons = payload.get("reasons") or []
        return {"event": "collapse", **payload, "alarm": "; ".join(reasons)}
    if topic == "decision":
        return decision(payload, step)
    if topic == "notice":
        return {"event": "notice", **payload}
    if topic == "cells":
        return {"event": "cells", "step": step, **payload}
    return None


def decision(payload: Mapping[str, Any], step: int) -> Told:
    """A decision with the figures it was based on."""
    topology = payload.get("what") == "topology"
    kept = [str(name) for name in payload.get("kept") or ()]
    sure = payload.get("confidence") or 0.0
    if payload.get("reason"):
        reason = str(payload["reason"])
    elif sure:
        reason = f"{100 * sure:.1f}% sure"
    elif payload.get("complete"):
        reason = "all pictures seen, the leader may be chance"
    elif payload.get("images"):
        reason = "no more pictures allowed, the leader may be chance"
    else:
        reason = ""
    return {
        "event": "decision",
        "step": step,
        "kind": payload.get("what", "operation"),
        "group": payload.get("group", ""),
        "edge": f"{payload.get('group')}/{payload.get('node')}" if topology else payload["edge"],
        "operation": ", ".join(kept),
        "measurements": payload.get("variants") or {},
        "images": payload.get("images"),
        "reason": reason,
    }


def point_of(
    candidate: Candidate, figures: Mapping[str, float], tags: Mapping[str, Any], *, front: bool
) -> Told:
    """A candidate as pictures and tables of the front show it."""
    recipe = candidate.recipe
    return {
        "id": candidate.id,
        "figures": dict(figures),
        "scale": dict(candidate.scale),
        **({} if recipe is None else {"recipe": recipe.to_dict()}),
        "arm": str(tags.get("arm", "search")),
        "front": front,
    }
