"""`nas search`: one command from data to a front."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import (
    Address,
    Data,
    Device,
    EvaluatorOption,
    Json,
    Objectives,
    Plugins,
    Quiet,
    Seed,
    Sets,
    SpaceOption,
    complete_executor,
    complete_strategy,
    given,
    option,
)
from nas.cli.streams import Streams

if TYPE_CHECKING:
    from nas.core.config import RunConfig


def command(
    space: SpaceOption = None,
    strategy: Annotated[
        str | None,
        option(
            "NAME",
            "How to search [default: darts where there is a supernet].",
            complete=complete_strategy,
        ),
    ] = None,
    data: Data = None,
    evaluator: EvaluatorOption = None,
    objectives: Objectives = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A YAML file, e.g. another run's config.yaml."),
    ] = None,
    sets: Sets = None,
    scale: Annotated[
        str | None,
        option(
            "quick|default|paper",
            "Preset: minutes on two CPU cores, a GPU's day, or the paper's own [default: quick].",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        option("AMOUNT", "50evaluations, 300epochs, 6h [default: the strategy's own end]."),
    ] = None,
    seed: Seed = None,
    device: Device = None,
    executor: Annotated[
        str | None,
        option(
            "NAME",
            "serial, processes or ray [default: the preset's, else serial].",
            complete=complete_executor,
        ),
    ] = None,
    workers: Annotated[
        int | None, option(None, "Parallel workers [default: the preset's, else 1].", least=1)
    ] = None,
    address: Address = None,
    out: Annotated[Path | None, option("FOLDER", "The run's folder [default: runs/NAME].")] = None,
    plugins: Plugins = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved configuration as YAML.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search for architectures; complete as it is: nas search --space darts."""
    asked = {
        "space": space,
        "strategy": strategy,
        "data": data,
        "evaluator": evaluator,
        "objectives": given(objectives),
        "preset": scale,
        "budget": budget,
        "seed": seed,
        "device": device,
        "executor": executor,
        "workers": workers,
        "address": address,
        "plugins": given(plugins),
    }
    request = Request(asked, config, tuple(sets or ()), out, dry_run, print_config)
    raise typer.Exit(search(request, Streams(json=json, quiet=quiet)))


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line.

    Attributes:
        asked: Fields of `RunConfig`, None where not given.
        file: The configuration file.
        assignments: Texts of `--set`.
        out: The run's folder.
        dry_run: Only say what would be done.
        print_config: Only print the configuration.
    """

    asked: dict[str, Any]
    file: Path | None = None
    assignments: tuple[str, ...] = ()
    out: Path | None = None
    dry_run: bool = False
    print_config: bool = False


def search(request: Request, streams: Streams) -> int:
    """Resolve the request and run it; the exit code.

    Raises:
        NasError: The request is wrong, or the run failed.
    """
    from nas.engine.resolve import check_out, default_out, resolve
    from nas.engine.tables import coverage_of

    config = resolve(request.asked, file=request.file, assignments=request.assignments)
    if request.print_config:
        if streams.json:
            streams.document(config.model_dump(mode="json"))
        else:
            streams.text(config.to_yaml())
        return 0
    out = request.out or default_out(config)
    check_out(out)
    if request.dry_run:
        tell_plan(config, out, streams)
        return 0
    streams.note(headline(config, out))
    coverage = coverage_of(config)
    if coverage:
        streams.note(coverage)
    return execute(config, out, streams)


def execute(config: RunConfig, out: Path, streams: Streams) -> int:
    """Run a resolved search and present its result; the exit code."""
    from nas import api
    from nas.cli.running import run_and_present

    return run_and_present(
        lambda listeners: api.search(config, out=out, listeners=listeners), out, streams
    )


def headline(config: RunConfig, out: Path) -> str:
    """What was chosen and, where that is only a quick look, how to get more; one line."""
    from nas.engine.tables import data_of

    objectives = ", ".join(config.objectives)
    budget = f", at most {config.budget}" if config.budget else ""
    return (
        f"searching {config.space} by {config.strategy} on {data_of(config)}"
        f" ({config.preset} preset, {objectives}, seed {config.seed}{budget}) in {out}"
        f"{real_thing(config)}"
    )


def real_thing(config: RunConfig) -> str:
    """How to get more than a quick look, as the end of a line; empty if this is more already."""
    from nas.evaluators import looking_up

    if config.preset != "quick" or looking_up(config.evaluator) is not None:
        return ""
    data = "" if config.data != "digits" else " --data images:FOLDER"
    return f"; for the real thing:{data} --scale default (or paper)"


def tell_plan(config: RunConfig, out: Path, streams: Streams) -> None:
    """Say what a search would do: strategy, data, cost, output."""
    from nas.cli import words
    from nas.cli.plan import expected
    from nas.engine.tables import coverage_of, data_of

    cost = expected(config)
    if streams.json:
        streams.document(
            {"config": config.model_dump(mode="json"), "out": str(out), "expected": cost}
        )
        return
    rows = {
        "space": config.space,
        "strategy": f"{config.strategy}, {config.preset} preset",
        "data": data_of(config),
        "objectives": ", ".join(config.objectives),
        "device": f"{config.device}, {config.executor} executor, "
        f"{words.number(config.workers, 'worker')}"
        f"{f' at {config.address}' if config.address else ''}",
        "budget": config.budget or "the strategy's own end",
        "search": words.cost(cost["search"]) if cost["search"] else "not known beforehand",
        "then": words.cost(cost["final"]),
        **({"credit": words.cost(cost["credit"])} if cost["credit"] else {}),
        "output": str(out),
    }
    for name, text in rows.items():
        streams.line(f"{name:<10} {text}")
    coverage = coverage_of(config)
    if coverage:
        streams.note(coverage)
    streams.note("nothing was done; all settings: the same with --print-config")
