"""`nas check`: whether a space, yours too, keeps what a space promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import Json, Plugins, complete_space, load_plugins
from nas.cli.streams import Streams
from nas.core.errors import ConfigError
from nas.core.registry import load_plugin

if TYPE_CHECKING:
    from nas.core.space import Space

SAMPLES = 20


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SPACE|FILE",
            help="A search space, an architecture.json, or a Python file that registers spaces.",
            autocompletion=complete_space,
            show_default=False,
        ),
    ],
    samples: Annotated[int, typer.Option(min=1, help="Random members to try.")] = SAMPLES,
    json: Json = False,
    plugins: Plugins = None,
) -> None:
    """Validate a space or a file: samples, builds, round trips, counts."""
    load_plugins(plugins)
    from nas.testing.spaces import checks

    streams = Streams(json=json)
    spaces = find_spaces(what, streams)
    results = [
        (name, *outcome) for name, space in spaces for outcome in checks(name, space, samples)
    ]
    failed = [name for name, _, problem in results if problem]
    if streams.json:
        streams.document(
            [
                {"space": space, "check": name, "ok": not problem, "problem": problem}
                for space, name, problem in results
            ]
        )
    for space, name, problem in results:
        streams.line(f"{'FAILED' if problem else 'ok':<7} {space}: {name} {problem}".rstrip())
    raise typer.Exit(1 if failed else 0)


def find_spaces(what: str, streams: Streams) -> list[tuple[str, Space]]:
    """The spaces to check, by registered name; the file of an architecture is read at once.

    Raises:
        ConfigError: There is no such space or file, or a file registers no space.
    """
    from search_spaces import SPACES, get_space

    path = Path(what)
    if path.suffix == ".py":
        before = set(SPACES.names())
        load_plugin(path)
        new = [name for name in SPACES.names() if name not in before]
        if not new:
            raise ConfigError(f"{what!r} registers no space", "decorate it: @SPACES.register(NAME)")
        return [(name, get_space(name)) for name in new]
    if path.suffix == ".json" or path.is_file():
        from nas.export import read_architecture

        architecture = read_architecture(path)
        streams.line(f"ok      {what}: a member of {architecture.space} [{architecture.id}]")
        return []
    return [(what, get_space(what))]
