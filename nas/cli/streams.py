"""Where output goes: results to stdout, everything else to stderr.

rich decides on colours (NO_COLOR, FORCE_COLOR, TERM=dumb); what is piped has none and is wide
enough that tables are not cut.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Final, NoReturn

from rich.console import Console, RenderableType
from rich.text import Text

from nas.cli.errors import ReaderGone

PIPED_WIDTH: Final = 120


class _Console(Console):
    """A console to which a closed pipe is the reader's wish, not a mistake."""

    def on_broken_pipe(self) -> NoReturn:
        """Say so in a way that neither typer nor the engine takes for a failure."""
        silence(self.file)
        raise ReaderGone("nobody reads it any more")


@dataclass(frozen=True)
class Streams:
    """The two streams of one command.

    Attributes:
        json: stdout carries JSON only.
        quiet: stderr carries errors only.
    """

    json: bool = False
    quiet: bool = False

    @cached_property
    def out(self) -> Console:
        """For results."""
        return _console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """For progress, notices and errors."""
        return _console(sys.stderr)

    @property
    def live(self) -> bool:
        """Whether a panel that is redrawn makes sense on stderr."""
        return self.err.file.isatty() and self.err.is_terminal and not self.err.is_dumb_terminal

    def result(self, renderable: RenderableType) -> None:
        """Print a result; nothing if stdout is for JSON."""
        if self.json:
            return
        if self.out.is_terminal:
            self.out.print(renderable)
            return
        with self.out.capture() as captured:  # without the blanks that fill lines up
            self.out.print(renderable)
        self.text("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def line(self, text: str, style: str = "") -> None:
        """Print a result line, never wrapped."""
        if not self.json:
            self.out.print(Text(clean(text), style=style), soft_wrap=True)

    def text(self, text: str) -> None:
        """Write a text that is a result as it is, such as a file's content."""
        self._write(text.rstrip("\n"))

    def document(self, value: Any) -> None:
        """Print one JSON document, indented."""
        self._write(json.dumps(jsonable(value), indent=2, allow_nan=False))

    def record(self, value: Mapping[str, Any]) -> None:
        """Print one line of JSON Lines."""
        self._write(json.dumps(jsonable(value), separators=(",", ":"), allow_nan=False))

    def note(self, text: str, style: str = "") -> None:
        """Tell something on stderr, in one line, unless `quiet`."""
        if not self.quiet:
            self.err.print(Text(clean(text), style=style), soft_wrap=True)

    def error(self, text: str) -> None:
        """Print `error: ...` on stderr, in one line."""
        message = Text.assemble(("error: ", "bold red"), clean(text))
        self.err.print(message, soft_wrap=True)

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            silence(sys.stdout)
            raise ReaderGone("nobody reads stdout any more") from None


def _console(stream: IO[str]) -> Console:
    console = _Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        no_color=bool(os.environ.get("NO_COLOR")),
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


def jsonable(value: Any) -> Any:
    """`value` as JSON takes it: mappings, lists and scalars; NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "tolist"):  # NumPy
        return jsonable(value.tolist())
    return str(value)


def clean(text: str) -> str:
    """One line without control characters, whatever a file's name had in it."""
    line = " ".join(text.splitlines()).replace("\t", " ")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def silence(stream: IO[str]) -> None:
    """Send what is still buffered for a closed pipe nowhere, or the interpreter complains."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # not a real file
        pass
