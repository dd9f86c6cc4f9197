"""Errors of the command line itself."""

from __future__ import annotations

from pathlib import Path


class Unexpected(Exception):  # noqa: N818 - a wrapper, its cause is the mistake
    """Something that is no `NasError` went wrong in a command that has a folder for its log."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder


class ReaderGone(Exception):  # noqa: N818 - the reader's wish, not a mistake
    """Whoever read stdout or stderr (`| head`) has closed it."""
