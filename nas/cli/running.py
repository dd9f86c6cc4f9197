"""Running something that has a folder: progress while it lasts, the result at its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cli.errors import Unexpected
from nas.cli.progress import listening
from nas.cli.result import Keeper, present
from nas.cli.streams import Streams
from nas.core.errors import NasError
from nas.engine.events import Event

if TYPE_CHECKING:
    from nas.engine.run import Run

Listeners = tuple[Callable[[Event], None], ...]


def run_and_present(begin: Callable[[Listeners], Run], folder: Path, streams: Streams) -> int:
    """Run with progress shown and print the result; the exit code.

    Args:
        begin: Runs to the end with the listeners it is given.
        folder: The run's folder; the log of a mistake in code goes there.
        streams: Where to print.

    Raises:
        NasError: The run failed.
        Unexpected: Something else went wrong.
    """
    keeper = Keeper()
    try:
        with listening(streams) as listeners:
            begin((keeper, *listeners))
    except NasError:
        _last_line(keeper, streams)
        raise
    except Exception as error:
        _last_line(keeper, streams)
        raise Unexpected(folder) from error
    return present(keeper, streams)


def _last_line(keeper: Keeper, streams: Streams) -> None:
    """A failed run's stream ends with its result, too."""
    if streams.json:
        result: dict[str, Any] = keeper.result or {"status": "failed"}
        present(Keeper(result), streams)
