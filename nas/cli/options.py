"""Options that several commands share, and completion of their values (torch-free)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from nas.core.errors import NasError
from nas.core.registry import Registry

Hints: TypeAlias = Iterator[tuple[str, str]]


def _rows(registry: Registry[Any], incomplete: str) -> Hints:
    for name in registry.names():
        if name.startswith(incomplete):
            yield name, registry.summary(name)


def complete_space(incomplete: str) -> Hints:
    """Names of search spaces."""
    from search_spaces import SPACES

    yield from _rows(SPACES, incomplete)


def complete_strategy(incomplete: str) -> Hints:
    """Names of strategies."""
    from nas.strategies import STRATEGIES

    yield from _rows(STRATEGIES, incomplete)


def complete_data(incomplete: str) -> Hints:
    """Names of data sets; a path after the colon is the shell's business."""
    from nas.training.data import DATASETS

    yield from _rows(DATASETS, incomplete)


def complete_evaluator(incomplete: str) -> Hints:
    """Names of evaluators; a path after the colon is the shell's business."""
    from nas.evaluators import EVALUATORS

    yield from _rows(EVALUATORS, incomplete)


def complete_executor(incomplete: str) -> Hints:
    """Names of executors."""
    from nas.engine.executors import EXECUTORS

    yield from _rows(EXECUTORS, incomplete)


def complete_form(incomplete: str) -> Hints:
    """Names of export forms."""
    from nas.export import exporters

    yield from _rows(exporters, incomplete)


def complete_metric(incomplete: str) -> Hints:
    """Names of metrics a search may use."""
    from nas.core.objective import METRICS

    for name, text in METRICS.items():
        if name.startswith(incomplete) and name != "test_error":
            yield name, text


def complete_run(incomplete: str) -> Hints:
    """Folders in `runs/` that hold a run."""
    base = Path("runs")
    for folder in sorted(base.iterdir(), reverse=True) if base.is_dir() else ():
        if str(folder).startswith(incomplete) and (folder / "run.json").is_file():
            yield str(folder), "a run"


def complete_target(incomplete: str) -> Hints:
    """Runs, spaces, and after SPACE: the published members."""
    name, colon, start = incomplete.partition(":")
    if not colon:
        yield from complete_run(incomplete)
        yield from complete_space(incomplete)
        return
    from search_spaces import get_space

    try:
        members = get_space(name).members
    except NasError:
        return
    for member in members:
        if member.startswith(start):
            yield f"{name}:{member}", f"published architecture of {name}"


Target = Annotated[
    str,
    typer.Argument(
        metavar="RUN|ARCH",
        help="A run's folder, an architecture.json, SPACE:MEMBER or SPACE:'NOTATION'.",
        autocompletion=complete_target,
        show_default=False,
    ),
]
RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="The run's folder.", autocompletion=complete_run, show_default=False
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="A Python file that registers plug-ins."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting; recipe.KEY for training's."),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="auto|cpu|cuda[:i]", help="Where to compute [default: auto].", show_default=False
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster of --executor ray [default: one on this machine].",
        show_default=False,
    ),
]
Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        metavar="METRIC[:min|max][<=LIMIT]",
        help="What is good, e.g. params:min<=2e6; several make a front [default: error].",
        autocompletion=complete_metric,
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[:PATH]",
        help="digits, cifar10[:FOLDER], images:FOLDER or npz:FILE [default: digits].",
        autocompletion=complete_data,
        show_default=False,
    ),
]
EvaluatorOption = Annotated[
    str | None,
    typer.Option(
        "--evaluator",
        metavar="NAME[:ARGUMENT]",
        help="Who works out figures: train, table:FOLDER or module:function [default: train].",
        autocompletion=complete_evaluator,
        show_default=False,
    ),
]
Seed = Annotated[
    int | None, typer.Option(help="Governs everything [default: 0].", min=0, show_default=False)
]
