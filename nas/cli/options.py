"""Options that several commands share, and completion of their values (torch-free)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from nas.core.errors import NasError
from nas.core.registry import Registry, imported, load_plugin

Hints: TypeAlias = Iterator[tuple[str, str]]


def completing(table: str) -> Callable[[str], Hints]:
    """Completes the names of a registry.

    Args:
        table: Where it is, "module:attribute"; imported when the first name is completed.
    """

    def complete(incomplete: str) -> Hints:
        registry: Registry[Any] = imported(table)
        for name in registry.names():
            if name.startswith(incomplete):
                yield name, registry.summary(name)

    return complete


complete_space = completing("search_spaces:SPACES")
complete_strategy = completing("nas.strategies:STRATEGIES")
complete_executor = completing("nas.engine.executors:EXECUTORS")
complete_form = completing("nas.export:exporters")

# A path after the colon is the shell's business.
complete_data = completing("nas.training.data:DATASETS")
complete_evaluator = completing("nas.evaluators:EVALUATORS")


def complete_metric(incomplete: str) -> Hints:
    """Names of metrics a search may use."""
    from nas.core.metrics import METRICS

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


def option(
    metavar: str | None,
    text: str,
    *names: str,
    complete: Callable[[str], Hints] | None = None,
    least: int | None = None,
) -> Any:
    """An option that may be left out.

    Args:
        metavar: What is given, as the help shows it; None for the type's name.
        text: The help; says in brackets what holds where the option is left out.
        names: With their dashes; the parameter's own without them.
        complete: Gives the values that begin with a text.
        least: The smallest number.
    """
    return typer.Option(
        *names, metavar=metavar, help=text, autocompletion=complete, min=least, show_default=False
    )


def given(values: Iterable[Any] | None) -> tuple[str, ...] | None:
    """What was given with an option that may be repeated, as texts; None if it was not."""
    return tuple(map(str, values or ())) or None


def load_plugins(files: Iterable[Path] | None) -> None:
    """Run the files of `--plugin`.

    Raises:
        NasError: One is missing or does not run.
    """
    for file in files or ():
        load_plugin(file)


_WHERE: Final = "Where to search; see nas list spaces."

SpaceArgument = Annotated[
    str | None,
    typer.Argument(metavar="SPACE", help=_WHERE, autocompletion=complete_space, show_default=False),
]
SpaceOption = Annotated[str | None, option("NAME", _WHERE, complete=complete_space)]
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
NetworkScale = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Scale of the network, e.g. channels=36."),
]
Device = Annotated[
    str | None,
    option("auto|cpu|cuda[:i]", "Where to compute [default: auto]."),
]
Address = Annotated[
    str | None,
    option("HOST:PORT", "The Ray cluster of --executor ray [default: one on this machine]."),
]
Objectives = Annotated[
    list[str] | None,
    option(
        "METRIC[:min|max][<=LIMIT]",
        "What is good, e.g. params:min<=2e6; several make a front [default: error].",
        "--objective",
        complete=complete_metric,
    ),
]
Data = Annotated[
    str | None,
    option(
        "NAME[:PATH]",
        "digits, cifar10[:FOLDER], images:FOLDER or npz:FILE [default: digits].",
        complete=complete_data,
    ),
]
EvaluatorOption = Annotated[
    str | None,
    option(
        "NAME[:ARGUMENT]",
        "Who works out figures: train, table:FOLDER or module:function [default: train].",
        "--evaluator",
        complete=complete_evaluator,
    ),
]
Seed = Annotated[int | None, option(None, "Governs everything [default: 0].", least=0)]
