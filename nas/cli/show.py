"""`nas show`: what a run, an architecture or a space is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Json, NetworkScale, Plugins, complete_target, load_plugins, option
from nas.cli.streams import Streams

if TYPE_CHECKING:
    from nas.cli.targets import ArchitectureTarget
    from nas.core.space import Space


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|ARCH|SPACE",
            help="A run's folder, an architecture.json, SPACE:MEMBER, SPACE:'NOTATION' or SPACE.",
            autocompletion=complete_target,
            show_default=False,
        ),
    ],
    json: Json = False,
    sets: NetworkScale = None,
    input_shape: Annotated[
        str | None,
        option("CxHxW", "Size of an image [default: 3x32x32 or as published].", "--input"),
    ] = None,
    classes: Annotated[
        int | None, option(None, "Number of classes [default: 10, or as published].", least=1)
    ] = None,
    plugins: Plugins = None,
) -> None:
    """Say what something is: choices, size, parameters, multiply-adds, figures, front, cells."""
    from nas.cli.describe import parse_scale, read_shape
    from nas.cli.targets import ArchitectureTarget, RunTarget, find

    load_plugins(plugins)
    streams = Streams(json=json)
    found = find(what)
    if isinstance(found, RunTarget):
        show_run(found.folder, streams)
    elif isinstance(found, ArchitectureTarget):
        scale = parse_scale(sets or ())
        shape = None if input_shape is None else read_shape(input_shape)
        show_architecture(found, scale, shape, classes, streams)
    else:
        show_space(found.space, streams)


def show_space(space: Space, streams: Streams) -> None:
    """A space: how many members, which choices, which published architectures."""
    from nas.cli import words

    choices = [
        {"name": choice.name, "kind": type(choice).__name__.lower(), "conditional": conditional}
        for choice, conditional in space.tree.slots
    ]
    if streams.json:
        streams.document(
            {
                "space": space.name,
                "size": space.size,
                "choices": choices,
                "encoding_size": space.tree.encoding_size,
                "scale": dict(space.scale),
                "members": {name: arch.to_dict() for name, arch in space.members.items()},
            }
        )
        return
    size = "infinitely many" if space.size is None else f"{space.size:,}"
    streams.line(space.name, style="bold")
    streams.line(f"  members   {size}")
    conditional = sum(choice["conditional"] is True for choice in choices)
    streams.line(f"  choices   {len(choices)}, {conditional} of them conditional")
    streams.line(f"  encoding  {space.tree.encoding_size} numbers")
    streams.line(f"  scale     {words.scale(space.scale)}")
    streams.line(f"  published {', '.join(space.members) or 'none'}")
    example = next(iter(space.members), None)
    if example:
        streams.note(f"next: nas show {space.name}:{example}")


def show_architecture(
    target: ArchitectureTarget,
    scale: dict[str, Any],
    input_shape: tuple[int, int, int] | None,
    classes: int | None,
    streams: Streams,
) -> None:
    """An architecture: its cells, its size at a stated scale, its notation.

    Without `input_shape` and `classes` the size is told where the space says what its networks
    take; of others only the evaluator knows.

    Raises:
        SpaceError: The size cannot be told (see `describe.measure`).
    """
    from nas.cli import describe, words

    space, architecture = target.space, target.architecture
    size = None
    usual_shape, usual_classes = space.default_input(architecture)
    shape, count = input_shape or usual_shape, classes or usual_classes
    shapes = space.shapes(shape, count)
    if shapes is not None or input_shape or classes:
        size = describe.measure(space, architecture, scale, shape, count)
    text = describe.notation(space, architecture)
    if streams.json:
        counted = {} if size is None else size.to_dict()
        streams.document(
            {**architecture.to_dict(), **counted, **({"notation": text} if text else {})}
        )
        return
    streams.line(f"{target.name}  [{architecture.id}]", style="bold")
    if size is None:
        streams.line(f"  size      depends on what {space.evaluator} evaluates it on")
    else:
        taken = "x".join(map(str, size.input_shape))
        what = f"{taken} input, {size.num_classes} classes"
        if shapes is not None and shapes[1] != (size.num_classes,):
            what = f"{taken} images"
        at = f"{words.scale(size.scale)}; {what}"
        streams.line(f"  at        {at}")
        streams.line(f"  params    {size.params:,}")
        streams.line(f"  macs      {size.macs:,} multiply-adds an image")
    for line in describe.cells(space, architecture):
        streams.line(f"  {line}")
    if text:
        streams.line(f"  notation  {text}")


def show_run(folder: Path, streams: Streams) -> None:
    """A run: what it found, the front, the comparison, what it cost."""
    from nas.cli.result import load_result, print_result

    result = load_result(folder)
    if streams.json:
        streams.document(result)
    else:
        print_result(result, streams)
