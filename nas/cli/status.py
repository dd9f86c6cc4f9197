"""`nas status`: what is running or done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Json, complete_run
from nas.cli.streams import Streams

if TYPE_CHECKING:
    from rich.table import Table

RUNS = Path("runs")


def command(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="The run's folder; all of ./runs without it.",
            autocompletion=complete_run,
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what is running or done."""
    streams = Streams(json=json)
    if run is None:
        all_runs(RUNS, streams)
    else:
        one_run(run, streams)


def one_run(folder: Path, streams: Streams) -> None:
    """The state of one run.

    Raises:
        NasError: There is no such run, or it cannot be read.
    """
    from nas.cli import words
    from nas.cli.targets import check_run

    found = _status(check_run(folder))
    if streams.json:
        streams.document(found)
        return
    data = f", data {found['data']}" if found["data"] else ""
    rows = {
        "run": str(folder),
        "status": f"{found.get('status')}  {found.get('reason') or ''}",
        "search": f"{found['strategy']} on {found['space']}{data}",
        "begun": _when(found.get("created")),
        "spent": words.cost({**found.get("spent", {}), "seconds": found.get("elapsed", 0.0)}),
        "budget": found.get("budget") or "the strategy's own end",
        "counts": ", ".join(f"{n} {name}" for name, n in (found.get("counts") or {}).items()),
    }
    for name, text in rows.items():
        streams.line(f"{name:<8} {text}".rstrip())
    if found.get("status") != "done":
        if found.get("status") != "running":
            streams.note(f"next: nas resume {folder}")
    else:
        streams.note(f"next: nas show {folder}")


def all_runs(base: Path, streams: Streams) -> None:
    """One line for each run in a folder; runs that cannot be read say why."""
    from nas.core.errors import NasError

    found: list[dict[str, Any]] = []
    folders = sorted(base.iterdir()) if base.is_dir() else []
    for folder in folders:
        if not (folder / "store.sqlite").is_file():
            continue
        try:
            found.append(_status(folder))
        except NasError as error:
            found.append({"run": str(folder), "status": "unreadable", "reason": str(error)})
    if streams.json:
        streams.document(found)
    elif found:
        streams.result(_table(found))
    else:
        streams.note(f"no runs in {base}/; begin one: nas search --space darts")


def _status(folder: Path) -> dict[str, Any]:
    from nas.engine.run import Run

    with Run.look(folder) as run:
        found = dict(run.status())
        found["run"] = str(folder)
        found["space"], found["strategy"] = run.config.space, run.config.strategy
        found["data"] = run.config.data if _reads_data(run.config.evaluator) else None
        return found


def _reads_data(evaluator: str) -> bool:
    """Whether figures are of the run's data: those of our trainings and of tables."""
    from nas.core.errors import PluginError
    from nas.evaluators import looking_up

    try:
        return evaluator == "train" or looking_up(evaluator) is not None
    except PluginError:  # of a package that is broken
        return False


def _table(runs: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    from nas.cli import words

    table = Table(box=None, pad_edge=False)
    for name in ("run", "status", "space", "strategy", "data", "begun", "spent"):
        table.add_column(name, overflow="fold")
    for found in runs:
        table.add_row(
            found["run"],
            str(found.get("status")),
            str(found.get("space", "")),
            str(found.get("strategy", "")),
            str(found.get("data") or ""),
            _when(found.get("created")),
            words.cost(_spent(found)) if "spent" in found else str(found.get("reason", "")),
        )
    return table


def _spent(found: Mapping[str, Any]) -> dict[str, Any]:
    spent = dict(found["spent"])
    spent.pop("macs", None)
    return {**spent, "seconds": found.get("elapsed", 0.0)}


def _when(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return ""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
