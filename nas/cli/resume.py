"""`nas resume`: go on with a run, however it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Address, Json, Quiet, RunFolder, option
from nas.cli.streams import Streams


def command(
    run: RunFolder,
    budget: Annotated[
        str | None,
        option("[+]AMOUNT", "More budget, e.g. +20epochs, or a whole new one, e.g. 300epochs."),
    ] = None,
    address: Address = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Go on with a run, however it was stopped."""
    raise typer.Exit(resume(run, budget, Streams(json=json, quiet=quiet), address))


def resume(folder: Path, budget: str | None, streams: Streams, address: str | None = None) -> int:
    """Go on with a run and present its result; the exit code.

    Raises:
        NasError: There is no such run, the budget is wrong, or the run failed.
    """
    from nas.cli.targets import check_run
    from nas.engine.budget import Budget

    check_run(folder)
    if budget is not None:
        Budget.parse(budget.strip().removeprefix("+"))
    from nas import api
    from nas.cli.running import run_and_present

    streams.note(f"going on with {folder}")
    return run_and_present(
        lambda listeners: api.resume(folder, budget=budget, address=address, listeners=listeners),
        folder,
        streams,
    )
