"""A run's result, as the last line of the stream and as a person reads it."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from nas.cli import words
from nas.cli.plain import SCHEMA
from nas.cli.streams import Streams
from nas.core.errors import NasError
from nas.core.metrics import shown
from nas.core.objective import Objective
from nas.engine.budget import Budget
from nas.engine.events import Event, Finished, Stopping

LONGEST_FRONT: Final = 20
INFEASIBLE: Final = 3


@dataclass
class Keeper:
    """A listener that keeps the result, and the signal that stopped the run, if one did."""

    result: dict[str, Any] = field(default_factory=dict)
    signal: int = 0

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, Finished):
            self.result = dict(event.result)
        elif isinstance(event, Stopping):
            self.signal = int(event.signal)

    def exit_code(self, feasible: bool) -> int:
        """The exit code that the result means."""
        if not self.result or self.result.get("status") == "failed":
            return 1
        if self.result.get("status") == "stopped":
            return 128 + (self.signal or signal.SIGINT)
        return 0 if feasible else INFEASIBLE


def present(keeper: Keeper, streams: Streams) -> int:
    """Print the result, as the last line of JSON or for a person; the exit code."""
    result = keeper.result
    if streams.json:
        streams.record({"schema": SCHEMA, "event": "result", **result})
    elif result.get("status") == "stopped":
        streams.note(f"stopped; everything is saved in {result['run']}; go on with:")
        streams.line(f"nas resume {result['run']}")
    else:
        print_result(result, streams)
    return keeper.exit_code(feasible=bool(result.get("front")))


def load_result(folder: Path) -> dict[str, Any]:
    """The result of a run, as it was left or, while it runs, as its store has it now.

    Raises:
        StoreError: The folder cannot be read as a run.
    """
    from nas.engine.results import describe
    from nas.engine.run import Run

    with Run.look(folder) as run:
        record = run.status()
        kept = record.get("result")
        if isinstance(kept, dict):
            return {**kept, "run": str(folder), "status": record["status"]}
        best, front = run.best, run.pareto
        return {
            "run": str(folder),
            "status": record.get("status", "unknown"),
            "best": None if best is None else describe(best),
            "front": [describe(entry) for entry in run.front],
            "hypervolume": front.hypervolume(),
            "objectives": list(run.config.objectives),
            "spent": {**record.get("spent", {}), "seconds": record.get("elapsed", 0.0)},
            "comparison_spent": record.get("comparison_spent"),
        }


def print_result(result: Mapping[str, Any], streams: Streams) -> None:
    """What was found, how good it is, what it cost, and what to do next."""
    run = str(result.get("run", ""))
    best = result.get("best")
    points = result.get("front") or []
    if not points:
        closest = "; the closest to it:" if best else ""
        streams.line(f"nothing feasible was found{closest}", style="bold yellow")
    wanted = [Objective.parse(text).metric for text in result.get("objectives") or ()]
    if best:
        _print_best(best, wanted, streams)
    if points:
        streams.line("")
        streams.result(front_table(points, result.get("hypervolume"), wanted))
    baseline = result.get("baseline") or {}
    if baseline.get("sentence"):
        streams.line("")
        streams.line(f"against random search: {baseline['sentence']}")
    credit = result.get("credit") or {}
    for text in credit.get("sentences") or ():
        streams.line(f"credit: {text}")
    streams.line("")
    if result.get("status") not in {"done", None}:
        streams.line(f"status {result['status']}")
    streams.line(f"cost   {words.cost(result.get('spent') or {})}")
    beside = result.get("comparison_spent") or {}
    if beside.get("epochs"):  # reading what was found costs none
        looked_up = {**beside, "seconds": 0}
        streams.line(f"       the random searches to compare with: {words.cost(looked_up)}")
    if result.get("failed"):
        count = words.number(int(result["failed"]), "evaluation")
        streams.line(f"failed {count}; the first: {result.get('first_failure')}")
    streams.line(f"files  {run}")
    for text in next_commands(run, result):
        streams.note(f"next:  {text}", style="dim")


def next_commands(run: str, result: Mapping[str, Any]) -> list[str]:
    """What a person may want to do now."""
    if result.get("status") in {"stopped", "failed", "running", "interrupted"}:
        return [f"nas resume {run}"]
    if not result.get("front"):
        budget = Budget.parse(result.get("budget"))
        more = [f"nas resume {run} --budget +{budget}    as much again"] if budget else []
        return [*more, f"open {run}/report.html"]
    return [
        f"open {run}/report.html",
        f"nas train {run} --epochs 100    train the best for longer",
        f"nas export {run} --to onnx      its other forms are in {run}/best",
        f"tensorboard --logdir {run}/tb",
    ]


def front_table(
    points: Sequence[Mapping[str, Any]], hypervolume: Any = None, wanted: Sequence[str] = ()
) -> Table:
    """The front, one network a row; figures that are `wanted` besides the usual ones come first."""
    names = shown((name for point in points for name in point.get("figures") or {}), wanted)
    scales = sorted({key for point in points for key in point.get("scale") or {}})
    title = f"front: {words.number(len(points), 'network')}"
    if isinstance(hypervolume, int | float):
        title += f", hypervolume {hypervolume:.4g}"
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("id")
    for name in (*scales, *names):
        table.add_column(words.label(name), justify="right")
    for point in points[:LONGEST_FRONT]:
        figures, scale = point.get("figures") or {}, point.get("scale") or {}
        row = [str(point.get("id", ""))[:8]]
        row += [str(scale.get(key, "")) for key in scales]
        row += [words.figure(name, figures[name]) if name in figures else "" for name in names]
        table.add_row(*row)
    if len(points) > LONGEST_FRONT:
        table.add_row(f"and {len(points) - LONGEST_FRONT} more")
    return table


def _print_best(best: Mapping[str, Any], wanted: Sequence[str], streams: Streams) -> None:
    architecture = best["architecture"]
    scale = best.get("scale") or {}
    name = str(architecture["id"])
    streams.line(f"found {name} in {architecture['space']}", style="bold")
    for line in _cells(architecture):
        streams.line(f"  {line}")
    if scale:
        streams.line(f"  at {words.scale(scale)}")
    if best.get("recipe"):
        streams.line(f"  trained with {words.settings(best['recipe'])}")
    figures = best.get("figures") or {}
    streams.line(f"  {words.figures(figures, shown(figures, wanted))}")


def _cells(data: Mapping[str, Any]) -> list[str]:
    """The architecture in words; nothing if its space is a plug-in that is not loaded here."""
    from nas.cli import describe
    from search_spaces import get_space

    try:
        space = get_space(str(data["space"]))
        architecture = space.from_dict(dict(data))
    except NasError:
        return []
    lines = describe.cells(space, architecture)
    text = describe.notation(space, architecture)
    return [*lines, *([f"notation: {text}"] if text else [])]
