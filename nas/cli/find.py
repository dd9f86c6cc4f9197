"""`nas find`: what a run has learnt to expect the best of within new limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import Json, RunFolder, option
from nas.cli.streams import Streams

if TYPE_CHECKING:
    from nas.strategies.base import Finding


def command(
    run: RunFolder,
    target: Annotated[
        list[str] | None,
        option("LIMIT[,LIMIT]", "What to keep, e.g. macs<=4e8 or 1e8<=macs<=2e8.", "--target"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="At most so many for each target.")] = 1,
    out: Annotated[
        Path | None, option("FOLDER", "Write each as N.json, which nas train takes.")
    ] = None,
    json: Json = False,
) -> None:
    """Find the best within new limits by what a search has learnt; nothing is trained."""
    find(run, target or [], count, out, Streams(json=json))


def find(folder: Path, targets: list[str], count: int, out: Path | None, streams: Streams) -> None:
    """Find, write and print.

    Raises:
        NasError: There is no such run, its strategy cannot tell, or the limits leave nothing.
    """
    from nas import api
    from nas.cli.targets import check_run
    from nas.engine.resolve import check_out

    check_run(folder)
    if out is not None:
        check_out(out)
    found = api.find(folder, targets, count)
    files = [] if out is None else _written(folder, found, out)
    if streams.json:
        rows = [finding.to_dict() for finding in found]
        for row, file in zip(rows, files, strict=False):
            row["file"] = str(file)
        streams.document({"run": str(folder), "found": rows})
        return
    for number, finding in enumerate(found):
        exact = ", ".join(f"{name} {value:.6g}" for name, value in finding.figures.items())
        guess = ", ".join(
            f"{name} {value:.4g} +- {finding.deviation[name]:.2g}"
            for name, value in finding.expected.items()
        )
        where = f"  {files[number]}" if files else f"  {finding.candidate.id}"
        streams.line(f"{finding.target}: {exact}; expected {guess}{where}")
    streams.note("expected, not trained" + ("; next: nas train FILE" if files else ""), style="dim")


def _written(folder: Path, found: list[Finding], out: Path) -> list[Path]:
    """A file for each, of the member: of a joint space with its recipe."""
    from nas.engine.run import read_config
    from nas.export import write_architecture
    from search_spaces import get_space

    space = get_space(read_config(folder).space)
    files = [out / f"{number}.json" for number in range(1, len(found) + 1)]
    for file, finding in zip(files, found, strict=True):
        write_architecture(file, space.member(finding.candidate))
    return files
