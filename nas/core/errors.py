"""The errors a person sees: one line that says what was got, what was expected, what to do."""

from __future__ import annotations

from typing import ClassVar

MAX_PART = 600
"""Characters of a message or hint that are shown; what a file holds may be a megabyte."""


class NasError(Exception):
    """Something a person can act on.

    Args:
        message: What was got and what was expected, in one line.
        hint: What to do about it, in one line; may be empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """One line of printable characters, of bounded length: the message, then the hint."""
        text = f"{_line(self.message)}; {_line(self.hint)}" if self.hint else _line(self.message)
        return text if text.isprintable() else "".join(map(_visible, text))


def _line(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= MAX_PART else f"{line[: MAX_PART - 60]} ... {line[-55:]}"


def _visible(character: str) -> str:
    # A hostile file could hold terminal commands, or halves of surrogate pairs nobody can print.
    return character if character.isprintable() else ascii(character)[1:-1]


class ConfigError(NasError):
    """A setting, flag or configuration file is wrong (exit code 2)."""

    exit_code = 2


class PluginError(ConfigError):
    """A named plug-in is unknown, registered twice or cannot be imported."""


class UnsupportedError(ConfigError):
    """The thing asked for exists, but not in this combination."""


class SpaceError(ConfigError):
    """An architecture, notation or choice does not belong to the space."""


class DataError(NasError):
    """A data set is missing, unreadable or inconsistent (exit code 4)."""

    exit_code = 4


class StoreError(ConfigError):
    """A run's folder or store cannot be read or written."""


class ExportError(NasError):
    """An exported form could not be written or did not compare equal."""


class CandidateError(NasError):
    """One candidate failed (diverged, out of memory, too slow): recorded, never fatal."""


class DivergenceError(CandidateError, FloatingPointError):
    """A training loss is no number; nothing has moved since it was one."""


class Interrupted(Exception):  # noqa: N818 - a request, not a mistake
    """Raised by a training loop that was asked to stop; its work is not recorded."""
