"""`nas report`: a run as one self-contained page."""

from __future__ import annotations

from pathlib import Path

import typer

from nas.cli.options import Json, RunFolder
from nas.cli.streams import Streams


def command(run: RunFolder, json: Json = False) -> None:
    """Write RUN/report.html, one self-contained page."""
    report(run, Streams(json=json))


def report(folder: Path, streams: Streams) -> None:
    """Write the page and say where it is.

    Raises:
        NasError: There is no such run, or the page cannot be written.
    """
    from nas.cli.targets import check_run

    check_run(folder)
    from nas import api

    page = api.write_report(folder)
    if streams.json:
        streams.document({"report": str(page)})
    else:
        streams.line(str(page))
        streams.note(f"open it in a browser: {typer.format_filename(page)}", style="dim")
