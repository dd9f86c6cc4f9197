"""The errors a person sees: one line that says what was got, what was expected, what to do."""

from __future__ import annotations

from typing import ClassVar


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
        """One line: the message, then the hint."""
        text = f"{self.message}; {self.hint}" if self.hint else self.message
        return " ".join(text.split())


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


class Interrupted(Exception):  # noqa: N818 - a request, not a mistake
    """Raised by a training loop that was asked to stop; its work is not recorded."""
