"""The program `nas`: the table of its commands, and what every error looks like."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from nas.cli import (
    bench,
    check,
    doctor,
    export,
    find,
    listing,
    report,
    resume,
    search,
    show,
    status,
    train,
)
from nas.cli.errors import ReaderGone, Unexpected
from nas.cli.streams import Streams, silence
from nas.core.errors import NasError
from nas.core.version import VERSION

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 failed; 2 bad input; 3 finished but nothing feasible;"
    " 4 data or environment missing; 130/143 stopped with the run saved."
)

app = typer.Typer(
    name="nas",
    help="Neural architecture search: from data to a front of networks you can ship.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("search")(search.command)
app.command("resume")(resume.command)
app.command("status")(status.command)
app.command("find")(find.command)
app.command("train")(train.command)
app.command("export")(export.command)
app.command("show")(show.command)
app.command("list")(listing.command)
app.command("bench")(bench.command)
app.command("report")(report.command)
app.command("check")(check.command)
app.command("doctor")(doctor.command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"nas {VERSION}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Prints every error as one line on stderr."""
    streams = Streams()
    try:
        code = app(args=arguments, prog_name="nas", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0
    except ReaderGone:
        return 0
    except BrokenPipeError:
        silence(sys.stdout)
        return 0
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        streams.error(f"{message[:1].lower()}{message[1:]}; see nas --help")
        return error.exit_code
    except NasError as error:
        _raise_if_debugging(error)
        streams.error(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        streams.error("interrupted")
        return 130
    except Exception as error:
        _raise_if_debugging(error)
        streams.error(_logged(error))
        return 1


def main() -> NoReturn:
    """The entry point of the program."""
    sys.exit(run())


def _raise_if_debugging(error: Exception) -> None:
    if os.environ.get("NAS_DEBUG") == "1":
        raise error


def _logged(error: Exception) -> str:
    """One line about a mistake in code, whose traceback goes to a file."""
    folder = Path(tempfile.gettempdir())
    cause: BaseException = error
    if isinstance(error, Unexpected):
        folder, cause = error.folder, error.__cause__ or error
    what = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    text = "".join(traceback.format_exception(cause))
    name = f"nas-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for place in (folder, Path(tempfile.gettempdir())):
        try:
            (place / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return f"{what}; this is a defect of nas, details are in {place / name}"
    return f"{what}; this is a defect of nas, set NAS_DEBUG=1 for details"
